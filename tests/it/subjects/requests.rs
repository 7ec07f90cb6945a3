//! What may be entered, by whom, and what keeps it waiting.

use reqwest::Method;
use serde_json::{Value, json};

use super::{ANNA, Office, SOMEONE};
use crate::served::answered;

#[tokio::test]
async fn a_legal_hold_keeps_a_person_until_it_is_released() {
    let office = Office::open().await;
    let _projecting = office.projecting();
    office.order("Anna", 1).await;
    let record = office.record_of("Anna").await;
    let hold = format!("{record}/legal-hold");
    let case = |case: &str| json!({ "case": case });
    office.enter(&hold, case("court/4711")).await.is(200);
    let other = office.enter(&hold, case("court/4712")).await;
    assert_eq!(
        other.problem(409, "conflict").body["code"],
        "other_legal_hold"
    );
    let prose = office.enter(&hold, case("Anna Schmidt")).await;
    prose.problem(422, "invalid-body");
    office.request_erasure(&record).await;
    let held = |body: &Value| body["erasure"]["state"] == "requested";
    let held = office.shows(&record, held).await;
    assert_eq!(held["legal_hold"], "court/4711");
    assert!(held["due_at"].is_string(), "the deadline goes on");
    assert_eq!(office.it.chores.erasures().round().await.unwrap(), 0);
    office.pages_show(vec![ANNA]).await;
    let due = office
        .shows("/v1/subjects?open=true", |body| body["data"] != json!([]))
        .await;
    assert_eq!(due["data"][0]["id"], held["id"]);

    // Who changes their mind is not erased when the case is over.
    let withdrawn = format!("{record}/erasure-requests/withdraw");
    office.enter(&withdrawn, json!({})).await.is(200);
    let not_requested = |body: &Value| body["erasure"]["state"] == "not_requested";
    let calm = office.shows(&record, not_requested).await;
    assert_eq!(calm["due_at"], Value::Null);
    office.request_erasure(&record).await;

    let released = format!("{hold}/release");
    office.enter(&released, json!({})).await.is(200);
    office
        .shows(&record, |body| body["legal_hold"].is_null())
        .await;
    office.erase(&record).await;
    office.pages_show(vec![SOMEONE]).await;
    let due = office.read("/v1/subjects?open=true").await.is(200);
    assert_eq!(due.body["data"], json!([]));
}

#[tokio::test]
async fn a_persons_record_is_for_the_officers_of_their_account_alone() {
    let office = Office::open().await;
    let record = office.record_of("Anna").await;
    office.it.catch_up().await;
    let requests = ["access-requests", "erasure-requests", "legal-hold/release"];
    for key in [&office.it.key, &office.it.other_key().await] {
        for path in [record.clone(), "/v1/subjects".to_owned()] {
            let read = office.it.request(Method::GET, &path).bearer_auth(key);
            answered(read).await.problem(403, "forbidden");
        }
        for request in requests {
            let path = format!("{record}/{request}");
            let asked = office.it.request(Method::POST, &path).bearer_auth(key);
            answered(asked.json(&json!({})))
                .await
                .problem(403, "forbidden");
        }
    }
    // And an officer changes no shop.
    let site = json!({ "name": "Mine", "domain": "mine.example.com" });
    office
        .enter("/v1/sites", site)
        .await
        .problem(403, "forbidden");
    let unknown = format!("/v1/subjects/{}", uuid::Uuid::now_v7());
    office.read(&unknown).await.problem(404, "not-found");
    let asked = office
        .enter(&format!("{unknown}/erasure-requests"), json!({}))
        .await;
    asked.problem(404, "not-found");
    for body in [
        json!({}),
        json!({ "email": "a@b", "activity_id": uuid::Uuid::now_v7() }),
        json!({ "email": "a@b", "visitor_id": "v-1" }),
    ] {
        let refused = office.enter("/v1/subjects", body).await;
        assert_eq!(
            refused.problem(422, "invalid-body").body["errors"][0]["code"],
            "one_of"
        );
    }
}

#[tokio::test]
async fn a_consent_is_kept_with_its_text_and_withdrawn_for_everybody_to_see() {
    let office = Office::open().await;
    let person = json!({ "email": "anna.schmidt@example.com" });
    let consent = json!({
        "person": person, "purpose": "display", "text_version": "2026-02",
        "text": "I agree that my first name is shown.", "evidence": "Checkbox, order 1001",
    });
    let given = office
        .it
        .post("/v1/consents", consent.clone())
        .await
        .is(200);
    let again = office
        .it
        .post("/v1/consents", consent.clone())
        .await
        .is(200);
    assert_eq!(
        (&given.body["version"], &again.body["version"]),
        (&json!(2), &json!(2))
    );
    let record = office.record_of("anna").await;
    assert!(record.ends_with(given.body["id"].as_str().unwrap()));
    let withdraw = json!({ "person": person, "purpose": "display" });
    office
        .it
        .post("/v1/consents/withdraw", withdraw)
        .await
        .is(200);
    office.it.catch_up().await;
    let subject = office.read(&record).await.is(200);
    assert_eq!(subject.body["consents"]["display"]["state"], "withdrawn");
    let mut wrong = consent;
    wrong["purpose"] = json!("everything");
    wrong["text"] = json!("");
    let refused = office
        .it
        .post("/v1/consents", wrong)
        .await
        .problem(422, "invalid-body");
    assert_eq!(refused.body["errors"].as_array().unwrap().len(), 2);
}
