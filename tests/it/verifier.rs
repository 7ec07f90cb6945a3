//! The verifier is asked about tables that were tampered with: it finds that, says where, and nothing else.

use std::collections::BTreeMap;

use redis::AsyncCommands as _;
use serde_json::json;
use sqlx::Executor as _;
use uuid::Uuid;
use verifier::Verify;

use crate::served::{Served, Shop, connections, order, seen};

const POSITIONS: &str = "positions of the domain log are exactly 1..N";
const ORDER: &str = "in every stream, sequences are 1..v in order of positions";
const CLOCK: &str = "recorded_at never steps back";
const HEADS: &str = "es.streams equals the log";
const MODELS: &str = "Postgres read models are the fold of their events";
const FOLDED: &str = "events can be folded";
const COUNTERS: &str = "Redis counters are a recount of the telemetry log";
const FACTS: &str = "ClickHouse has each position of the telemetry log once";
const ROLLUP: &str = "ClickHouse's roll-up is the sum of its rows";
const KEYS: &str = "keys.subject_events is what stands in the log";
const ONCE: &str = "a telemetry event of an owner is counted once";
const BUCKET: &str = "bucket is the hash of the event's owner";
const STANDS: &str = "no projection stands beyond its log, or in another incarnation";
const DRAINED: &str = "every projection runs, stands at its head and intends nothing";
const LAG: &str = "reported positions, heads and lags equal a recount";
const PRIVILEGES: &str = "no runtime role may insert, update, delete or truncate in a log";

/// A platform that has projected two orders, a withdrawal and some telemetry.
struct Platform {
    served: Served,
    shop: Shop,
    directory: tempfile::TempDir,
}

impl Platform {
    async fn with_some_history() -> Self {
        let served = Served::start().await;
        let shop = served.shop().await;
        for number in 1..=3 {
            let webhook = format!("w-{number}");
            let order = order(number);
            let delivered = served.deliver(&shop, "orders/create", &webhook, &order);
            delivered.await.is(200);
        }
        served.catch_up().await;
        let token = served.token(&shop).await;
        let events = (0..20).map(|_| seen(&token, "impression")).collect();
        served.collect(events).await.is(200);
        served.catch_up().await;
        let platform = Self {
            served,
            shop,
            directory: tempfile::tempdir().unwrap(),
        };
        assert_eq!(platform.found().await, BTreeMap::new());
        platform
    }

    fn verify(&self) -> Verify {
        let connections = connections(&self.served.world);
        Verify {
            database_url: connections.database_url,
            keys_database_url: connections.keys_database_url.unwrap(),
            redis_url: connections.redis_url,
            redis_prefix: connections.redis_prefix,
            clickhouse_url: connections.clickhouse_url,
            clickhouse_database: connections.clickhouse_database,
            journals: None,
            status: None,
            drained: true,
        }
    }

    /// What is violated, and what is said of it.
    async fn found(&self) -> BTreeMap<&'static str, String> {
        found(&self.verify()).await
    }

    /// As the owner, with triggers switched off.
    async fn tamper(&self, statements: &str) {
        let mut owner = self.served.world.owner().await;
        owner
            .execute("set session_replication_role = replica")
            .await
            .unwrap();
        owner.execute(statements).await.unwrap();
    }

    /// With a journal that says this.
    async fn found_with_journal(
        &self,
        lines: &[serde_json::Value],
    ) -> BTreeMap<&'static str, String> {
        let lines: String = lines.iter().map(|line| format!("{line}\n")).collect();
        let text = format!("{lines}{{\"kind\":\"torn");
        std::fs::write(self.directory.path().join("load.jsonl"), text).unwrap();
        let journals = Some(self.directory.path().to_owned());
        found(&Verify {
            journals,
            ..self.verify()
        })
        .await
    }
}

async fn found(verify: &Verify) -> BTreeMap<&'static str, String> {
    let report = verifier::verify(verify).await.unwrap();
    report
        .checks
        .into_iter()
        .filter(|check| check.violations > 0)
        .map(|check| (check.rule, check.told.join("\n")))
        .collect()
}

/// Exactly these rules are violated, and each says this.
#[track_caller]
fn only(found: &BTreeMap<&'static str, String>, expected: &[(&str, &str)]) {
    let rules: Vec<&str> = found.keys().copied().collect();
    let mut sorted: Vec<&str> = expected.iter().map(|(rule, _)| *rule).collect();
    sorted.sort_unstable();
    assert_eq!(rules, sorted, "{found:#?}");
    for (rule, says) in expected {
        assert!(found[rule].contains(says), "{says}: {found:#?}");
    }
}

#[tokio::test]
async fn a_missing_event_is_named() {
    let platform = Platform::with_some_history().await;
    // The last order's activity, which has a stream of its own.
    platform
        .tamper("delete from es.events where position = 8")
        .await;
    let expected = [
        (POSITIONS, "position 8 was expected, 9 stands there"),
        (HEADS, "es.streams has"),
        (MODELS, "should not be there"),
        (KEYS, "at position 8 is too much"),
    ];
    only(&platform.found().await, &expected);
}

#[tokio::test]
async fn two_events_that_changed_places_are_named() {
    let platform = Platform::with_some_history().await;
    // The notification's two events.
    platform
        .tamper(
            "update es.events set position = 1000 where position = 5;
             update es.events set position = 5 where position = 6;
             update es.events set position = 6 where position = 1000",
        )
        .await;
    let found = platform.found().await;
    assert!(
        found[ORDER].contains("has sequence 2 at position 5, after 0"),
        "{found:#?}"
    );
    assert!(
        found[CLOCK].contains("position 6 was recorded before"),
        "{found:#?}"
    );
    assert!(
        found[FOLDED].contains("position 5: there is no row"),
        "{found:#?}"
    );
    assert!(!found.contains_key(POSITIONS), "{found:#?}");
}

#[tokio::test]
async fn a_wrong_row_of_a_read_model_is_named() {
    let platform = Platform::with_some_history().await;
    platform
        .tamper("update rm_site_list_v1.site set name = 'Other'")
        .await;
    let says = format!(
        "{} differs: name is Other and must be Trail",
        platform.shop.site_id
    );
    only(&platform.found().await, &[(MODELS, &says)]);
    platform
        .tamper("update rm_site_list_v1.site set name = 'Trail'")
        .await;
    platform
        .tamper("delete from rm_proof_feed_v1.proof where position = 7")
        .await;
    only(
        &platform.found().await,
        &[(MODELS, "proof_feed version 1 has 2 rows, the fold 3")],
    );
}

#[tokio::test]
async fn a_doubled_count_in_redis_is_named() {
    let platform = Platform::with_some_history().await;
    let verify = platform.verify();
    let client = redis::Client::open(&*verify.redis_url).unwrap();
    let mut redis = client.get_multiplexed_async_connection().await.unwrap();
    let pattern = format!("*{}:telemetry_counters*:total", verify.redis_prefix);
    let keys: Vec<String> = redis.keys(pattern).await.unwrap();
    let field = format!("{}:impression", platform.shop.notification_id);
    let _: i64 = redis.hincr(&keys[0], &field, 20).await.unwrap();
    only(
        &platform.found().await,
        &[(COUNTERS, "impression is 40 and must be 20")],
    );
    let _: i64 = redis.hincr(&keys[0], &field, -20).await.unwrap();
    let _: i64 = redis.hincr(&keys[0], "stray", 1).await.unwrap();
    only(
        &platform.found().await,
        &[(COUNTERS, "stray is 1 and must not be there")],
    );
}

#[tokio::test]
async fn a_doubled_row_in_clickhouse_is_named() {
    let platform = Platform::with_some_history().await;
    let connections = connections(&platform.served.world);
    let clickhouse = connections
        .clickhouse()
        .unwrap()
        .with_database(&connections.clickhouse_database);
    clickhouse
        .query("insert into telemetry select * from telemetry where position = 7")
        .execute()
        .await
        .unwrap();
    // The roll-up counts what was inserted, so it agrees with the rows.
    only(
        &platform.found().await,
        &[(FACTS, "position 7 stands there 2 times and must 1 times")],
    );
    clickhouse
        .query("insert into telemetry_hourly select account_id, site_id, notification_id, kind, hour, 5 from telemetry_hourly limit 1")
        .execute()
        .await
        .unwrap();
    only(
        &platform.found().await,
        &[(FACTS, "position 7"), (ROLLUP, "is 26 and must be 21")],
    );
}

#[tokio::test]
async fn what_projections_say_of_themselves_is_recounted() {
    let platform = Platform::with_some_history().await;
    platform
        .tamper("update es.projections set checkpoint = 500 where name = 'integration_list' and shard = 3")
        .await;
    let expected = [
        (
            STANDS,
            "integration_list version 1 shard 3 stands at 500, beyond",
        ),
        (DRAINED, "integration_list version 1 shard 3 stands at 500"),
    ];
    only(&platform.found().await, &expected);

    // A reader that is dead, and a status that says that all is well.
    platform
        .tamper("update es.projections set checkpoint = 4 where name = 'integration_list'")
        .await;
    let status = platform.directory.path().join("status.json");
    let head = platform.served.events().await;
    let one = |name: &str| json!({ "name": name, "version": 1, "checkpoint": head, "head": head, "lag": 0 });
    let lists = [
        "site_list",
        "notification_list",
        "integration_list",
        "proof_feed",
        "subject_events",
        "subject_list",
    ];
    let mut all: Vec<_> = lists.map(one).into();
    all.extend(
        ["telemetry_counters", "telemetry_facts"].map(
            |name| json!({ "name": name, "version": 1, "checkpoint": 20, "head": 20, "lag": 0 }),
        ),
    );
    std::fs::write(&status, json!(all).to_string()).unwrap();
    let verify = Verify {
        status: Some(status),
        drained: false,
        ..platform.verify()
    };
    only(
        &found(&verify).await,
        &[(LAG, "integration_list version 1 is said to stand at")],
    );
}

#[tokio::test]
async fn a_key_index_a_bucket_and_a_resent_event_are_checked() {
    let platform = Platform::with_some_history().await;
    platform
        .tamper("update es.events set bucket = (bucket + 1) % 1024 where position = 3")
        .await;
    only(&platform.found().await, &[(BUCKET, "position 3 of owner")]);
    platform
        .tamper("update es.events set bucket = (bucket + 1023) % 1024 where position = 3")
        .await;
    platform
        .tamper("grant update on es.events to proofline_writer")
        .await;
    only(
        &platform.found().await,
        &[(PRIVILEGES, "proofline_writer may update in es.events")],
    );
    platform
        .tamper("revoke update on es.events from proofline_writer")
        .await;
    platform
        .tamper(
            "insert into es.telemetry select 21, tenant_id, owner_id, bucket, event_id, kind, occurred_at, received_at, payload
             from es.telemetry where position = 20",
        )
        .await;
    let found = platform.found().await;
    assert!(
        found[ONCE].contains("positions Some(20) and 21"),
        "{found:#?}"
    );
}

#[tokio::test]
async fn what_callers_were_told_is_compared_with_the_log() {
    let platform = Platform::with_some_history().await;
    let mut owner = platform.served.world.owner().await;
    let (tenant, command, event, stream): (Uuid, Uuid, Uuid, String) = sqlx::query_as(
        "select tenant_id, command_id, event_id, aggregate_type || '/' || aggregate_id from es.events where position = 3",
    )
    .fetch_one(&mut owner)
    .await
    .unwrap();
    let sent = |command: Uuid, events: &[Uuid]| {
        json!({ "kind": "append", "tenant": tenant, "command": command, "stream": stream, "expected": 0,
                "keyed": false, "events": events })
    };
    let told = |command: Uuid, version: i64, position: i64| {
        json!({ "kind": "appended", "tenant": tenant, "command": command, "outcome": "ok",
                "version": version, "position": position })
    };
    let telemetry = [(json!({
        "kind": "collect", "batch": 1, "owner": platform.shop.site_id, "tenant": tenant,
        "ids": telemetry_ids(&mut owner).await,
    }))];
    let with = |lines: &[serde_json::Value]| [&telemetry[..], lines].concat();
    let present = "an acknowledged append stands in the log as it was told, once";
    let whole = "an append that was not acknowledged is absent or whole";
    let identical = "repeats of an append under one key got one reply";

    let right = with(&[sent(command, &[event]), told(command, 1, 3)]);
    only(&platform.found_with_journal(&right).await, &[]);
    let lost = with(&[
        sent(Uuid::from_u128(9), &[event]),
        told(Uuid::from_u128(9), 1, 3),
    ]);
    let found = platform.found_with_journal(&lost).await;
    only(&found, &[(present, "has 0 of 1 events")]);
    let moved = with(&[sent(command, &[event]), told(command, 1, 4)]);
    let found = platform.found_with_journal(&moved).await;
    only(&found, &[(present, "was told version 1 and position 4")]);
    let half = with(&[sent(command, &[event, Uuid::from_u128(8)])]);
    let found = platform.found_with_journal(&half).await;
    only(&found, &[(whole, "has 1 of 2 events")]);
    let two = with(&[
        sent(command, &[event]),
        told(command, 1, 3),
        told(command, 1, 4),
    ]);
    let found = platform.found_with_journal(&two).await;
    only(&found, &[(identical, "[(1, 3), (1, 4)]")]);
    let seen = json!({ "kind": "seen", "log": "events", "from": 1, "to": 2, "digest": "00" });
    let found = platform.found_with_journal(&with(&[seen])).await;
    let rule = "what a reader saw meanwhile had no gap, and stands there still";
    only(&found, &[(rule, "positions 1 to 2 of the events log")]);
    let unsent = platform.found_with_journal(&[]).await;
    only(
        &unsent,
        &[(
            "all telemetry in the log was sent",
            "at position 20 was not sent",
        )],
    );
}

async fn telemetry_ids(owner: &mut sqlx::PgConnection) -> Vec<Uuid> {
    sqlx::query_scalar("select event_id from es.telemetry order by position")
        .fetch_all(owner)
        .await
        .unwrap()
}
