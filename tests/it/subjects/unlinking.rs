//! Who was taken for somebody else.

use futures::future::join_all;
use serde_json::{Value, json};

use super::{ANNA, BOB, Office, SOMEONE};
use crate::served::answered;

fn email(name: &str) -> Value {
    json!({ "email": format!("{name}.schmidt@example.com") })
}

impl Office {
    /// What the person is handed out.
    async fn exported(&self, record: &str) -> String {
        let asked = format!("{record}/access-requests");
        self.enter(&asked, json!({})).await.is(200);
        let link = self.enter(&format!("{record}/exports"), json!({})).await;
        let url = link.is(201).body["url"].as_str().unwrap().to_owned();
        let fetch = self
            .it
            .request(reqwest::Method::GET, &format!("{url}?format=json"));
        answered(fetch).await.is(200).body.to_string()
    }

    /// The ids that are linked to a record, once they are so many.
    async fn identities(&self, record: &str, count: usize) -> Vec<String> {
        let of = |body: &Value| body["identities"].as_array().unwrap().clone();
        let body = self.shows(record, |body| of(body).len() == count).await;
        let ids = of(&body).into_iter();
        ids.map(|id| id.as_str().unwrap().to_owned()).collect()
    }
}

#[tokio::test]
async fn who_was_linked_by_mistake_is_neither_handed_out_nor_erased_with_the_other() {
    let office = Office::open().await;
    let _projecting = office.projecting();
    office.order("Anna", 1).await;
    office.order("Bob", 2).await;
    office.pages_show(vec![ANNA, BOB]).await;
    let anna = office.record_of("Anna").await;
    let link = format!("{anna}/identities");
    office.enter(&link, email("bob")).await.is(200);
    assert!(office.exported(&anna).await.contains("bob.schmidt"));
    let bob = office.identities(&anna, 1).await.remove(0);

    let unlink = format!("{anna}/identities/{bob}/unlink");
    let hold = format!("{anna}/legal-hold");
    office
        .enter(&hold, json!({ "case": "court/1" }))
        .await
        .is(200);
    let held = office.enter(&unlink, json!({})).await;
    assert_eq!(held.problem(409, "conflict").body["code"], "legal_hold");
    office
        .enter(&format!("{hold}/release"), json!({}))
        .await
        .is(200);
    for _ in 0..2 {
        office.enter(&unlink, json!({})).await.is(200);
    }
    office.identities(&anna, 0).await;
    assert!(!office.exported(&anna).await.contains("bob"));

    // He has a record of his own from then on, and can't be linked any more.
    let record = office.record_of("Bob").await;
    assert_eq!(record, format!("/v1/subjects/{bob}"));
    let taken = office.enter(&link, email("bob")).await;
    taken.problem(409, "taken");
    office.erase(&anna).await;
    office.pages_show(vec![SOMEONE, BOB]).await;
}

/// What is said while the link is taken back is in the record that is the person's when it is noted.
#[tokio::test]
async fn what_somebody_says_just_then_is_never_said_of_the_other() {
    let office = Office::open().await;
    let _projecting = office.projecting();
    for round in 0..6 {
        let (anna, bob) = (format!("Anna{round}"), email(&format!("bob{round}")));
        let record = office.record_of(&anna).await;
        let link = format!("{record}/identities");
        office.enter(&link, bob.clone()).await.is(200);
        let id = office.identities(&record, 1).await.remove(0);
        let unlink = format!("{link}/{id}/unlink");
        let body = json!({ "person": bob, "purpose": "display" });
        let (unlinked, said) = tokio::join!(
            office.enter(&unlink, json!({})),
            office.it.post("/v1/consents/withdraw", body)
        );
        unlinked.is(200);
        said.is(200);
    }
    let misplaced = "select count(*) from es.events said join es.events unlinked using (aggregate_type, aggregate_id)
                     where said.event_type = 'data_subject.consent_withdrawn'
                       and unlinked.event_type = 'data_subject.identity_unlinked'
                       and unlinked.position < said.position";
    assert_eq!(office.it.count(misplaced).await, 0);
    let all = "select count(*) from es.events where event_type = 'data_subject.consent_withdrawn'";
    assert_eq!(office.it.count(all).await, 6);
}

#[tokio::test]
async fn who_was_unlinked_belongs_to_one_record_whoever_comes_first() {
    let office = Office::open().await;
    let _projecting = office.projecting();
    let records = [
        office.record_of("Anna").await,
        office.record_of("Bob").await,
        office.record_of("Carla").await,
    ];
    for _ in 0..4 {
        let linked = join_all(records.iter().map(async |record| {
            let link = format!("{record}/identities");
            let answered = office.enter(&link, email("dora")).await;
            if answered.status != 200 {
                answered.problem(409, "taken");
                return None;
            }
            Some(record)
        }));
        let linked: Vec<_> = linked.await.into_iter().flatten().collect();
        assert_eq!(linked.len(), 1, "{linked:?}");
        let dora = office.identities(linked[0], 1).await.remove(0);
        assert_eq!(office.record_of("Dora").await, *linked[0]);
        let unlink = format!("{}/identities/{dora}/unlink", linked[0]);
        office.enter(&unlink, json!({})).await.is(200);
        office.identities(linked[0], 0).await;
    }
}
