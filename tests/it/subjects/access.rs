//! What is held about a person, for that person.

use std::time::Duration;

use domain::AccountId;
use event_store::Role;
use projections::held::held_about;
use projections::{ReadError, ReadTx};
use reqwest::Method;
use serde_json::json;
use sha2::{Digest as _, Sha256};
use sqlx::Executor as _;
use tests::World;
use uuid::Uuid;

use super::Office;
use crate::served::answered;
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

    // What is stored of a request under a key is no hash that an address could be tried out by.
    let keyed = office
        .it
        .request(Method::POST, "/v1/subjects")
        .bearer_auth(&office.officer);
    let body = json!({ "email": "anna.schmidt@example.com" });
    let keyed = keyed.header("idempotency-key", "k-1").json(&body);
    answered(keyed).await.is(200);
    let mut plain = Sha256::new();
    for part in ["POST", "/v1/subjects", &body.to_string()] {
        plain.update((part.len() as u64).to_be_bytes());
        plain.update(part);
    }
    let stored = "select count(*) filter (where request_hash = $1), count(*) from es.commands";
    let (plain, stored): (i64, i64) = sqlx::query_as(stored)
        .bind(plain.finalize().to_vec())
        .fetch_one(&mut office.it.world.owner().await)
        .await
        .unwrap();
    assert!(plain == 0 && stored > 0, "{plain} of {stored}");

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
