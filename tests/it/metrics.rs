//! What is shown to those who watch: every metric that the documents name, and never a lag that nobody knows.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use clap::Parser as _;
use commands::Commands;
use proofline::secrets::Secrets;
use proofline::{account, write_side};
use serde_json::Value;
use sqlx::Connection as _;
use tests::World;
use tests::proxy::{Proxy, split_address};
use tokio::process::Command;

use crate::part::{Metrics, Part};
use crate::served::connections;

const MACROS: [&str; 3] = ["counter!(", "gauge!(", "histogram!("];

#[test]
fn every_metric_is_named_by_the_rule_and_documented() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let mut used = BTreeSet::new();
    for entry in std::fs::read_dir(root).unwrap() {
        let source = entry.unwrap().path().join("src");
        if source.is_dir() && !source.starts_with(root.join("tests")) {
            collect(&source, &mut used);
        }
    }
    assert!(used.len() > 15, "metrics are found: {used:?}");
    for name in &used {
        let unit = name.rsplit('_').next().unwrap();
        let well_named = name.starts_with("proofline_")
            && name
                .bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte == b'_')
            && !["count", "ms", "millis"].contains(&unit);
        assert!(well_named, "{name}");
    }
    let page = std::fs::read_to_string(root.join("docs/operations.md")).unwrap();
    let documented: BTreeSet<String> = page
        .lines()
        .filter_map(|line| line.strip_prefix("| `proofline_"))
        .map(|rest| format!("proofline_{}", rest.split('`').next().unwrap()))
        .collect();
    assert_eq!(
        used, documented,
        "the table in docs/operations.md is complete and current"
    );
    let alerts = std::fs::read_to_string(root.join("docs/alerts.yml")).unwrap();
    for word in alerts.split(|c: char| !c.is_ascii_lowercase() && c != '_') {
        let name = ["_bucket", "_count", "_sum"]
            .iter()
            .find_map(|suffix| word.strip_suffix(suffix))
            .unwrap_or(word);
        assert!(
            !name.starts_with("proofline_") || used.contains(name),
            "an alert asks for {name}, which nobody shows"
        );
    }
}

/// What the macros of `metrics` name, in every source file below.
fn collect(directory: &Path, used: &mut BTreeSet<String>) {
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, used);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let code = std::fs::read_to_string(&path).unwrap();
            // Examples in documentation show the mechanism, not ours.
            let code: String = code
                .lines()
                .filter(|line| !line.trim_start().starts_with("//"))
                .flat_map(|line| [line, "\n"])
                .collect();
            let shown = MACROS.iter().flat_map(|name| code.match_indices(name));
            for (at, name) in shown {
                // What is only described is not shown.
                let is_described = code[..at].ends_with("describe_");
                let arguments = code[at + name.len()..].trim_start();
                if let (false, Some(quoted)) = (is_described, arguments.strip_prefix('"')) {
                    used.insert(quoted.split('"').next().unwrap().to_owned());
                }
            }
        }
    }
}

/// A world with something in its log, and a process that projects it.
struct Watched {
    world: World,
    commands: Commands,
    secrets: Secrets,
    /// Between the process and Postgres.
    proxy: Proxy,
    projector: Part,
}

impl Watched {
    async fn start() -> Self {
        let world = World::new().await;
        let connections = connections(&world);
        let clickhouse = connections.clickhouse().unwrap();
        migrations::clickhouse(&clickhouse, &world.clickhouse_database)
            .await
            .unwrap();
        let secrets = Secrets::open(&connections).await.unwrap();
        let commands = write_side::open(&connections, &secrets).await.unwrap();
        let (through, server) = split_address(&world.database_url);
        let proxy = Proxy::start(server).await.unwrap();
        let environment = [("DATABASE_URL", &*through(proxy.address))];
        let projector = Part::start("projector", &world, &environment).await;
        let it = Self {
            world,
            commands,
            secrets,
            proxy,
            projector,
        };
        it.append().await;
        it.projector.shows("it follows the log", follows).await;
        it
    }

    /// Something that the projectors have to read.
    async fn append(&self) {
        account::open(&self.commands, &self.secrets.api_keys, "Test")
            .await
            .unwrap();
    }

    /// The process sees that it knows nothing, and says so for as long as it does.
    async fn is_blind(&self) {
        self.projector
            .shows("it knows nothing", knows_nothing)
            .await;
        for _ in 0..20 {
            assert!(knows_nothing(&self.projector.metrics().await));
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

fn of(metric: &str, metrics: &Metrics, version: i32) -> f64 {
    let series = format!(r#"{metric}{{projector="site_list",version="{version}"}}"#);
    // What is not there is neither unknown nor none.
    metrics.value(&series).unwrap_or(-1.0)
}

fn lag(metrics: &Metrics) -> (f64, f64) {
    let lag = |unit| of(&format!("proofline_projector_lag_{unit}"), metrics, 1);
    (lag("events"), lag("seconds"))
}

fn reader_up(metrics: &Metrics) -> Option<f64> {
    metrics.value(r#"proofline_log_reader_up{log="events"}"#)
}

fn follows(metrics: &Metrics) -> bool {
    let checkpoint = of("proofline_projector_checkpoint", metrics, 1);
    lag(metrics) == (0.0, 0.0) && checkpoint > 0.0 && reader_up(metrics) == Some(1.0)
}

fn knows_nothing(metrics: &Metrics) -> bool {
    let (events, seconds) = lag(metrics);
    events.is_nan() && seconds.is_nan() && reader_up(metrics) == Some(0.0)
}

#[tokio::test]
async fn without_postgres_the_lag_is_unknown_and_never_none() {
    let it = Watched::start().await;
    let name = &it.world.redis_prefix;
    let mut admin = it.world.admin().await;
    let allow = async |connection: &mut sqlx::PgConnection, allowed: bool| {
        let statement = format!(r#"alter database "{name}" allow_connections {allowed}"#);
        sqlx::query(&statement).execute(connection).await.unwrap();
    };
    allow(&mut admin, false).await;
    sqlx::query("select pg_terminate_backend(pid) from pg_stat_activity where datname = $1")
        .bind(name)
        .execute(&mut admin)
        .await
        .unwrap();
    it.is_blind().await;
    let down = |metrics: &Metrics| of("proofline_projector_up", metrics, 1) == 0.0;
    it.projector.shows("it is down", down).await;
    allow(&mut admin, true).await;
    it.append().await;
    it.projector.shows("it follows again", follows).await;
}

#[tokio::test]
async fn when_postgres_does_not_answer_the_lag_is_unknown_and_never_none() {
    let it = Watched::start().await;
    let proxy = it.proxy.clone();
    let stalled = tokio::spawn(async move { proxy.stall(Duration::from_secs(12)).await });
    it.append().await;
    it.is_blind().await;
    assert!(!stalled.is_finished(), "it was blind in time");
    stalled.await.unwrap();
    it.projector.shows("it follows again", follows).await;
}

#[tokio::test]
async fn a_log_that_only_its_reader_cannot_read_is_no_log_without_lag() {
    let it = Watched::start().await;
    let mut owner = it.world.owner().await;
    let mut held = owner.begin().await.unwrap();
    sqlx::query("lock table es.events in access exclusive mode")
        .execute(&mut *held)
        .await
        .unwrap();
    it.is_blind().await;
    held.rollback().await.unwrap();
    it.append().await;
    it.projector.shows("it follows again", follows).await;
}

#[tokio::test]
async fn a_projector_that_hangs_shows_a_lag_that_grows() {
    let it = Watched::start().await;
    let mut owner = it.world.owner().await;
    let mut held = owner.begin().await.unwrap();
    sqlx::query("lock table es.projections in share mode")
        .execute(&mut *held)
        .await
        .unwrap();
    it.append().await;
    let late = |metrics: &Metrics| lag(metrics).0 >= 1.0 && lag(metrics).1 > 2.0;
    it.projector.shows("it is late", late).await;
    held.rollback().await.unwrap();
    it.projector.shows("it follows again", follows).await;
}

/// `replay rebuild`, as an operator runs it.
fn rebuild(world: &World) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_replay-process"));
    command
        .args(["rebuild", "site_list", "--swap"])
        .env("DATABASE_URL", &world.database_url)
        .env("REDIS_URL", &world.redis_url)
        .env("PROOFLINE_REDIS_PREFIX", &world.redis_prefix)
        .env("CLICKHOUSE_URL", &world.clickhouse_url)
        .env("PROOFLINE_CLICKHOUSE_DATABASE", &world.clickhouse_database)
        .stdout(Stdio::null())
        .kill_on_drop(true);
    command
}

/// What `replay status` says of a version.
async fn status(world: &World, version: i32) -> Value {
    let arguments = [
        "replay",
        "--database-url",
        &world.database_url,
        "status",
        "--json",
    ];
    let arguments = replay_tools::Arguments::parse_from(arguments);
    let mut out = Vec::new();
    replay_tools::run(arguments, &mut out).await.unwrap();
    let all: Vec<Value> = serde_json::from_slice(&out).unwrap();
    let mut all = all.into_iter();
    all.find(|one| one["name"] == "site_list" && one["version"] == version)
        .unwrap()
}

#[tokio::test]
async fn a_rebuild_is_seen_by_everybody_until_it_is_served_and_when_its_tool_is_gone() {
    let it = Watched::start().await;
    let progress =
        |metrics: &Metrics, version| of("proofline_rebuild_progress_ratio", metrics, version);
    let silent =
        |metrics: &Metrics, version| of("proofline_rebuild_silent_seconds", metrics, version);
    // Its rows are there, but it can't note where it stands.
    let mut owner = it.world.owner().await;
    let mut held = owner.begin().await.unwrap();
    sqlx::query("lock table es.projections in share mode")
        .execute(&mut *held)
        .await
        .unwrap();
    let mut tool = rebuild(&it.world).spawn().unwrap();
    let built = |metrics: &Metrics| progress(metrics, 2) == 1.0;
    it.projector.shows("it is being built", built).await;
    tokio::time::sleep(Duration::from_secs(4)).await;
    let metrics = it.projector.metrics().await;
    assert!(silent(&metrics, 2) < 3.0, "{}", silent(&metrics, 2));
    let said = status(&it.world, 2).await;
    assert_eq!(said["state"], "building");
    assert_eq!(said["building"]["stage"], "indexing", "{said}");

    tool.kill().await.unwrap();
    let gone = |metrics: &Metrics| silent(metrics, 2) > 3.0;
    it.projector.shows("nobody builds it", gone).await;
    // As one that died while it read the log.
    sqlx::query("update es.projection_versions set stage = 'folding', events_done = 3, events_total = 4 where version = 2")
        .execute(&mut *held)
        .await
        .unwrap();
    held.commit().await.unwrap();
    let half_way = |metrics: &Metrics| progress(metrics, 2) == 0.75;
    it.projector.shows("how far it came", half_way).await;

    let status = rebuild(&it.world).status().await.unwrap();
    assert!(status.success());
    let served = |metrics: &Metrics| {
        let up = |version| of("proofline_projector_up", metrics, version);
        let lag = of("proofline_projector_lag_events", metrics, 3);
        up(3) == 1.0 && lag == 0.0 && progress(metrics, 2).is_nan()
    };
    it.projector.shows("the new one is driven", served).await;
    // The old one is neither down nor late: nobody is to drive it.
    let ended = |metrics: &Metrics| {
        ["up", "lag_events", "parked_keys"]
            .iter()
            .all(|what| of(&format!("proofline_projector_{what}"), metrics, 1).is_nan())
    };
    it.projector.shows("the old one is no matter", ended).await;
}
