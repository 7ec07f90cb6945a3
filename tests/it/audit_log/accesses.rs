//! Who opened personal data, as the officer asks for it.

use event_store::{Access, AccessLog, Role};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{Officer, replay};
use crate::served::Served;

/// Three, the newest last.
async fn noted(it: &Served) {
    let log = AccessLog::new(it.world.pool(Role::Writer));
    for (actor, purpose, subjects) in [
        ("operator", "subject_export", vec![7]),
        ("api_key:1", "subject_export", vec![8]),
        ("operator", "audit_export", vec![7, 8]),
    ] {
        let subjects = subjects.into_iter().map(Uuid::from_u128).collect();
        let access = Access {
            tenant: it.account,
            actor: actor.to_owned(),
            purpose,
            subjects,
            what: json!({ "events": 12 }),
        };
        log.note(&access).await.unwrap();
    }
}

async fn found(officer: &Officer<'_>, query: &str) -> Vec<Value> {
    let page = officer.get(&format!("/v1/audit/access?{query}")).await;
    page.is(200).body["data"].as_array().unwrap().clone()
}

#[tokio::test]
async fn filters_leave_what_is_all_of_them() {
    let it = Served::start().await;
    let officer = Officer::of(&it).await;
    noted(&it).await;
    let all = found(&officer, "").await;
    let [audited, _, first] = &all[..] else {
        panic!("three accesses: {all:?}")
    };
    let at = audited["accessed_at"].as_str().unwrap();
    let first_id = first["id"].as_i64().unwrap();
    for (query, expected) in [
        ("actor=operator".to_owned(), vec![0, 2]),
        ("purpose=subject_export".to_owned(), vec![1, 2]),
        ("actor=operator&purpose=subject_export".to_owned(), vec![2]),
        (format!("subject_id={}", Uuid::from_u128(8)), vec![0, 1]),
        (format!("subject_id={}", Uuid::from_u128(9)), vec![]),
        (format!("from={at}"), vec![0]),
        (format!("until={at}"), vec![1, 2]),
        ("actor=nobody".to_owned(), vec![]),
    ] {
        let expected: Vec<&Value> = expected
            .into_iter()
            .map(|index: usize| &all[index])
            .collect();
        let found = found(&officer, &query).await;
        assert_eq!(found.iter().collect::<Vec<_>>(), expected, "{query}");
    }
    let page = officer.get("/v1/audit/access?actor=operator&limit=1").await;
    let cursor = page.is(200).body["next_cursor"]
        .as_str()
        .unwrap()
        .to_owned();
    let rest = found(&officer, &format!("actor=operator&limit=1&cursor={cursor}")).await;
    assert_eq!(rest[0]["id"], first_id);
}

#[tokio::test]
async fn a_wrong_filter_is_refused() {
    let it = Served::start().await;
    let officer = Officer::of(&it).await;
    for query in [
        "subject_id=anna",
        "from=yesterday",
        "actor=",
        "subject=7",
        "from=2026-11-21T00:00:00Z&until=2026-11-20T00:00:00Z",
    ] {
        let refused = officer.get(&format!("/v1/audit/access?{query}")).await;
        refused.problem(400, "invalid-parameter");
    }
}

#[tokio::test]
async fn replay_tells_the_same() {
    let it = Served::start().await;
    let officer = Officer::of(&it).await;
    noted(&it).await;
    let account = it.account.to_string();
    let told = replay(&it, &["audit", "accesses", &account]).await;
    let subject = Uuid::from_u128(7);
    let words =
        format!("by operator, for subject_export: {{\"events\":12}}\n    subject {subject}\n");
    assert!(told.contains(&words), "{told}");
    let lines = replay(&it, &["audit", "accesses", &account, "--json"]).await;
    let lines = lines
        .lines()
        .map(|line| serde_json::from_str(line).unwrap());
    let documents: Vec<Value> = lines.collect();
    assert_eq!(documents, found(&officer, "").await);
    let subject = Uuid::from_u128(8).to_string();
    let filters = ["--actor", "operator", "--subject", &subject, "--json"];
    let one = replay(
        &it,
        &[&["audit", "accesses", &account], &filters[..]].concat(),
    )
    .await;
    let one: Value = serde_json::from_str(&one).unwrap();
    assert_eq!(one, documents[0]);
}
