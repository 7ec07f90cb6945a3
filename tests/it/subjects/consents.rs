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
    /// As the shop tells it. Answers under which id the person's record is kept, and the position of what was noted.
    async fn withdraw(&self, person: Value, purpose: &str) -> (String, String) {
        self.withdraw_by(&self.it.key, person, purpose).await
    }

    /// The same, as whose key it is tells it.
    async fn withdraw_by(&self, key: &str, person: Value, purpose: &str) -> (String, String) {
        let body = json!({ "person": person, "purpose": purpose });
        let request = self
            .it
            .request(Method::POST, "/v1/consents/withdraw")
            .json(&body);
        let noted = answered(request.bearer_auth(key)).await.is(200);
        let text = |name: &str| noted.body[name].as_str().unwrap().to_owned();
        (text("id"), text("position"))
    }

    /// What the shop's pages show once they know of what happened up to a position.
    async fn feed_at(&self, position: &str) -> Value {
        let feed = format!(
            "/embed/v1/{}/feed?min_position={position}",
            self.shop.embed_key
        );
        answered(self.it.request(Method::GET, &feed))
            .await
            .is(200)
            .body
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
    let (bob, _) = office.withdraw(email("bob"), "sharing").await;
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
    let (kept, _) = office.withdraw(email("annie"), "display").await;
    assert_eq!(record, format!("/v1/subjects/{kept}"));
    office.pages_show(vec![SOMEONE, SOMEONE]).await;
    office.agree(email("anna"), "display").await;
    office.pages_show(vec![ANNA, ANNIE]).await;
}

/// Before anybody knew an address.
#[tokio::test]
async fn what_a_visitor_said_holds_for_the_buyer_they_turn_out_to_be() {
    let office = Office::open().await;
    let _projecting = office.projecting();
    let visitor = json!({ "visitor_id": "v-7f3a" });
    let (record, _) = office.withdraw(visitor.clone(), "display").await;
    let record = format!("/v1/subjects/{record}");
    let known = office
        .enter(&format!("{record}/identities"), email("anna"))
        .await;
    known.is(200);
    office.order("Anna", 1).await;
    office.order("Bob", 2).await;
    office.pages_show(vec![BOB, SOMEONE]).await;
    assert_eq!(office.record_of("Anna").await, record);

    // Of two who have records, neither becomes the other.
    let bob = office.record_of("Bob").await;
    let link = format!("{bob}/identities");
    let taken = office.enter(&link, visitor.clone()).await;
    taken.problem(409, "taken");
    // To another account they are somebody else.
    let other = office.it.other_key().await;
    let (elsewhere, _) = office.withdraw_by(&other, visitor, "display").await;
    assert!(!record.ends_with(&elsewhere), "{elsewhere}");
}

#[tokio::test]
async fn what_somebody_says_to_one_account_is_nothing_to_another() {
    let office = Office::open().await;
    let _projecting = office.projecting();
    office.order("Anna", 1).await;
    let other = office.it.other_key().await;
    let (theirs, position) = office.withdraw_by(&other, email("anna"), "display").await;
    office.feed_at(&position).await;
    // As if the other account's person were known by the same id.
    let anna = office.record_of("Anna").await;
    let anna = anna.rsplit_once('/').unwrap().1;
    let planted = sqlx::query(
        "update rm_subject_list_v1.subject
         set record = jsonb_set(record::jsonb, '{identities}', to_jsonb(array[$1]))::json
         where subject_id = $2",
    )
    .bind(anna)
    .bind(theirs.parse::<uuid::Uuid>().unwrap())
    .execute(&mut office.it.world.owner().await)
    .await
    .unwrap();
    assert_eq!(planted.rows_affected(), 1);
    office.order("Bob", 2).await;
    office.pages_show(vec![ANNA, BOB]).await;
}

#[tokio::test]
async fn a_read_that_names_the_position_of_an_objection_sees_it() {
    let office = Office::open().await;
    let _projecting = office.projecting();
    office.order("Anna", 1).await;
    office.pages_show(vec![ANNA]).await;
    for _ in 0..5 {
        let (_, position) = office.withdraw(email("anna"), "display").await;
        let feed = office.feed_at(&position).await;
        assert_eq!(feed["items"][0]["message"], SOMEONE);
        office.agree(email("anna"), "display").await;
        office.pages_show(vec![ANNA]).await;
    }
}

#[tokio::test]
async fn who_objects_is_found_without_a_look_at_everybody() {
    let office = Office::open().await;
    let account = office.it.account;
    let mut owner = office.it.world.owner().await;
    let filled = "insert into rm_subject_list_v1.subject
                    (subject_id, account_id, record, erasure, held, version, position, registered_at, updated_at)
                  select gen_random_uuid(), $1, json_build_object('identities', json_build_array(gen_random_uuid())),
                         'none', false, 1, n, now(), now()
                  from generate_series(1, 20000) n";
    sqlx::query(filled)
        .bind(account)
        .execute(&mut owner)
        .await
        .unwrap();
    sqlx::raw_sql("analyze rm_subject_list_v1.subject")
        .execute(&mut owner)
        .await
        .unwrap();
    // What the function does, which nobody's plan shows.
    let body: String = sqlx::query_scalar(
        "select prosrc from pg_proc where oid = 'rm_subject_list_v1.subject_known_as'::regproc",
    )
    .fetch_one(&mut owner)
    .await
    .unwrap();
    let statement = body
        .replace("account_id = account", "account_id = $1")
        .replace(
            "nullif(current_setting('proofline.account', true), '')::uuid",
            "$1",
        )
        .replace("among", "$2")
        .replace("from subject", "from rm_subject_list_v1.subject");
    let plan: Vec<String> = sqlx::query_scalar(&format!("explain {statement}"))
        .bind(account)
        .bind(vec![uuid::Uuid::now_v7()])
        .fetch_all(&mut owner)
        .await
        .unwrap();
    assert!(
        plan.iter().any(|line| line.contains("subject_by_identity")),
        "{plan:#?}"
    );
    assert!(
        plan.iter().any(|line| line.contains("subject_pkey")),
        "{plan:#?}"
    );
}

/// A version that names a text names no other one, for whomever it is.
#[tokio::test]
async fn what_was_agreed_to_is_the_text_that_its_version_names() {
    let office = Office::open().await;
    let agree = async |name: &str, purpose: &str, version: &str, text: &str| {
        let body = json!({ "person": email(name), "purpose": purpose, "text_version": version, "text": text });
        office.it.post("/v1/consents", body).await
    };
    let text = "I agree.\n\nI may object at any time.";
    agree("anna", "display", "1", text).await.is(200);
    agree("anna", "display", "1", text).await.is(200);
    agree("bob", "display", "1", text).await.is(200);
    for name in ["anna", "carl"] {
        let other = agree(name, "display", "1", "I agree to everything.").await;
        assert_eq!(other.problem(409, "conflict").body["code"], "other_wording");
    }
    agree("anna", "display", "2", "I agree to everything.")
        .await
        .is(200);
    agree("anna", "analytics", "1", "I agree to be measured.")
        .await
        .is(200);
    let kept = "select count(*) from es.events where event_type = 'data_subject.consent_granted'";
    assert_eq!(office.it.count(kept).await, 4);

    // Of several at once that give a version its text, one does, and all who mean the same agree.
    let names: Vec<String> = (0..12).map(|n| format!("n{n}")).collect();
    let agreeing = names.iter().map(|name| agree(name, "display", "4", text));
    for agreed in futures::future::join_all(agreeing).await {
        agreed.is(200);
    }
    let texts = ["a", "b", "c", "d", "e", "f"];
    let names = ["u", "v", "w", "x", "y", "z"];
    let agreeing = texts
        .iter()
        .zip(names)
        .map(|(text, name)| agree(name, "display", "3", text));
    let answers = futures::future::join_all(agreeing).await;
    let agreed = answers.iter().filter(|answer| answer.status == 200).count();
    assert_eq!(agreed, 1, "{answers:?}");
}
