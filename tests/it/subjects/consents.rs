//! What people agree to, and object to, decides who is named on a shop's pages.

use reqwest::Method;
use serde_json::{Value, json};

use super::{ANNA, BOB, Office, SOMEONE};
use crate::served::answered;

const ANNIE: &str = "Annie from Berlin bought Trail Runner 3";

fn email(name: &str) -> Value {
    json!({ "email": format!("{name}.schmidt@example.com") })
}

impl Office {
    /// As the shop tells it. Answers under which id the person's record is kept.
    async fn withdraw(&self, person: Value, purpose: &str) -> String {
        let body = json!({ "person": person, "purpose": purpose });
        let noted = self.it.post("/v1/consents/withdraw", body).await.is(200);
        noted.body["id"].as_str().unwrap().to_owned()
    }

    async fn agree(&self, person: Value, purpose: &str) {
        let body = json!({ "person": person, "purpose": purpose, "text_version": "1", "text": "I agree." });
        self.it.post("/v1/consents", body).await.is(200);
    }
}

#[tokio::test]
async fn who_objects_is_not_named_until_they_agree_again() {
    let office = Office::open().await;
    let _projecting = office.projecting();
    office.order("Anna", 1).await;
    office.order("Bob", 2).await;
    office.pages_show(vec![ANNA, BOB]).await;
    // Nobody had to agree first, so nobody has to have agreed to object.
    office.withdraw(email("anna"), "display").await;
    office.pages_show(vec![SOMEONE, BOB]).await;
    office.order("Anna", 3).await;
    office.pages_show(vec![SOMEONE, SOMEONE, BOB]).await;
    office.agree(email("anna"), "display").await;
    office.pages_show(vec![ANNA, ANNA, BOB]).await;
    // To be measured is another matter, and to have data sold or shared is not.
    office.withdraw(email("anna"), "analytics").await;
    let bob = office.withdraw(email("bob"), "sharing").await;
    office.pages_show(vec![ANNA, ANNA, SOMEONE]).await;
    let record = office.read(&format!("/v1/subjects/{bob}")).await.is(200);
    assert_eq!(record.body["consents"]["sharing"]["state"], "withdrawn");
}

#[tokio::test]
async fn who_is_known_by_several_addresses_objects_once_and_by_any_of_them() {
    let office = Office::open().await;
    let _projecting = office.projecting();
    office.order("Anna", 1).await;
    office.order("Annie", 2).await;
    office.pages_show(vec![ANNA, ANNIE]).await;
    let record = office.record_of("Anna").await;
    let link = format!("{record}/identities");
    office.enter(&link, email("annie")).await.is(200);
    let noted = office.withdraw(email("annie"), "display").await;
    assert_eq!(record, format!("/v1/subjects/{noted}"));
    office.pages_show(vec![SOMEONE, SOMEONE]).await;
    office.agree(email("anna"), "display").await;
    office.pages_show(vec![ANNA, ANNIE]).await;
}

#[tokio::test]
async fn what_somebody_says_to_one_account_is_nothing_to_another() {
    let office = Office::open().await;
    let _projecting = office.projecting();
    office.order("Anna", 1).await;
    let other = office.it.other_key().await;
    let body = json!({ "person": email("anna"), "purpose": "display" });
    let noted = office
        .it
        .request(Method::POST, "/v1/consents/withdraw")
        .json(&body);
    answered(noted.bearer_auth(other)).await.is(200);
    office.order("Bob", 2).await;
    office.pages_show(vec![ANNA, BOB]).await;
}
