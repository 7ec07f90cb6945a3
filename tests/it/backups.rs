//! What was backed up comes back as it was, but for those who were erased since.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::Result;
use chrono::TimeDelta;
use clap::Parser as _;
use event_store::Role;
use event_store::seal::{Anchor, Due, Sealer};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use proofline::config::Connections;
use replay_tools::backup::{Backups, Retention};
use reqwest::Method;
use serde_json::{Value, json};
use sqlx::Executor as _;
use tests::World;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::faults::program;
use crate::part::until;
use crate::served::{Served, answered, connections, order_of, seen};
use crate::subjects::{ANNA, BOB, Office, SOMEONE};

/// `replay`, as an operator runs it against a world; answers what it said.
pub(crate) async fn replay(world: &World, arguments: &[&str]) -> Result<String> {
    let folder = |name: &str| world.key_file().with_file_name(name).display().to_string();
    let all = typed(
        world,
        [&folder("backups"), &folder("key-backups")],
        arguments,
    );
    let mut out = Vec::new();
    replay_tools::run(replay_tools::Arguments::parse_from(all), &mut out).await?;
    Ok(String::from_utf8(out)?)
}

/// What an operator types, of a world whose backups, and those of its keys, are at these places.
pub(crate) fn typed(
    world: &World,
    [backups, key_backups]: [&str; 2],
    arguments: &[&str],
) -> Vec<String> {
    let key_file = world.key_file();
    let engines = [
        "--redis-url",
        &world.redis_url,
        "--redis-prefix",
        &world.redis_prefix,
        "--clickhouse-url",
        &world.clickhouse_url,
        "--clickhouse-database",
        &world.clickhouse_database,
    ];
    let places = [
        "--backups",
        backups,
        "--key-backups",
        key_backups,
        "--key-file",
        key_file.to_str().unwrap(),
        "--keys-database-url",
        &world.keys_url,
    ];
    let more: &[&str] = match arguments {
        ["backup", "list" | "verify" | "prune", ..] => &places,
        ["backup", "take-copies", ..] => &places[2..],
        ["backup", ..] => &[&engines[..], &places].concat(),
        ["verify", ..] => &engines,
        _ => &[],
    };
    let named = ["replay", "--database-url", &world.database_url];
    let all = named.iter().chain(arguments).chain(more);
    all.map(|argument| (*argument).to_owned()).collect()
}

/// Names on the same servers that nobody has used.
pub(crate) fn elsewhere(world: &mut World) {
    let name = format!("r_{}", Uuid::now_v7().simple());
    world.database_url = tests::in_database(&world.database_url, &name);
    world.keys_url = tests::in_database(&world.keys_url, &format!("{name}_keys"));
    world.clickhouse_database.clone_from(&name);
    world.redis_prefix = name;
}

/// What a merchant reads of the site.
async fn numbers(it: &Served, key: &str, site: &str) -> Vec<Value> {
    let now = platform::clock::now();
    let day = |days| (now + TimeDelta::days(days)).format("%Y-%m-%dT00:00:00Z");
    let analytics = format!("analytics?start={}&end={}", day(-1), day(1));
    let mut all = Vec::new();
    for path in [&*analytics, "counters", "notifications", "integrations"] {
        let read = it.request(Method::GET, &format!("/v1/sites/{site}/{path}"));
        let mut body = answered(read.bearer_auth(key)).await.is(200).body;
        // Which hours are told moves on with the clock.
        if let Some(hours) = body.get_mut("hours").and_then(Value::as_array_mut) {
            hours.retain(|hour| hour["impressions"] != 0);
        }
        all.push(body);
    }
    all
}

/// Impressions that the analytics tell of.
fn counted(numbers: &[Value]) -> Option<i64> {
    numbers[0]["totals"]["impression"].as_i64()
}

#[tokio::test]
async fn a_platform_comes_back_as_it_was_and_goes_on() {
    let office = Office::open().await;
    let projecting = office.projecting();
    for (name, id) in [("Anna", 1), ("Bob", 2)] {
        office.order(name, id).await;
    }
    let record = office.record_of("Bob").await;
    office.pages_show(vec![ANNA, BOB]).await;
    // By mistake.
    let link = format!("{record}/identities");
    let anna = json!({ "email": "anna.schmidt@example.com" });
    office.enter(&link, anna).await.is(200);
    let linked = |body: &Value| body["identities"][0].is_string();
    let linked = office.shows(&record, linked).await;
    let anna = linked["identities"][0].as_str().unwrap();
    let token = office.it.token(&office.shop).await;
    let watched = (0..30).map(|_| seen(&token, "impression")).collect();
    office.it.collect(watched).await.is(200);
    office.it.catch_up().await;
    let (site, key) = (office.shop.site_id.clone(), office.it.key.clone());
    let before = numbers(&office.it, &key, &site).await;
    assert_eq!(counted(&before), Some(30));
    let made = replay(&office.it.world, &["backup", "create"])
        .await
        .unwrap();
    let id = made.split_whitespace().next().unwrap().to_owned();
    assert!(made.contains("facts up to 30"), "{made}");
    let verified = replay(&office.it.world, &["backup", "verify"])
        .await
        .unwrap();
    assert_eq!(verified.matches("ok ").count(), 2, "{verified}");

    // What comes later is lost, but for an erasure.
    office.order("Carol", 3).await;
    office.it.collect(vec![seen(&token, "click")]).await;
    let unlink = format!("{link}/{anna}/unlink");
    office.enter(&unlink, json!({})).await.is(200);
    office.erase(&record).await;
    drop(projecting);
    let Office { it, shop, officer } = office;
    let Served { mut world, .. } = it;
    elsewhere(&mut world);
    restore_beside_somebody(&mut world, &id).await;
    let restored = replay(&world, &["backup", "restore", &id]).await.unwrap();
    let log = restored.split("--restored ").nth(1).unwrap().trim();
    let again = replay(&world, &["backup", "restore", &id]).await;
    let refused = again.unwrap_err().to_string();
    assert!(refused.contains("holds tables already"), "{refused}");
    let there = connections(&world);
    let it = Served::on(world, there).await;
    it.catch_up().await;
    assert_eq!(numbers(&it, &key, &site).await, before);
    let mut shown = messages(&it, &shop.embed_key).await;
    shown.sort();
    assert_eq!(shown, [ANNA, SOMEONE], "Bob was erased after the backup");
    for projection in [
        "site_list",
        "proof_feed",
        "telemetry_facts",
        "telemetry_counters",
    ] {
        let said = replay(&it.world, &["verify", projection]).await.unwrap();
        assert!(said.contains("equal"), "{projection}: {said}");
    }

    // Bob's record, which is from before, hears of it again, and not that Anna was linked to it.
    let erasing = tokio::spawn({
        let chores = it.chores.clone();
        async move { chores.erasures().run().await }
    });
    let read = async || {
        let read = it.request(Method::GET, &record).bearer_auth(&officer);
        answered(read).await.is(200).body["erasure"]["state"].clone()
    };
    let deadline = Instant::now() + Duration::from_secs(60);
    while read().await != "certified" {
        assert!(Instant::now() < deadline, "{}", read().await);
        it.catch_up().await;
    }
    erasing.abort();
    // Whoever is told of every note is told of his tombstone, as it stands.
    let anchor = it.world.key_file().with_file_name("anchor");
    let tombstones = "select path, note from es.seal_notes where kind = 'tombstone'";
    let tombstones: Vec<(String, String)> = sqlx::query_as(tombstones)
        .fetch_all(&mut it.world.owner().await)
        .await
        .unwrap();
    assert_eq!(tombstones.len(), 1);
    assert!(
        messages(&it, &shop.embed_key)
            .await
            .contains(&ANNA.to_owned())
    );
    for (path, note) in tombstones {
        assert_eq!(std::fs::read_to_string(anchor.join(path)).unwrap(), note);
    }

    // It goes on from there: nothing is counted twice, nothing is left out.
    let token = it.token(&shop).await;
    it.collect(vec![seen(&token, "impression")]).await.is(200);
    it.deliver(&shop, "orders/create", "w-4", &order_of("Dora", 4))
        .await
        .is(200);
    it.catch_up().await;
    let after = numbers(&it, &key, &site).await;
    assert_eq!(counted(&after), Some(31));
    assert_eq!(messages(&it, &shop.embed_key).await.len(), 3);
    seal(&it.world).await;
    let verify = ["audit", "verify", "--anchor", anchor.to_str().unwrap()];
    assert!(replay(&it.world, &verify).await.is_err(), "a tail was lost");
    let known = [&verify[..], &["--restored", log]].concat();
    let verified = replay(&it.world, &known).await.unwrap();
    assert!(verified.contains("anchored"), "{verified}");
}

/// The databases of a name that was not used before.
async fn databases(world: &World) -> Vec<String> {
    let names = "select datname from pg_database where starts_with(datname, $1)";
    sqlx::query_scalar(names)
        .bind(world.database_url.rsplit_once('/').unwrap().1)
        .fetch_all(&mut world.admin().await)
        .await
        .unwrap()
}

/// Who holds the empty database whose place the restored one would take keeps it from that, and nothing else is left.
async fn restore_beside_somebody(world: &mut World, id: &str) {
    let name = world.database_url.rsplit_once('/').unwrap().1.to_owned();
    let create = format!("create database {name}");
    world.admin().await.execute(&*create).await.unwrap();
    let held = world.owner().await;
    let refused = replay(world, &["backup", "restore", id]).await;
    let refused = format!("{:#}", refused.unwrap_err());
    assert!(
        refused.contains("being accessed by other users"),
        "{refused}"
    );
    assert_eq!(
        databases(world).await,
        [name],
        "neither of the two, nor half of one"
    );
    drop(held);
    elsewhere(world);
}

/// Signs the whole log, and brings that to the anchor.
async fn seal(world: &World) {
    let anchor = Anchor::folder(&world.key_file().with_file_name("anchor")).unwrap();
    let sealer = Sealer::new(world.pool(Role::Sealer), world.vault(), vec![anchor]);
    sealer.seal(Due::Now).await.unwrap();
    sealer.anchor().await.unwrap();
}

/// What the shop's pages show.
async fn messages(it: &Served, embed_key: &str) -> Vec<String> {
    let feed = it.request(Method::GET, &format!("/embed/v1/{embed_key}/feed"));
    let feed = answered(feed).await.is(200).body;
    let message = |item: &Value| item["message"].as_str().unwrap().to_owned();
    feed["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(message)
        .collect()
}

/// Makes backups of a world by itself.
async fn backups(connections: &Connections, keep: &str) -> Backups {
    Backups {
        source: connections.backed_up().unwrap(),
        places: connections.places().await.unwrap(),
        retention: Retention {
            backup_keep: keep.parse().unwrap(),
            key_backup_keep: keep.parse().unwrap(),
        },
    }
}

pub(crate) async fn migrated() -> (World, Connections) {
    let world = World::new().await;
    let connections = connections(&world);
    let clickhouse = connections.clickhouse().unwrap();
    let database = &connections.clickhouse_database;
    migrations::clickhouse(&clickhouse, database).await.unwrap();
    (world, connections)
}

#[tokio::test]
async fn of_several_processes_one_makes_a_backup_when_it_is_due() {
    let (_world, connections) = migrated().await;
    let stop = CancellationToken::new();
    let mut all = tokio::task::JoinSet::new();
    for _ in 0..3 {
        let (backups, stop) = (backups(&connections, "7d").await, stop.clone());
        all.spawn(async move {
            let every = TimeDelta::hours(1);
            stop.run_until_cancelled(backups.run(every)).await;
        });
    }
    let places = connections.places().await.unwrap();
    while places.all().await.unwrap().is_empty() {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    // Whoever comes now finds that it is there.
    let late = backups(&connections, "7d").await;
    let looked = tokio::time::timeout(Duration::from_secs(1), late.run(TimeDelta::hours(1)));
    assert!(looked.await.is_err());
    stop.cancel();
    while all.join_next().await.is_some() {}
    assert_eq!(places.all().await.unwrap().len(), 1);
}

#[tokio::test]
async fn what_is_not_kept_goes_and_what_was_altered_is_not_brought_back() {
    let (mut world, connections) = migrated().await;
    world
        .store()
        .await
        .append(crate::support::append("s"))
        .await
        .unwrap();
    elsewhere(&mut world);
    let backups = backups(&connections, "1d").await;
    let places = &backups.places;
    let first = backups.create().await.unwrap();
    tokio::time::sleep(Duration::from_millis(5)).await;
    let second = backups.create().await.unwrap();
    let refused = async |arguments: &[&str]| {
        let refused = replay(&world, arguments).await;
        refused.unwrap_err().to_string()
    };
    let older = ["backup", "restore", &second.id, "--keys-of", &first.id];
    let said = refused(&older).await;
    assert!(said.contains("are older than backup"), "{said}");

    // What was begun and never became a backup goes in the end, and so do copies that every backup of keys is younger than.
    let begun = |folder: &str, name: &str, age: Option<TimeDelta>| {
        let path = world.key_file().with_file_name(folder).join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        let file = std::fs::File::create(&path).unwrap();
        if let Some(age) = age {
            let then = platform::clock::now() - age;
            file.set_modified(then.into()).unwrap();
        }
        path
    };
    let day = TimeDelta::days(1);
    let unfinished = begun("backups", "20200101T000000Z-0a1b2c3d/events.dump#1", None);
    let somebodys = begun("backups", "somebodys/events.dump", None);
    let old = begun("key-backups", "rewrapped/k/old.json", Some(day));
    let young = begun("key-backups", "rewrapped/k/young.json", None);
    let gone = places.prune(backups.retention).await.unwrap();
    for (path, stays) in [
        (unfinished, false),
        (somebodys, true),
        (old, false),
        (young, true),
    ] {
        assert_eq!(path.exists(), stays, "{}", path.display());
    }
    assert_eq!(gone, [&*first.id, &*first.id], "with its keys");
    let left = Vec::from_iter(places.all().await.unwrap().into_iter().map(|one| one.id));
    assert_eq!(left, std::slice::from_ref(&second.id));
    assert_eq!(places.all_keys().await.unwrap().len(), 1);
    let folder = world.key_file().with_file_name("backups");
    assert!(!folder.join(&first.id).exists(), "nothing of it is left");

    // What fails leaves nothing behind, and says why.
    let mut broken = backups.clone();
    broken.source.keys_url.set_path("nowhere");
    let said = broken.create().await.unwrap_err().to_string();
    assert!(
        said.contains("pg_dump failed") && said.contains("nowhere"),
        "{said}"
    );
    let left = places.backups.folders().await.unwrap();
    assert_eq!(left, [&*second.id, "somebodys"]);

    let dump = folder.join(&second.id).join("events.dump");
    let mut bytes = std::fs::read(&dump).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&dump, bytes).unwrap();
    for arguments in [&["backup", "verify"][..], &["backup", "restore"]] {
        let said = refused(arguments).await;
        assert!(said.contains("is not what was written"), "{said}");
    }
    assert_eq!(databases(&world).await, [""; 0]);
}

/// The platform as a user runs it, on engines that it starts by itself. Answers what it said.
async fn up(data_dir: &Path, more: &[&str]) -> (Child, String) {
    let mut child = alone(Command::new(program()))
        .args(["up", "--port", "0", "--data-dir"])
        .arg(data_dir)
        .args(more)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut said = String::new();
    while let Some(line) = lines.next_line().await.unwrap() {
        said.push_str(&line);
        said.push('\n');
        if line.starts_with("Ctrl-C") {
            return (child, said);
        }
    }
    panic!("it ended: {said}");
}

/// Nothing that the tests run on is given to it.
fn alone(mut command: Command) -> Command {
    for variable in [
        "DATABASE_URL",
        "KEYS_DATABASE_URL",
        "REDIS_URL",
        "CLICKHOUSE_URL",
    ] {
        command.env_remove(variable);
    }
    command
}

async fn end(mut child: Child) {
    let pid = i32::try_from(child.id().unwrap()).unwrap();
    kill(Pid::from_raw(pid), Signal::SIGTERM).unwrap();
    assert!(child.wait().await.unwrap().success());
}

#[tokio::test]
async fn a_machine_that_lost_its_databases_comes_back() {
    let folder = tempfile::tempdir().unwrap();
    // Postgres runs as another user and must be able to get there.
    std::fs::set_permissions(folder.path(), PermissionsExt::from_mode(0o755)).unwrap();
    let data_dir = folder.path().join("data");
    let (running, said) = up(&data_dir, &[]).await;
    let word = |said: &str, of: &str| {
        let line = said.lines().find_map(|line| line.strip_prefix(of));
        line.unwrap_or_else(|| panic!("{said}")).trim().to_owned()
    };
    let (url, key) = (word(&said, "API"), word(&said, "demo key"));
    let client = reqwest::Client::new();
    let site = json!({ "name": "Trail", "domain": "trail.example.com" });
    let made = client.post(format!("{url}/v1/sites")).bearer_auth(&key);
    let made = answered(made.json(&site)).await.is(201);
    let backup = alone(Command::new(program().with_file_name("replay")))
        .args(["backup", "create", "--data-dir"])
        .arg(&data_dir)
        .output()
        .await
        .unwrap();
    assert!(backup.status.success(), "{backup:?}");
    end(running).await;
    for lost in ["postgres", "clickhouse", "redis"] {
        std::fs::remove_dir_all(data_dir.join(lost)).unwrap();
    }

    let (running, said) = up(&data_dir, &["--restore"]).await;
    let site = made.body["id"].as_str().unwrap();
    let path = format!("{}/v1/sites/{site}", word(&said, "API"));
    // Its projection may have been behind when the backup was made.
    let read = async || answered(client.get(&path).bearer_auth(&key)).await;
    until(async || read().await.status == 200, || path.clone()).await;
    assert_eq!(read().await.body["domain"], "trail.example.com");
    assert!(!said.contains("demo key"), "it is no new store: {said}");
    end(running).await;
}
