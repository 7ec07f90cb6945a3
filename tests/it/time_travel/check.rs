//! `replay check`.

use serde_json::{Value, json};
use sqlx::Executor as _;
use uuid::Uuid;

use super::{document, lines, renamed_site, replay, told};
use crate::projectors::facts::{account, anna, renamed, vanished};
use crate::projectors::world::World;

#[tokio::test]
async fn a_whole_log_is_found_whole() {
    let world = World::new().await;
    let empty = replay(&world, &["check"]).await;
    assert!(told(&empty).contains("tried      0 events"), "{empty:?}");
    let (account, site) = renamed_site(&world).await;
    world.publish(account, site, "{city}").await;
    let order = world.order(account, site, Some(anna()), 5).await;
    world.withdraw(account, site, order).await;
    let whole = replay(&world, &["check"]).await;
    assert!(told(&whole).contains("tried      6 events"), "{whole:?}");
    assert!(told(&whole).contains("whole"), "{whole:?}");
    let whole = document(&replay(&world, &["check", "--json", "--memory-mib", "1"]).await);
    assert_eq!(
        (&whole["events"], &whole["broken_count"]),
        (&json!(6), &json!(0))
    );
}

#[tokio::test]
async fn every_event_that_breaks_is_told_and_the_rest_is_tried() {
    let world = World::new().await;
    let (account, site) = renamed_site(&world).await;
    let order = world.order(account, site, Some(anna()), 5).await;
    let stream = ("site", site.into());
    world.append_raw(account, stream, 2, vec![vanished()]).await;
    world.append(account, stream, 3, &[renamed("Boats")]).await;
    // A site that was never registered has no row to rename.
    let nowhere = ("site", Uuid::now_v7());
    world.append(account, nowhere, 0, &[renamed("Boats")]).await;
    // As who owns the database and can switch every guard off: an event that does not decode, and one with half an envelope.
    let mut owner = world.owner().await;
    for sql in [
        "set session_replication_role = replica",
        r#"insert into es.events
           select 7, tenant_id, aggregate_type, 'elsewhere', 1, bucket, gen_random_uuid(), 'activity.recorded', '1',
                  clock_timestamp(), command_id, correlation_id, causation_id, actor, '{"kind": "Anna"}', metadata
           from es.events where position = 3"#,
        r#"insert into es.events
           select 8, tenant_id, aggregate_type, aggregate_id, 5, bucket, gen_random_uuid(), 'site.renamed', '1',
                  clock_timestamp(), command_id, correlation_id, causation_id, actor,
                  '{"name": "Boats", "at": "2026-11-22T12:00:00Z", "note": {"$pii": {}}}', metadata
           from es.events where position = 1"#,
    ] {
        owner.execute(sql).await.unwrap();
    }
    let broken = replay(&world, &["check", "--json"]).await;
    assert_eq!(broken.status.code(), Some(1), "{broken:?}");
    let found: Value = serde_json::from_slice(&broken.stdout).unwrap();
    let positions: Vec<_> = found["broken"].as_array().unwrap().iter().collect();
    let positions: Vec<_> = positions.iter().map(|one| &one["position"]).collect();
    assert_eq!(positions, [4, 6, 7, 8]);
    assert_eq!(
        (&found["broken_count"], &found["behind_count"]),
        (&json!(4), &json!(1))
    );
    let text = replay(&world, &["check", "--list", "2"]).await;
    let stderr = String::from_utf8(text.stderr).unwrap();
    let text = String::from_utf8(text.stdout).unwrap();
    assert!(stderr.contains("4 events break in this build"), "{stderr}");
    for words in [
        &format!(
            "BREAKS     position 4, site.vanished version 1 of site {site}: it does not decode"
        ),
        "it does not fold into site_list",
        "an earlier event should have made",
        "and 2 more",
        "behind     1 events",
    ] {
        assert!(text.contains(words), "{words}: {text}");
    }
    assert!(!found.to_string().contains("Anna"), "{found}");

    // Looking back says why it can't, and the history goes on.
    let id = site.to_string();
    let state = replay(&world, &["state-at", "site", &id]).await;
    let stderr = String::from_utf8_lossy(&state.stderr);
    assert!(
        stderr.contains("the event at position 4 does not decode"),
        "{stderr}"
    );
    told(&replay(&world, &["state-at", "site", &id, "--position", "3"]).await);
    let history = lines(&replay(&world, &["history", "site", &id, "--json"]).await);
    assert_eq!(history.len(), 4);
    assert_eq!(history[2]["sentence"], Value::Null);
    assert!(history[2]["error"].is_string());
    told(&replay(&world, &["state-at", "activity", &order.to_string()]).await);
}

/// More sites than a megabyte holds: the log is read several times, and nothing is told twice or left out.
#[tokio::test]
async fn what_memory_does_not_hold_is_tried_in_further_passes() {
    let world = World::new().await;
    let account = account();
    let mut sites = Vec::new();
    for _ in 0..20 {
        let registered = (0..100).map(|_| world.register_site(account, "Shoes"));
        sites.extend(futures::future::join_all(registered).await);
    }
    for site in &sites[..20] {
        let stream = ("site", (*site).into());
        world.append_raw(account, stream, 1, vec![vanished()]).await;
    }
    let tried = replay(&world, &["check", "--json", "--memory-mib", "1"]).await;
    let found: Value = serde_json::from_slice(&tried.stdout).unwrap();
    let broken = found["broken"].as_array().unwrap().iter();
    let positions: Vec<_> = broken
        .map(|one| one["position"].as_i64().unwrap())
        .collect();
    assert_eq!(positions, (2_001..=2_020).collect::<Vec<_>>());
    assert_eq!(found["broken_count"], 20);
    assert_eq!(found["behind_count"], 0);
}
