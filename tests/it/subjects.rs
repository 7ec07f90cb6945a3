//! What people ask for, as a compliance officer enters it, and what becomes of it.

use std::time::{Duration, Instant};

use clap::Parser as _;
use event_store::seal::{Anchor, Due, Sealer};
use event_store::vault::{SubjectEvents, VaultError};
use event_store::{EventLog, Log as _, Role, connect};
use proofline::app::{App, Part};
use reqwest::Method;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use sqlx::{Connection as _, Executor as _};
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::served::{Answered, Served, Shop, answered, connections, order_of, tuning};

const DEADLINE: Duration = Duration::from_secs(30);

/// A served platform that projects by itself, with a compliance officer and a shop.
struct Office {
    it: Served,
    officer: String,
    shop: Shop,
}

impl Office {
    async fn open() -> Self {
        let it = Served::start().await;
        Self {
            officer: it.key_with("compliance").await,
            shop: it.shop().await,
            it,
        }
    }

    /// Projects as long as it is held.
    fn projecting(&self) -> DropGuard {
        let stop = CancellationToken::new();
        drop(self.it.projections.spawn_all(&stop));
        stop.drop_guard()
    }

    async fn ask(&self, method: Method, path: &str, body: Option<Value>) -> Answered {
        let request = self.it.request(method, path).bearer_auth(&self.officer);
        answered(match body {
            Some(body) => request.json(&body),
            None => request,
        })
        .await
    }

    async fn enter(&self, path: &str, body: Value) -> Answered {
        self.ask(Method::POST, path, Some(body)).await
    }

    async fn read(&self, path: &str) -> Answered {
        self.ask(Method::GET, path, None).await
    }

    async fn order(&self, name: &str, id: u64) -> String {
        let webhook = format!("w-{id}");
        let delivered = self
            .it
            .deliver(&self.shop, "orders/create", &webhook, &order_of(name, id))
            .await
            .is(200);
        delivered.body["activity_id"]
            .as_str()
            .unwrap_or_default()
            .to_owned()
    }

    /// The path of the person's record.
    async fn record_of(&self, name: &str) -> String {
        let email = format!("{}.Schmidt@example.com", name.to_uppercase());
        let opened = self.enter("/v1/subjects", json!({ "email": email })).await;
        assert!(opened.status.is_success(), "{}", opened.body);
        format!("/v1/subjects/{}", opened.body["id"].as_str().unwrap())
    }

    async fn request_erasure(&self, record: &str) -> Answered {
        self.enter(&format!("{record}/erasure-requests"), json!({}))
            .await
            .is(200)
    }

    /// The names that the shop's pages show, the latest first.
    async fn shown(&self) -> Vec<String> {
        let feed = format!("/embed/v1/{}/feed", self.shop.embed_key);
        let feed = answered(self.it.request(Method::GET, &feed)).await;
        let Some(items) = feed.body["items"].as_array() else {
            assert_eq!(feed.status, 404, "{}", feed.body);
            return Vec::new(); // the site is not projected yet
        };
        let message = |item: &Value| item["message"].as_str().unwrap().to_owned();
        items.iter().map(message).collect()
    }

    /// Waits until what is read under the path is as it should be.
    async fn shows(&self, path: &str, is_so: impl Fn(&Value) -> bool) -> Value {
        let deadline = Instant::now() + DEADLINE;
        loop {
            let read = self.read(path).await;
            if read.status == 200 && is_so(&read.body) {
                return read.body;
            }
            assert!(Instant::now() < deadline, "{path}: {}", read.body);
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// As [`Office::shows`], of the messages on the shop's pages.
    async fn pages_show(&self, mut expected: Vec<&str>) {
        expected.sort_unstable();
        let deadline = Instant::now() + DEADLINE;
        loop {
            let mut shown = self.shown().await;
            shown.sort();
            if shown == expected {
                return;
            }
            assert!(Instant::now() < deadline, "{shown:?}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Carries out what is asked for until the person is erased.
    async fn erase(&self, record: &str) -> Value {
        self.request_erasure(record).await;
        let requested = |body: &Value| body["erasure"]["state"] != "not_requested";
        self.shows(record, requested).await;
        let deadline = Instant::now() + DEADLINE;
        while self.it.chores.erasures().round().await.unwrap() > 0 {
            assert!(Instant::now() < deadline, "not erased in time");
        }
        let certified = |body: &Value| body["erasure"]["state"] == "certified";
        self.shows(record, certified).await
    }
}

const ANNA: &str = "Anna from Berlin bought Trail Runner 3";
const BOB: &str = "Bob from Berlin bought Trail Runner 3";
const SOMEONE: &str = "Someone bought Trail Runner 3";

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
    office
        .enter("/v1/subjects", activity)
        .await
        .problem(409, "taken");

    let subject = office.erase(&record).await;
    assert_eq!(subject["identities"].as_array().unwrap().len(), 1);
    office.pages_show(vec![BOB, SOMEONE, SOMEONE]).await;
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
}

/// By the lines that docs/people.md gives to whoever believes nobody. Answers what they printed, or why they did not.
fn verified_by_python(certificate: &str, anchor: &std::path::Path) -> Result<String, String> {
    let page = include_str!("../../docs/people.md");
    let script = page.split("```python\n").nth(1).unwrap();
    let script = script.split("```").next().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    let statement = anchor.join("keys").join("000001.txt");
    let first = std::fs::read_to_string(&statement).unwrap();
    let first = first
        .lines()
        .find_map(|line| line.strip_prefix("key "))
        .unwrap();
    let ran = std::process::Command::new("python3")
        .arg(write("verify.py", script))
        .arg(write("certificate.txt", certificate))
        .arg(first)
        .arg(&statement)
        .output()
        .unwrap();
    if ran.status.success() {
        Ok(String::from_utf8(ran.stdout).unwrap())
    } else {
        Err(String::from_utf8(ran.stderr).unwrap())
    }
}

/// As an operator runs it; answers what it said.
async fn replay(world: &tests::World, arguments: &[&str]) -> anyhow::Result<String> {
    let all = ["replay", "--database-url", &world.database_url, "subject"];
    let all = all.iter().copied().chain(arguments.iter().copied());
    let mut out = Vec::new();
    replay_tools::run(replay_tools::Arguments::parse_from(all), &mut out)
        .await
        .map(|()| String::from_utf8(out.clone()).unwrap())
        .map_err(|error| error.context(String::from_utf8(out).unwrap()))
}

#[tokio::test]
async fn an_operator_answers_requests_at_a_terminal_and_looks_whether_somebody_is_gone() {
    let office = Office::open().await;
    let _projecting = office.projecting();
    office.order("Anna", 1).await;
    let world = &office.it.world;
    let (account, key_file) = (office.it.account.to_string(), world.key_file());
    let record = office.record_of("Anna").await;
    let id = record.rsplit_once('/').unwrap().1;
    let key_file = key_file.to_str().unwrap();
    let anchor = world.key_file().with_file_name("anchor");
    let run = async |command: &str, more: &[&str]| {
        let keys = [
            "--key-file",
            key_file,
            "--keys-database-url",
            &world.keys_url,
        ];
        let all = [&[command, &account, id], &keys[..], more].concat();
        replay(world, &all).await
    };
    assert!(
        run("request-access", &[])
            .await
            .unwrap()
            .contains("entered")
    );
    let folder = world.key_file().with_file_name("export");
    let said = run("export", &["--out", folder.to_str().unwrap()])
        .await
        .unwrap();
    assert!(said.contains("answered the request"), "{said}");
    let written = std::fs::read_to_string(folder.join("subject.json")).unwrap();
    assert!(written.contains("anna.schmidt@example.com"));
    assert!(folder.join("subject.html").is_file());

    run("hold", &["--case", "court/4711"]).await.unwrap();
    run("release", &[]).await.unwrap();
    let verify = ["--anchor", anchor.to_str().unwrap()];
    let early = run("verify-erasure", &verify).await.unwrap_err();
    assert!(
        format!("{early:#}").contains("FAILED  certificate"),
        "{early:#}"
    );
    assert!(
        run("request-erasure", &[])
            .await
            .unwrap()
            .contains("entered")
    );
    office.erase(&record).await;
    let shown = run("show", &[]).await.unwrap();
    assert!(shown.contains("certified at"), "{shown}");
    let certificate = run("certificate", &[]).await.unwrap();
    assert!(certificate.contains("proofline.erasure-certificate/1"));
    let verified = verified_by_python(&certificate, &anchor).unwrap();
    assert!(verified.contains(id), "{verified}");
    let altered = certificate.replace("\"positions\": [", "\"positions\": [7, ");
    assert_ne!(altered, certificate);
    let refused = verified_by_python(&altered, &anchor).unwrap_err();
    assert!(refused.contains("InvalidSignature"), "{refused}");
    office.pages_show(vec![SOMEONE]).await;
    let verified = run("verify-erasure", &verify).await.unwrap();
    assert_eq!(verified.matches("ok  ").count(), 5, "{verified}");

    // A row that was put back is found.
    let put_back =
        "update rm_proof_feed_v1.proof set buyer = (select payload -> 'buyer' from es.events
                    where event_type = 'activity.recorded' limit 1)";
    sqlx::query(put_back)
        .execute(&mut world.owner().await)
        .await
        .unwrap();
    let found = format!("{:#}", run("verify-erasure", &verify).await.unwrap_err());
    assert!(found.contains("FAILED  read models"), "{found}");
    assert_eq!(found.matches("FAILED").count(), 1, "{found}");
}

#[tokio::test]
async fn keys_that_are_put_back_from_before_an_erasure_bring_nobody_back() {
    let office = Office::open().await;
    let _projecting = office.projecting();
    for (name, id) in [("Anna", 1), ("Bob", 2)] {
        office.order(name, id).await;
    }
    let record = office.record_of("Anna").await;
    let id: uuid::Uuid = record.rsplit_once('/').unwrap().1.parse().unwrap();
    office.pages_show(vec![ANNA, BOB]).await;
    let world = &office.it.world;
    let mut keys = sqlx::PgConnection::connect(&world.keys_url).await.unwrap();
    let backup = "create table backup as select * from keys.subject;
                  create table provider_backup as select * from keys.provider_key";
    keys.execute(backup).await.unwrap();
    let key_file = std::fs::read(world.key_file()).unwrap();
    office.erase(&record).await;

    // Somebody who means well, or not, puts everything back as it was.
    let restore = "truncate keys.subject, keys.provider_key; insert into keys.provider_key select * from provider_backup;
                   insert into keys.subject select * from backup";
    keys.execute(restore).await.unwrap();
    std::fs::write(world.key_file(), key_file).unwrap();
    let connections = connections(world);
    let erased = "select erased_at is not null and wrapped_key is null from keys.subject where subject_id = $1";
    let is_erased = async |keys: &mut sqlx::PgConnection| -> bool {
        sqlx::query_scalar(erased)
            .bind(id)
            .fetch_one(keys)
            .await
            .unwrap()
    };
    assert!(!is_erased(&mut keys).await);
    let app = App::open(Part::ReadApi, &connections, &tuning())
        .await
        .unwrap();
    assert!(is_erased(&mut keys).await, "before anything is served");
    drop(app);
    office.pages_show(vec![BOB, SOMEONE]).await;

    // What nobody signed erases nobody, and nothing is served over it.
    let forged = world.key_file().with_file_name("anchor").join("erased");
    let bob = uuid::Uuid::now_v7();
    let honest = std::fs::read_to_string(forged.join(format!("{id}.txt"))).unwrap();
    let text = honest.replace(&id.to_string(), &bob.to_string());
    std::fs::write(forged.join(format!("{bob}.txt")), text).unwrap();
    let refused = async || {
        let refused = App::open(Part::ReadApi, &connections, &tuning()).await;
        format!("{:#}", refused.err().unwrap())
    };
    let said = refused().await;
    assert!(said.contains("no signing key has signed"), "{said}");

    // Nor does what somebody else's keys signed, who can write there.
    let (anchor, elsewhere) = (connections.anchor(), tests::World::new().await);
    let other = elsewhere.key_file().with_file_name("anchor");
    elsewhere
        .store()
        .await
        .append(crate::support::append("s"))
        .await
        .unwrap();
    let pool = elsewhere.pool(Role::Sealer);
    let sealer = Sealer::new(
        pool,
        elsewhere.vault(),
        vec![Anchor::folder(&other).unwrap()],
    );
    sealer.seal(Due::Now).await.unwrap();
    sealer.anchor().await.unwrap();
    let first = |anchor: &std::path::Path| anchor.join("keys").join("000001.txt");
    std::fs::copy(first(&other), first(&anchor)).unwrap();
    let said = refused().await;
    assert!(
        said.contains("other statements about signing keys"),
        "{said}"
    );
    // An empty folder is not the anchor.
    std::fs::remove_dir_all(&anchor).unwrap();
    let said = refused().await;
    assert!(
        said.contains("it is not the anchor, or was emptied"),
        "{said}"
    );
}

#[tokio::test]
async fn after_a_restore_it_is_found_anew_whose_data_stands_where() {
    let office = Office::open().await;
    office.order("Anna", 1).await;
    let record = office.record_of("Anna").await;
    let id: uuid::Uuid = record.rsplit_once('/').unwrap().1.parse().unwrap();
    office.it.catch_up().await;
    let world = office.it.world;
    let key_file = world.key_file();
    let reindex = async || {
        let keys = [
            "--key-file",
            key_file.to_str().unwrap(),
            "--keys-database-url",
            &world.keys_url,
        ];
        replay(&world, &[&["reindex"], &keys[..]].concat())
            .await
            .unwrap()
    };
    assert!(reindex().await.contains("stays"));
    let moved = "update es.log set system_identifier = system_identifier + 1";
    sqlx::query(moved)
        .execute(&mut world.owner().await)
        .await
        .unwrap();
    let log = EventLog::open(world.pool(Role::Projector)).await.unwrap();
    let (head, _) = log.head().await.unwrap();
    let index = SubjectEvents::new(connect(&world.keys_url, Role::Vault, 2).unwrap());
    let whole = log.token(head);
    let stale = index.positions(&[id], whole).await;
    assert!(
        matches!(stale, Err(VaultError::IndexBehind { .. })),
        "{stale:?}"
    );
    assert!(reindex().await.contains("begun anew"));

    let connections = connections(&world);
    let again = Served::on(world, connections).await;
    let stop = CancellationToken::new();
    let _stopped = stop.clone().drop_guard();
    drop(again.projections.spawn_all(&stop));
    let deadline = Instant::now() + DEADLINE;
    let positions = loop {
        match index.positions(&[id], whole).await {
            Ok(positions) => break positions,
            Err(error) => assert!(Instant::now() < deadline, "{error}"),
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    assert_eq!(positions.len(), 1);
}
