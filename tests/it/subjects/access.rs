//! What is held about a person, for that person.

use std::time::Duration;

use chrono::{SubsecRound as _, TimeDelta};
use commands::Call;
use domain::{AccountId, ExportLink};
use event_store::Role;
use projections::held::held_about;
use projections::{ReadError, ReadTx};
use proofline::secrets::Secrets;
use reqwest::Method;
use serde_json::json;
use sqlx::Executor as _;
use tests::World;
use uuid::Uuid;

use super::Office;
use crate::command_path::call;
use crate::served::{Answered, answered, connections, order_of};
use crate::support::TENANT;

#[tokio::test]
async fn what_is_held_about_a_person_is_handed_out_by_a_link_and_noted() {
    let office = Office::open().await;
    let _projecting = office.projecting();
    for (name, id) in [("Anna", 1), ("Bob", 2)] {
        office.order(name, id).await;
    }
    let record = office.record_of("Anna").await;
    let exports = format!("{record}/exports");
    let unasked = office.enter(&exports, json!({})).await;
    assert_eq!(
        unasked.problem(409, "conflict").body["code"],
        "no_access_request"
    );
    let asked = format!("{record}/access-requests");
    office.enter(&asked, json!({})).await.is(200);
    let link = office.enter(&exports, json!({})).await.is(201);
    let again = office.enter(&exports, json!({})).await.is(201);
    assert_eq!(link.body, again.body, "the answer may have been lost");
    let url = link.body["url"].as_str().unwrap();

    let fetch = async |url: &str| answered(office.it.request(Method::GET, url)).await;
    let export = fetch(&format!("{url}?format=json")).await.is(200);
    assert_eq!(export.header("cache-control"), "no-store");
    let told: Vec<_> = export.body["events"]
        .as_array()
        .unwrap()
        .iter()
        .map(|event| event["event_type"].as_str().unwrap())
        .collect();
    assert_eq!(
        told,
        [
            "activity.recorded",
            "data_subject.registered",
            "data_subject.access_requested",
            "data_subject.access_fulfilled",
        ]
    );
    let buyer = &export.body["events"][0]["data"]["buyer"];
    assert_eq!(buyer["email"], "anna.schmidt@example.com");
    let rows: Vec<_> = export.body["read_models"]
        .as_array()
        .unwrap()
        .iter()
        .map(|held| held["table"].as_str().unwrap())
        .collect();
    assert_eq!(
        rows,
        ["rm_proof_feed_v1.proof", "rm_subject_list_v1.subject"]
    );
    assert_eq!(
        export.body["read_models"][0]["rows"][0]["buyer"]["first_name"],
        "Anna"
    );
    let page = fetch(url).await.is(200);
    assert!(page.header("content-type").starts_with("text/html"));
    let page = page.body.as_str().unwrap();
    for shown in ["anna.schmidt@example.com", "placed an order", "Schmidt"] {
        assert!(page.contains(shown), "{shown}");
    }
    for answer in [page, &export.body.to_string()] {
        assert!(!answer.to_lowercase().contains("bob"), "{answer}");
    }
    let noted =
        "select count(*) from es.access_log where purpose = 'subject_export' and actor = 'link'";
    assert_eq!(office.it.count(noted).await, 2);

    let altered = format!("{}A", &url[..url.len() - 1]);
    let altered = if altered == url {
        format!("{}B", &url[..url.len() - 1])
    } else {
        altered
    };
    fetch(&altered).await.problem(404, "not-found");
    let wrong = format!("{url}?format=pdf");
    fetch(&wrong).await.problem(400, "invalid-parameter");
    office.erase(&record).await;
    fetch(url).await.problem(404, "not-found");
    let late = office.enter(&asked, json!({})).await;
    assert_eq!(late.problem(409, "conflict").body["code"], "subject_erased");

    // Each fetch opens everything, so there are only so many.
    let mut fetched = fetch(url).await;
    for _ in 0..50 {
        if fetched.status == 429 {
            break;
        }
        fetched = fetch(url).await;
    }
    fetched.problem(429, "rate-limited");
}

impl Office {
    /// Answers who asks what is held about them.
    async fn hand_out(&self, record: &str) -> Answered {
        let asked = format!("{record}/access-requests");
        self.enter(&asked, json!({})).await.is(200);
        let exports = format!("{record}/exports");
        self.enter(&exports, json!({})).await.is(201)
    }
}

fn link_of(answer: &Answered) -> String {
    format!("{}?format=json", answer.body["url"].as_str().unwrap())
}

#[tokio::test]
async fn a_link_ends_when_access_is_asked_for_again_and_at_the_latest_when_it_says() {
    let office = Office::open().await;
    let _projecting = office.projecting();
    office.order("Anna", 1).await;
    let record = office.record_of("Anna").await;
    let (asked, exports) = (
        format!("{record}/access-requests"),
        format!("{record}/exports"),
    );
    let first = link_of(&office.hand_out(&record).await);
    let fetch = async |url: &str| answered(office.it.request(Method::GET, url)).await;
    fetch(&first).await.is(200);
    office.enter(&asked, json!({})).await.is(200);
    fetch(&first).await.problem(404, "not-found");
    let second = link_of(&office.enter(&exports, json!({})).await.is(201));
    assert_ne!(first, second);
    fetch(&first).await.problem(404, "not-found");
    fetch(&second).await.is(200);

    // Of one that was handed out eight days ago.
    let bob = office.record_of("Bob").await;
    let subject: Uuid = bob.rsplit('/').next().unwrap().parse().unwrap();
    let now = platform::clock::now().trunc_subsecs(3);
    let link = ExportLink {
        account_id: office.it.account.into(),
        subject_id: subject.into(),
        expires_at: now - TimeDelta::days(1),
    };
    let call = Call {
        account: link.account_id,
        at: now - TimeDelta::days(8),
        ..call()
    };
    let subjects = &office.it.commands.subjects;
    subjects
        .request_access(&call, link.subject_id)
        .await
        .unwrap();
    let handed_out = subjects
        .hand_out(&call, link.subject_id, link.expires_at)
        .await
        .unwrap();
    assert_eq!(handed_out.1, link.expires_at);
    let secrets = Secrets::open(&connections(&office.it.world)).await.unwrap();
    let token = secrets.exports.sign(&link.to_bytes());
    let expired = fetch(&format!("/subject-exports/{token}")).await;
    expired.problem(422, "token-expired");
}

/// The export says that it is complete.
#[tokio::test]
async fn what_became_of_an_order_is_exported_and_nothing_while_events_wait() {
    let office = Office::open().await;
    let _projecting = office.projecting();
    let order = order_of("Anna", 1);
    for topic in ["orders/create", "orders/cancelled"] {
        office
            .it
            .deliver(&office.shop, topic, topic, &order)
            .await
            .is(200);
    }
    let record = office.record_of("Anna").await;
    let link = office.hand_out(&record).await;
    let fetch = async || answered(office.it.request(Method::GET, &link_of(&link))).await;
    let mut owner = office.it.world.owner().await;
    let own = "insert into es.parked_keys (name, version, bucket, position_from)
               select 'subject_list', 1, bucket, position from es.events where event_type = 'data_subject.registered'";
    owner.execute(own).await.unwrap();
    assert_eq!(fetch().await.status, 503);
    // Neither another account's is theirs, nor what waits of telemetry.
    owner
        .execute("update es.parked_keys set name = 'telemetry_counters'")
        .await
        .unwrap();
    fetch().await.is(200);
    owner
        .execute("update es.parked_keys set name = 'subject_list'")
        .await
        .unwrap();
    let others = "update es.parked_keys set bucket = (select min(b) from generate_series(0, 1023) b where b not in (select bucket from es.events))";
    owner.execute(others).await.unwrap();
    fetch().await.is(200);
    owner.execute("delete from es.parked_keys").await.unwrap();
    // What can't be noted stays closed.
    let (rename, back) = (
        "alter function es.note_access rename to lost",
        "alter function es.lost rename to note_access",
    );
    owner.execute(rename).await.unwrap();
    let unnoted = fetch().await;
    assert!(unnoted.status.is_server_error(), "{unnoted:?}");
    assert!(!unnoted.body.to_string().contains("Schmidt"), "{unnoted:?}");
    owner.execute(back).await.unwrap();
    let export = fetch().await.is(200);
    let told: Vec<_> = export.body["events"]
        .as_array()
        .unwrap()
        .iter()
        .map(|event| event["event_type"].as_str().unwrap())
        .collect();
    assert_eq!(told[..2], ["activity.recorded", "activity.withdrawn"]);
}

#[tokio::test]
async fn a_read_model_that_takes_too_long_to_look_through_is_named() {
    let world = World::new().await;
    let slow = "create schema rm_slow;
         create table rm_slow.rows (id int);
         insert into rm_slow.rows values (1);
         alter table rm_slow.rows enable row level security;
         create policy slowly on rm_slow.rows using (pg_sleep(20) is not null);
         grant usage on schema rm_slow to proofline_reader;
         grant select on rm_slow.rows to proofline_reader";
    world.owner().await.execute(slow).await.unwrap();
    let account = AccountId::from(TENANT);
    let reader = world.pool(Role::Reader);
    let mut tx = ReadTx::begin(&reader, account, &[]).await.unwrap();
    let looked = held_about(&mut tx, &[Uuid::nil()], Duration::from_secs(2)).await;
    let late = looked.unwrap_err();
    assert!(
        matches!(&late, ReadError::Held { table, .. } if table == "rm_slow.rows"),
        "{late:?}"
    );
}
