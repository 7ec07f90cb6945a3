//! Who is erased is forgotten everywhere, and nobody else.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use proofline::app::{App, Part};
use proofline::chores::Chores;
use replay_tools::subject::Erasures;
use serde_json::{Value, json};

use super::{ANNA, BOB, DEADLINE, Office, SOMEONE};
use crate::served::{connections, tuning};
use crate::support::cut_after;

/// An erasure is polled some hundred times.
const STRIDE: usize = 3;
const POLLS_MAX: usize = 3_000;

#[tokio::test]
async fn who_asks_to_be_erased_is_forgotten_everywhere_and_others_are_not() {
    let office = Office::open().await;
    let _projecting = office.projecting();
    for (name, id) in [("Anna", 1), ("Bob", 2), ("Anna", 3)] {
        office.order(name, id).await;
    }
    let record = office.record_of("Anna").await;
    assert_eq!(
        record,
        office.record_of("Anna").await,
        "one person, one record"
    );
    office.pages_show(vec![ANNA, ANNA, BOB]).await;

    let subject = office.erase(&record).await;
    assert_eq!(subject["due_at"], Value::Null);
    office.pages_show(vec![BOB, SOMEONE, SOMEONE]).await;
    // Who comes again stays unknown, and the order is an order.
    office.order("Anna", 4).await;
    office
        .pages_show(vec![BOB, SOMEONE, SOMEONE, SOMEONE])
        .await;
    let kept = "select count(*) from rm_proof_feed_v1.proof where buyer is not null";
    assert_eq!(office.it.count(kept).await, 1);
    // Asked for again, it is done.
    assert_eq!(office.erase(&record).await, subject);

    let certificate = office.read(&format!("{record}/certificate")).await.is(200);
    let certificate = certificate.body.as_str().unwrap();
    let (text, signature) = certificate.split_once("\n\n").unwrap();
    assert!(
        signature.starts_with("\u{2014} proofline.seal/1 "),
        "{signature}"
    );
    let certificate: Value = serde_json::from_str(text).unwrap();
    assert_eq!(certificate["positions"].as_array().unwrap().len(), 2);
    assert_eq!(certificate["keys"].as_array().unwrap().len(), 1);
    assert!(certificate["keys"][0]["receipt"].is_string(), "{text}");
    let projections = certificate["projections"].as_array().unwrap();
    let forgotten_at = certificate["forgotten_at_position"].as_i64().unwrap();
    for name in ["proof_feed", "subject_events", "subject_list"] {
        let past = projections.iter().find(|one| one["name"] == name).unwrap();
        assert!(past["checkpoint"].as_i64().unwrap() >= forgotten_at);
    }
}

#[tokio::test]
async fn who_is_known_by_something_else_too_is_erased_under_that_as_well() {
    let office = Office::open().await;
    let _projecting = office.projecting();
    office.order("Anna", 1).await;
    office.order("Bob", 2).await;
    let nameless = json!({
        "kind": "review", "occurred_at": platform::clock::now(),
        "buyer": { "first_name": "Annie", "city": "Berlin" }, "product": "Trail Runner 3",
    });
    let site = format!("/v1/sites/{}/activities", office.shop.site_id);
    let review = office.it.post(&site, nameless).await.is(201);
    let activity = json!({ "activity_id": review.body["id"] });
    let record = office.record_of("Anna").await;
    let link = format!("{record}/identities");
    office.enter(&link, activity.clone()).await.is(200);
    office.enter(&link, activity.clone()).await.is(200);
    // Nobody has two records.
    let bob = office.record_of("Bob").await;
    let by_email = |name: &str| json!({ "email": format!("{name}.schmidt@example.com") });
    office
        .enter(&link, by_email("bob"))
        .await
        .problem(409, "taken");
    let again = office
        .enter(&format!("{bob}/identities"), activity.clone())
        .await;
    again.problem(409, "taken");
    let found = office.enter("/v1/subjects", activity).await.is(200);
    let found = found.body["id"].as_str().unwrap();
    assert_eq!(record, format!("/v1/subjects/{found}"));

    let subject = office.erase(&record).await;
    assert_eq!(subject["identities"].as_array().unwrap().len(), 1);
    office.pages_show(vec![BOB, SOMEONE, SOMEONE]).await;
    let identity = subject["identities"][0].as_str().unwrap();
    let unlinked = office
        .enter(&format!("{link}/{identity}/unlink"), json!({}))
        .await;
    assert_eq!(
        unlinked.problem(409, "conflict").body["code"],
        "subject_erased"
    );
    let linked = office.enter(&link, by_email("carla")).await;
    assert_eq!(
        linked.problem(409, "conflict").body["code"],
        "subject_erased"
    );
}

#[tokio::test]
async fn an_erasure_that_was_cut_short_is_taken_up_and_done_once() {
    let office = Office::open().await;
    office.order("Anna", 1).await;
    let record = office.record_of("Anna").await;
    office.request_erasure(&record).await;
    office.it.catch_up().await;
    // Nobody projects: the keys are destroyed, and nothing can be certified.
    assert_eq!(office.it.chores.erasures().round().await.unwrap(), 1);
    office.it.catch_up().await;
    let subject = office.read(&record).await.is(200);
    assert_eq!(subject.body["erasure"]["state"], "erased");
    office.pages_show(vec![SOMEONE]).await;
    let told = "select count(*) from es.seal_notes where kind = 'tombstone'";
    assert_eq!(office.it.count(told).await, 1);
    let _projecting = office.projecting();
    office.erase(&record).await;
    assert_eq!(office.it.chores.erasures().round().await.unwrap(), 0);
    for (event, count) in [
        ("data_subject.erased", 1),
        ("data_subject.erasure_certified", 1),
        ("activity.buyer_forgotten", 1),
    ] {
        let told = format!("select count(*) from es.events where event_type = '{event}'");
        assert_eq!(office.it.count(&told).await, count, "{event}");
    }
}

/// Later and later, until there is nothing more to cut. Whoever takes it up may be two at once.
#[tokio::test]
async fn an_erasure_is_done_once_wherever_it_was_cut_off() {
    let office = Office::open().await;
    let _projecting = office.projecting();
    let of = |chores: &Chores| Erasures {
        // No other process holds a key.
        settled_after: Duration::ZERO,
        ..chores.erasures().clone()
    };
    let erasures = of(&office.it.chores);
    // The decision, the tombstone, after which the key is destroyed, the order's forgetting, the certificate.
    let steps = [
        "es.events where event_type = 'data_subject.erased'",
        "es.seal_notes where kind = 'tombstone'",
        "es.events where event_type = 'activity.buyer_forgotten'",
        "es.events where event_type = 'data_subject.erasure_certified'",
    ];
    let done = async || {
        let mut done = Vec::new();
        for step in steps {
            let count = format!("select count(*) from {step}");
            done.push(office.it.count(&count).await);
        }
        done
    };
    let (mut people, mut polls, mut stopped_after) = (0, 1, BTreeSet::new());
    loop {
        people += 1;
        let name = format!("Anna{people}");
        office.order(&name, people).await;
        let record = office.record_of(&name).await;
        office.request_erasure(&record).await;
        let is = |state: &'static str| move |body: &Value| body["erasure"]["state"] == state;
        office.shows(&record, is("requested")).await;
        // With connections of its own, which nobody uses afterwards.
        let connections = connections(&office.it.world);
        let process = App::open(Part::WriteApi, &connections, &tuning()).await;
        let process = process.unwrap();
        let whole = cut_after(polls, of(process.chores().unwrap()).round()).await;
        drop(process);
        let steps_done = done()
            .await
            .iter()
            .filter(|count| **count == people as i64)
            .count();
        stopped_after.insert(steps_done);
        let (one, other) = tokio::join!(erasures.round(), erasures.round());
        one.and(other).unwrap();
        let deadline = Instant::now() + DEADLINE;
        while erasures.round().await.unwrap() > 0 {
            assert!(Instant::now() < deadline, "not erased in time");
        }
        office.shows(&record, is("certified")).await;
        assert_eq!(done().await, [people as i64; 4], "cut off at {polls}");
        assert!(polls < POLLS_MAX, "it does not end");
        if let Some(whole) = whole {
            assert_eq!(whole.unwrap(), 0);
            break;
        }
        polls += STRIDE;
    }
    // Nearly all of them: two steps may be done between two of these polls.
    assert!(stopped_after.len() >= steps.len(), "{stopped_after:?}");
    let kept = "select count(*) from rm_proof_feed_v1.proof where buyer is not null";
    assert_eq!(office.it.count(kept).await, 0);
}
