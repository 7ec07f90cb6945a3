//! What was so at a moment, told by `replay` from the log alone, and whether a build can take the whole log.

mod check;

use std::process::Output;

use chrono::{DateTime, TimeDelta, Utc};
use domain::integration::{IntegrationEvent, Platform};
use domain::{AccountId, Hostname, Pii, SiteId, SubjectId, WebhookSecret};
use serde_json::{Value, json};
use tokio::process::Command;
use uuid::Uuid;

use crate::projectors::facts::{account, anna, now, renamed};
use crate::projectors::world::World;

async fn replay(world: &World, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_replay-process"))
        .args(arguments)
        .env("DATABASE_URL", &world.database_url)
        .output()
        .await
        .unwrap()
}

/// What a command says that succeeds.
#[track_caller]
fn told(output: &Output) -> &str {
    assert!(output.status.success(), "{output:?}");
    std::str::from_utf8(&output.stdout).unwrap()
}

#[track_caller]
fn document(output: &Output) -> Value {
    serde_json::from_str(told(output)).unwrap()
}

#[track_caller]
fn lines(output: &Output) -> Vec<Value> {
    let lines = told(output).lines();
    lines
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

async fn recorded_at(world: &World, position: i64) -> DateTime<Utc> {
    sqlx::query_scalar("select recorded_at from es.events where position = $1")
        .bind(position)
        .fetch_one(&mut world.owner().await)
        .await
        .unwrap()
}

/// A site that is Shoes from position 1 on and Boots from position 2 on.
async fn renamed_site(world: &World) -> (AccountId, SiteId) {
    let account = account();
    let site = world.register_site(account, "Shoes").await;
    let stream = ("site", site.into());
    world.append(account, stream, 1, &[renamed("Boots")]).await;
    (account, site)
}

#[tokio::test]
async fn an_aggregate_is_shown_as_of_any_position_or_time() {
    let world = World::new().await;
    let (account, site) = renamed_site(&world).await;
    let id = site.to_string();
    let first = recorded_at(&world, 1).await;
    let before = first - TimeDelta::microseconds(1);
    let [first, before] = [first, before].map(|time| time.to_rfc3339());
    for (moment, version, name) in [
        (vec![], 2, Some("Boots")),
        (vec!["--position", "2"], 2, Some("Boots")),
        (vec!["--position", "1"], 1, Some("Shoes")),
        (vec!["--position", "0"], 0, None),
        (vec!["--time", &first], 1, Some("Shoes")),
        (vec!["--time", &before], 0, None),
    ] {
        let arguments = [&["state-at", "site", &id][..], &moment].concat();
        let shown = replay(&world, &arguments).await;
        match name {
            Some(name) => assert!(told(&shown).contains(&format!("name           \"{name}\""))),
            None => assert!(told(&shown).contains("It was not there yet.")),
        }
        let shown = document(&replay(&world, &[&arguments[..], &["--json"]].concat()).await);
        assert_eq!(shown["version"], version, "{moment:?}");
        assert_eq!(shown["account"], json!(account));
        assert_eq!(shown["state"]["registered"]["name"], json!(name));
    }
}

#[tokio::test]
async fn the_history_tells_every_event_in_words() {
    let world = World::new().await;
    let (_, site) = renamed_site(&world).await;
    let id = site.to_string();
    let history = replay(&world, &["history", "site", &id]).await;
    let at = recorded_at(&world, 2).await;
    for words in [
        "position 1, version 1, at ",
        "The site \"Shoes\" on shop.example was registered",
        &format!("position 2, version 2, at {at}, by test, command "),
        "    The site was renamed \"Boots\".\n",
    ] {
        assert!(told(&history).contains(words), "{words}: {history:?}");
    }
    let [registered, renamed] =
        &lines(&replay(&world, &["history", "site", &id, "--json"]).await)[..]
    else {
        panic!("two events")
    };
    assert_eq!(registered["event_type"], "site.registered");
    assert_eq!(renamed["sentence"], "The site was renamed \"Boots\".");
    assert_eq!(renamed["recorded_at"], json!(at));
    assert!(Uuid::parse_str(renamed["command_id"].as_str().unwrap()).is_ok());
}

#[tokio::test]
async fn a_difference_is_told_field_by_field() {
    let world = World::new().await;
    let (_, site) = renamed_site(&world).await;
    let id = site.to_string();
    let diff = async |arguments: &[&str]| {
        replay(&world, &[&["diff", "site", &id], arguments].concat()).await
    };
    let changed = diff(&["--from", "1", "--to", "2"]).await;
    assert!(
        told(&changed).contains("    name  \"Shoes\" -> \"Boots\"\n"),
        "{changed:?}"
    );
    let at = recorded_at(&world, 1).await.to_rfc3339();
    let changed = document(&diff(&["--from", &at, "--json"]).await);
    let name = json!({ "path": "/registered/name", "before": "Shoes", "after": "Boots" });
    assert_eq!(changed["changes"], json!([name]));
    assert_eq!(changed["from"], json!({ "position": 1, "version": 1 }));
    assert_eq!(changed["to"], json!({ "position": 2, "version": 2 }));
    let made = diff(&["--from", "0", "--to", "1"]).await;
    assert!(
        told(&made).contains("domain         nothing -> shop.example\n"),
        "{made:?}"
    );
    let none = diff(&["--from", "2"]).await;
    assert!(told(&none).contains("Nothing changed."), "{none:?}");
    let turned = diff(&["--from", "2", "--to", "1"]).await;
    assert!(!turned.status.success());
}

#[tokio::test]
async fn nobody_is_named_and_no_secret_is_told() {
    let world = World::new().await;
    let (account, site) = renamed_site(&world).await;
    let order = world.order(account, site, Some(anna()), 5).await;
    let shop = Uuid::now_v7();
    let connected = IntegrationEvent::Connected {
        site_id: site,
        platform: Platform::Shopify,
        shop_domain: Hostname::parse("trail.myshopify.com").unwrap(),
        webhook_secret: Pii::new(
            SubjectId::from(Uuid::now_v7()),
            WebhookSecret::parse("shpss_hush").unwrap(),
        ),
        at: now(),
    };
    world
        .append(account, ("integration", shop), 0, &[connected])
        .await;
    let (order, shop) = (order.to_string(), shop.to_string());
    let account = account.to_string();
    let mut all = String::new();
    for (aggregate, id) in [("activity", &order), ("integration", &shop)] {
        for arguments in [
            &["state-at", aggregate, id][..],
            &["state-at", aggregate, id, "--json"],
            &["history", aggregate, id],
            &["history", aggregate, id, "--json"],
            &["diff", aggregate, id, "--from", "0"],
            &["diff", aggregate, id, "--from", "0", "--json"],
        ] {
            all += told(&replay(&world, arguments).await);
        }
    }
    for projection in ["proof_feed", "integration_list"] {
        let arguments = ["project-at", projection, "--account", &account];
        all += told(&replay(&world, &arguments).await);
    }
    assert!(all.contains("A buyer placed an order"), "{all}");
    assert!(all.contains("webhook secret  sealed"), "{all}");
    assert!(all.contains(r#""is":"sealed""#), "{all}");
    for hidden in ["Anna", "Schmidt", "Berlin", "shpss", r#""sealed":"#] {
        assert!(!all.contains(hidden), "{hidden}: {all}");
    }
}

#[tokio::test]
async fn rows_are_shown_as_they_were() {
    let world = World::new().await;
    let (account, site) = renamed_site(&world).await;
    let order = world.order(account, site, Some(anna()), 5).await;
    world.withdraw(account, site, order).await;
    world.register_site(self::account(), "Another's").await;
    let id = account.to_string();
    let rows = async |projection: &str, position: &str| {
        let arguments = ["project-at", projection, "--account", &id];
        let moment = ["--position", position];
        lines(&replay(&world, &[&arguments[..], &moment].concat()).await)
    };
    assert_eq!(rows("proof_feed", "2").await.len(), 0);
    assert_eq!(
        rows("proof_feed", "3").await[0]["activity_id"],
        json!(order)
    );
    assert_eq!(rows("proof_feed", "4").await.len(), 0);
    assert_eq!(rows("site_list", "1").await[0]["name"], "Shoes");

    // At the head, what is told is what is served.
    world.catch_up().await;
    let served: Value = sqlx::query_scalar(
        "select row_to_json(site) from rm_site_list_v1.site where account_id = $1",
    )
    .bind(Uuid::from(account))
    .fetch_one(&mut world.owner().await)
    .await
    .unwrap();
    let [row] = &rows("site_list", "5").await[..] else {
        panic!("one site")
    };
    let fields = served.as_object().unwrap();
    assert_eq!(row.as_object().unwrap().len(), fields.len());
    for (name, value) in fields.iter().filter(|(name, _)| !name.ends_with("_at")) {
        assert_eq!(&row[name], value, "{name}");
    }
}

#[tokio::test]
async fn bad_input_is_answered_with_what_is_wrong_about_it() {
    let world = World::new().await;
    let (_, site) = renamed_site(&world).await;
    let (id, nobody) = (site.to_string(), Uuid::nil().to_string());
    for (arguments, words) in [
        (
            &["state-at", "invoice", &id][..],
            "this build knows account, site, notification",
        ),
        (&["state-at", "site", "shoes"], "invalid value 'shoes'"),
        (
            &["state-at", "site", &nobody],
            &format!("there is no site {nobody}"),
        ),
        (
            &["history", "notification", &id],
            &format!("there is no notification {id}"),
        ),
        (
            &["state-at", "site", &id, "--position", "3"],
            "position 3 is beyond the log, which ends at 2",
        ),
        (
            &["state-at", "site", &id, "--position", "last"],
            "not a position such as 4711",
        ),
        (
            &["state-at", "site", &id, "--time", "2026-11-21"],
            "not a time such as 2026-11-21T12:00:00Z",
        ),
        (
            &["state-at", "site", &id, "--time", "3000-01-01T00:00:00Z"],
            "is yet to come",
        ),
        (
            &[
                "state-at",
                "site",
                &id,
                "--position",
                "1",
                "--time",
                "2026-11-21T12:00:00Z",
            ],
            "cannot be used with",
        ),
        (
            &["diff", "site", &id, "--from", "noon"],
            "neither a position such as 4711 nor a time",
        ),
        (
            &["diff", "site", &id, "--from", "2", "--to", "1"],
            "position 2 is after position 1",
        ),
        (
            &["project-at", "telemetry_facts", "--account", &nobody],
            "not folded from domain events",
        ),
        (
            &["project-at", "nothing", "--account", &nobody],
            "no such projection",
        ),
        (
            &["project-at", "site_list", "--account", &nobody],
            &format!("account {nobody} has no event up to position 2"),
        ),
        (&["check", "--list", "0"], "0 is not in 1..=10000"),
    ] {
        let refused = replay(&world, arguments).await;
        let said = String::from_utf8_lossy(&refused.stderr);
        assert!(!refused.status.success(), "{arguments:?}");
        assert!(said.contains(words), "{arguments:?}: {said}");
        assert!(refused.stdout.is_empty(), "{arguments:?}");
    }
}
