//! What an account's compliance officer reads: everything that happened, in words, and nothing of anybody else.

mod accesses;
mod graph;

use std::collections::BTreeSet;

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use event_store::{About, AuditFilter, AuditTx, Role};
use projections::audit::{self, AuditQuery};
use reqwest::Method;
use serde_json::{Value, json};
use sqlx::{Executor as _, Row as _};
use tests::World;
use tokio::process::Command;
use uuid::Uuid;

use crate::served::{Answered, Served, answered};
use crate::support::{OTHER_TENANT, TENANT, append, stream};

/// Reads as the account's officer.
struct Officer<'a> {
    it: &'a Served,
    key: String,
}

impl<'a> Officer<'a> {
    async fn of(it: &'a Served) -> Self {
        let key = it.key_with("compliance").await;
        Self { it, key }
    }

    async fn get(&self, path: &str) -> Answered {
        answered(self.it.request(Method::GET, path).bearer_auth(&self.key)).await
    }

    /// The entries of a query's first page.
    async fn entries(&self, query: &str) -> Vec<Value> {
        let found = self.get(&format!("/v1/audit?{query}")).await.is(200);
        found.body["data"].as_array().unwrap().clone()
    }
}

fn sentences(entries: &[Value]) -> Vec<&str> {
    entries
        .iter()
        .map(|entry| entry["sentence"].as_str().unwrap())
        .collect()
}

/// A site that was Shoes and is Boots.
async fn renamed_site(it: &Served) -> String {
    let shoes = json!({ "name": "Shoes", "domain": "shoes.example.com" });
    let site = it.post("/v1/sites", shoes).await.is(201);
    let site = site.body["id"].as_str().unwrap().to_owned();
    let renamed = it
        .request(Method::PATCH, &format!("/v1/sites/{site}"))
        .bearer_auth(&it.key)
        .json(&json!({ "name": "Boots" }));
    answered(renamed).await.is(200);
    site
}

#[tokio::test]
async fn an_entry_tells_who_did_what_and_what_it_changed() {
    let it = Served::start().await;
    let officer = Officer::of(&it).await;
    let site = renamed_site(&it).await;
    // Nothing has to be projected: the log itself is read.
    let [renamed, registered] = &officer.entries("aggregate_type=site").await[..] else {
        panic!("two events")
    };
    assert_eq!(renamed["sentence"], "The site was renamed \"Boots\".");
    let name = json!([{ "name": "name", "before": "\"Shoes\"", "after": "\"Boots\"" }]);
    assert_eq!(renamed["changes"], name);
    assert_eq!(renamed["event_type"], "site.renamed");
    assert_eq!(renamed["aggregate_type"], "site");
    assert_eq!(renamed["aggregate_id"], site);
    assert_eq!(renamed["aggregate_version"], 2);
    assert_eq!(renamed["source"], "http");
    assert!(renamed["actor"].as_str().unwrap().starts_with("api_key:"));
    for id in ["request_id", "command_id", "correlation_id", "event_id"] {
        assert!(Uuid::parse_str(renamed[id].as_str().unwrap()).is_ok());
    }
    assert_eq!(registered["aggregate_version"], 1);
    let was = registered["changes"].as_array().unwrap();
    assert!(was.iter().all(|fact| fact["before"].is_null()));
    assert!(was.contains(&json!({ "name": "name", "before": null, "after": "\"Shoes\"" })));
}

#[tokio::test]
async fn a_read_says_where_it_stands_and_takes_a_position() {
    let it = Served::start().await;
    let officer = Officer::of(&it).await;
    renamed_site(&it).await;
    let found = officer.get("/v1/audit?limit=1").await.is(200);
    let at = found.header("proofline-position").to_owned();
    assert_eq!(found.body["data"][0]["position"], at);
    for path in ["/v1/audit", "/v1/audit/access"] {
        let found = officer.get(&format!("{path}?min_position={at}")).await;
        assert_eq!(found.is(200).header("proofline-position"), at);
        let beyond = officer.get(&format!("{path}?min_position=x")).await;
        beyond.problem(400, "invalid-position");
    }
}

#[tokio::test]
async fn filters_leave_what_is_all_of_them() {
    let it = Served::start().await;
    let officer = Officer::of(&it).await;
    let site = renamed_site(&it).await;
    renamed_site_elsewhere(&it).await;
    let all = officer.entries("limit=100").await;
    let renamed = &officer.entries("type=site.renamed&text=BOOTS").await[..];
    assert_eq!(sentences(renamed), ["The site was renamed \"Boots\"."]);
    let actor = renamed[0]["actor"].as_str().unwrap();
    let at = renamed[0]["recorded_at"].as_str().unwrap();
    let just_after = at.parse::<DateTime<Utc>>().unwrap() + TimeDelta::microseconds(1);
    let just_after = just_after.to_rfc3339_opts(SecondsFormat::Micros, true);
    for (query, expected) in [
        (format!("aggregate_type=site&aggregate_id={site}"), 2),
        ("aggregate_type=site".to_owned(), 3),
        (format!("actor={actor}"), 3),
        (format!("actor={actor}&type=site.renamed"), 1),
        ("actor=api_key:nobody".to_owned(), 0),
        ("text=boots".to_owned(), 1),
        ("text=sandals".to_owned(), 1),
        ("text=no%20such%20words".to_owned(), 0),
        (format!("until={at}&aggregate_type=site"), 1),
        (format!("from={at}&aggregate_type=site"), 2),
        (
            format!("from={at}&until={just_after}&aggregate_type=site"),
            1,
        ),
        (
            format!("aggregate_type=site&aggregate_id={}", Uuid::nil()),
            0,
        ),
        (String::new(), all.len()),
    ] {
        let found = officer.entries(&query).await;
        assert_eq!(found.len(), expected, "{query}: {:?}", sentences(&found));
    }
}

async fn renamed_site_elsewhere(it: &Served) {
    let sandals = json!({ "name": "Sandals", "domain": "sandals.example.com" });
    it.post("/v1/sites", sandals).await.is(201);
}

#[tokio::test]
async fn every_wrong_filter_is_named() {
    let it = Served::start().await;
    let officer = Officer::of(&it).await;
    let refused = officer
        .get("/v1/audit?from=now&until=later&type=x&aggregate_type=y&aggregate_id=z&text=")
        .await
        .problem(400, "invalid-parameter");
    // A name from the answers, which is no filter: everything would look like what was asked for.
    for misspelt in ["event_type=site.renamed", "since=2026-11-21T00:00:00Z"] {
        let read = officer.get(&format!("/v1/audit?{misspelt}")).await;
        read.problem(400, "invalid-parameter");
    }
    let errors = refused.body["errors"].as_array().unwrap();
    let named: BTreeSet<&str> = errors
        .iter()
        .map(|error| error["parameter"].as_str().unwrap())
        .collect();
    let all = [
        "aggregate_id",
        "aggregate_type",
        "from",
        "text",
        "type",
        "until",
    ];
    assert_eq!(named, BTreeSet::from(all));
    for path in ["/v1/audit?cursor=x", "/v1/audit/access?cursor=x"] {
        officer.get(path).await.problem(400, "invalid-cursor");
    }
}

#[tokio::test]
async fn only_the_scope_compliance_reads_it_and_only_of_its_account() {
    let it = Served::start().await;
    renamed_site(&it).await;
    let other = it.other_officers_key().await;
    let keys = [it.key_with("read").await, it.key_with("write").await];
    for path in ["/v1/audit", "/v1/audit/access"] {
        for key in &keys {
            let refused = answered(it.request(Method::GET, path).bearer_auth(key)).await;
            assert_eq!(
                refused.problem(403, "forbidden").body["code"],
                "scope_missing"
            );
        }
        let refused = answered(it.request(Method::GET, path)).await;
        refused.problem(401, "unauthenticated");
    }
    let found = answered(it.request(Method::GET, "/v1/audit").bearer_auth(other)).await;
    for entry in found.is(200).body["data"].as_array().unwrap() {
        assert_eq!(entry["aggregate_type"], "account", "{entry}");
        assert_ne!(entry["aggregate_id"], it.account.to_string());
    }
}

#[tokio::test]
async fn pages_join_without_gap_or_repeat_while_events_are_appended() {
    let it = Served::start().await;
    let officer = Officer::of(&it).await;
    for n in 0..7 {
        let site = json!({ "name": format!("S{n}"), "domain": format!("s{n}.example.com") });
        it.post("/v1/sites", site).await.is(201);
    }
    let before = officer.entries("limit=100").await;
    let mut joined = Vec::new();
    let mut path = "/v1/audit?limit=2".to_owned();
    loop {
        let page = officer.get(&path).await.is(200);
        joined.extend(page.body["data"].as_array().unwrap().clone());
        renamed_later(&it, joined.len()).await;
        let Some(cursor) = page.body["next_cursor"].as_str() else {
            assert!(!page.headers.contains_key("link"));
            break;
        };
        assert!(page.header("link").contains(cursor));
        path = format!("/v1/audit?limit=2&cursor={cursor}");
    }
    assert_eq!(joined, before);
}

async fn renamed_later(it: &Served, n: usize) {
    let site = json!({ "name": "Later", "domain": format!("later{n}.example.com") });
    it.post("/v1/sites", site).await.is(201);
}

#[tokio::test]
async fn no_person_and_no_secret_is_told() {
    let it = Served::start().await;
    let officer = Officer::of(&it).await;
    let shop = it.shop().await;
    let order = crate::served::order(1);
    it.deliver(&shop, "orders/create", "w-1", &order)
        .await
        .is(200);
    let found = officer.get("/v1/audit?limit=100").await.is(200);
    let text = found.body.to_string();
    assert!(text.contains("activity.recorded"));
    for hidden in [
        "Anna",
        "Schmidt",
        "anna.schmidt",
        crate::served::SECRET,
        "$pii",
        "hash",
    ] {
        assert!(!text.contains(hidden), "{hidden}: {text}");
    }
}

#[tokio::test]
async fn what_is_too_old_is_not_shown() {
    let world = World::new().await;
    world.store().await.append(append("s")).await.unwrap();
    let pool = world.pool(Role::Compliance);
    let shown = async |from: &str| {
        let query = AuditQuery {
            from: Some(from.parse().unwrap()),
            limit: 9,
            ..AuditQuery::default()
        };
        let page = audit::page(&pool, TENANT.into(), &query).await.unwrap();
        page.value.entries.len()
    };
    assert_eq!(shown("2026-01-01T00:00:00Z").await, 1);
    assert_eq!(shown("2999-01-01T00:00:00Z").await, 0);
}

/// What a request looks through has its bound, and what is beyond is found by those that go on.
#[tokio::test]
async fn a_filter_that_few_events_pass_is_gone_through_request_by_request() {
    let world = World::new().await;
    let store = world.store().await;
    let mut rare = append("rare");
    rare.origin.actor = "rare".to_owned();
    store.append(rare.clone()).await.unwrap();
    filled(&world, TENANT, 25_000).await;
    let pool = world.pool(Role::Compliance);
    let mut query = AuditQuery {
        filter: AuditFilter {
            actor: Some("rare".to_owned()),
            ..AuditFilter::default()
        },
        limit: 5,
        ..AuditQuery::default()
    };
    for (entries, next) in [(0, Some(15_002)), (0, Some(5_002)), (1, None)] {
        let page = audit::page(&pool, TENANT.into(), &query)
            .await
            .unwrap()
            .value;
        assert_eq!((page.entries.len(), page.next), (entries, next));
        query.before = page.next;
    }
    // By text, the same; by its aggregate, at once.
    let by_text = AuditQuery {
        text: Some("THING.HAPPENED happened".to_owned()),
        limit: 3,
        ..AuditQuery::default()
    };
    let page = audit::page(&pool, TENANT.into(), &by_text)
        .await
        .unwrap()
        .value;
    assert_eq!((page.entries.len(), page.next), (3, Some(24_999)));
    let by_aggregate = AuditQuery {
        filter: AuditFilter {
            about: Some(About::One(stream("rare"))),
            ..AuditFilter::default()
        },
        limit: 5,
        ..AuditQuery::default()
    };
    let page = audit::page(&pool, TENANT.into(), &by_aggregate)
        .await
        .unwrap()
        .value;
    assert_eq!((page.entries.len(), page.next), (1, None));
    assert_eq!(page.entries[0].event.position, 1);
    assert_eq!(page.entries[0].changes, None, "this build knows no thing");
}

#[tokio::test]
async fn a_page_of_an_account_with_few_events_does_not_go_through_the_log() {
    let world = World::new().await;
    world.store().await.append(append("s")).await.unwrap();
    filled(&world, OTHER_TENANT, 50_000).await;
    let pool = world.pool(Role::Compliance);
    let mut tx = event_store::begin(&pool).await.unwrap();
    tx.execute(&*format!(
        "select set_config('proofline.account', '{TENANT}', true)"
    ))
    .await
    .unwrap();
    let statement = include_str!("../../../event-store/sql/select_audited_events.sql");
    let rows = sqlx::query(&format!("explain (analyze, timing off) {statement}"))
        .bind(1_i64)
        .bind(i64::MAX)
        .bind(20_i64)
        .bind(None::<String>)
        .bind(None::<String>)
        .bind(None::<String>)
        .fetch_all(&mut *tx)
        .await
        .unwrap();
    let plan: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
    let plan = plan.join("\n");
    assert!(
        plan.contains("events_p0000_tenant_id_position_idx"),
        "{plan}"
    );
    assert!(!plan.contains("Removed by Filter"), "{plan}");
    drop(tx);

    let mut tx = AuditTx::begin(&pool, TENANT).await.unwrap();
    let stretch = tx.stretch(None, None).await.unwrap();
    let events = tx
        .events(stretch, &AuditFilter::default(), 9)
        .await
        .unwrap();
    assert_eq!(events.len(), 1);
}

/// So many events more of a tenant, each of a stream of its own.
async fn filled(world: &World, tenant: Uuid, events: i64) {
    let mut owner = world.owner().await;
    sqlx::query(
        "insert into es.events (position, tenant_id, aggregate_type, aggregate_id, sequence, bucket, event_id, event_type,
                                event_version, recorded_at, command_id, correlation_id, causation_id, actor, payload, metadata)
         select e.position + n, $1, e.aggregate_type, 'filled-' || n, 1, e.bucket, gen_random_uuid(), e.event_type,
                e.event_version, e.recorded_at, gen_random_uuid(), e.correlation_id, null, 'filler', e.payload, e.metadata
         from es.events e, generate_series(1, $2) n where e.position = 1",
    )
    .bind(tenant)
    .bind(events)
    .execute(&mut owner)
    .await
    .unwrap();
    (&mut owner).execute("analyze es.events").await.unwrap();
}

#[tokio::test]
async fn a_reason_that_a_request_gives_stands_in_the_audit() {
    let it = Served::start().await;
    let officer = Officer::of(&it).await;
    let register = |reason: &str| {
        let site = json!({ "name": "Shoes", "domain": "shoes.example.com" });
        it.request(Method::POST, "/v1/sites")
            .bearer_auth(&it.key)
            .header("proofline-reason", reason)
            .json(&site)
    };
    let refused = answered(register("Anna asked for it")).await;
    let refused = refused.problem(400, "invalid-parameter").body;
    assert_eq!(refused["errors"][0]["parameter"], "Proofline-Reason");
    answered(register("ticket:4711")).await.is(201);
    let [registered] = &officer.entries("aggregate_type=site").await[..] else {
        panic!("one site")
    };
    assert_eq!(registered["reason"], "ticket:4711");
    let opened = &officer.entries("aggregate_type=account").await[0];
    assert_eq!(opened["reason"], Value::Null);
}

async fn replay(it: &Served, arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_replay-process"))
        .args(arguments)
        .env("DATABASE_URL", &it.world.database_url)
        .output()
        .await
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[tokio::test]
async fn replay_tells_the_same() {
    let it = Served::start().await;
    let site = renamed_site(&it).await;
    renamed_site_elsewhere(&it).await;
    let account = it.account.to_string();
    let replay = async |arguments: &[&str]| replay(&it, arguments).await;
    let told = replay(&["audit", "list", &account, "--type", "site.renamed"]).await;
    for words in [
        ", by api_key:",
        ", through http\n    The site was renamed \"Boots\".\n",
        "        name: \"Shoes\" -> \"Boots\"\n",
    ] {
        assert!(told.contains(words), "{words}: {told}");
    }
    assert_eq!(told.matches("position ").count(), 1, "{told}");
    let lines = replay(&["audit", "list", &account, "--json", "--limit", "3"]).await;
    let told: Vec<Value> = lines
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let positions: Vec<i64> = told
        .iter()
        .map(|entry| entry["position"].as_i64().unwrap())
        .collect();
    assert_eq!(told.len(), 3);
    assert!(positions.is_sorted_by(|newer, older| newer > older));
    let named = &[
        "audit",
        "list",
        &account,
        "--aggregate",
        "site",
        "--text",
        "REGISTERED",
    ];
    assert!(
        replay(named)
            .await
            .contains("\"Shoes\" on shoes.example.com was registered")
    );
    let renamed = replay(&[
        "audit",
        "list",
        &account,
        "--json",
        "--type",
        "site.renamed",
    ])
    .await;
    let renamed: Value = serde_json::from_str(&renamed).unwrap();
    let (actor, at) = (
        renamed["actor"].as_str().unwrap(),
        renamed["recorded_at"].as_str().unwrap(),
    );
    for (filters, expected) in [
        (vec!["--aggregate", "site", "--id", &site], 2),
        (vec!["--actor", actor], 3),
        (vec!["--actor", "api_key:nobody"], 0),
        (vec!["--aggregate", "site", "--from", at], 2),
        (vec!["--aggregate", "site", "--until", at], 1),
    ] {
        let all = [&["audit", "list", &*account, "--json"], &filters[..]].concat();
        assert_eq!(replay(&all).await.lines().count(), expected, "{filters:?}");
    }
    let nobody = Uuid::nil().to_string();
    assert_eq!(replay(&["audit", "list", &nobody]).await, "");
}
