//! Somebody outside is told of every note that is signed, and can prove the log by what they kept.

mod documented;
mod noted;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, TimeDelta, Utc};
use event_store::Role;
use event_store::seal::{Anchor, Due, Note, SealError, Sealer, Tombstone};
use hmac::{Hmac, Mac as _};
use proofline::webhook::{Told, Webhook, WebhookArgs, WebhookError};
use serde_json::{Value, json};
use sha2::Sha256;
use sqlx::{Executor as _, PgPool};
use tests::World;
use tests::proxy::Proxy;
use uuid::Uuid;

use crate::part::{self, Part};
use crate::support::{append, event};

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
/// What comes after it.
const NEXT: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";

/// What came in.
#[derive(Clone, Debug, PartialEq)]
struct Heard {
    id: String,
    kind: String,
    path: String,
    note: String,
}

/// What it answers.
#[derive(Clone, Copy)]
enum Mood {
    Takes,
    Refuses(u16),
    /// With so many seconds to wait.
    IsBusy(u16, u64),
    SendsElsewhere,
    SaysNothing,
}

#[derive(Clone)]
struct Receiver {
    url: String,
    heard: Arc<Mutex<Vec<Heard>>>,
    mood: Arc<Mutex<Mood>>,
}

impl Receiver {
    async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let receiver = Self {
            url: format!("http://{}/notes?token=t", listener.local_addr().unwrap()),
            heard: Arc::default(),
            mood: Arc::new(Mutex::new(Mood::Takes)),
        };
        let router = Router::new().fallback(hear).with_state(receiver.clone());
        tokio::spawn(axum::serve(listener, router).into_future());
        receiver
    }

    fn is(&self, mood: Mood) {
        *self.mood.lock().unwrap() = mood;
    }

    fn heard(&self) -> Vec<Heard> {
        self.heard.lock().unwrap().clone()
    }

    fn paths(&self) -> Vec<String> {
        self.heard().into_iter().map(|heard| heard.path).collect()
    }

    async fn webhook(&self, world: &World) -> Webhook {
        webhook(world, &self.url).await
    }
}

async fn webhook(world: &World, url: &str) -> Webhook {
    webhook_by(world, url, SECRET).await
}

async fn webhook_by(world: &World, url: &str, secret: &str) -> Webhook {
    let args = WebhookArgs {
        anchor_webhook: Some(url.to_owned().into()),
        anchor_webhook_secret: Some(secret.to_owned().into()),
    };
    let opened = Webhook::open(&args, world.pool(Role::Sealer)).await;
    opened.unwrap().unwrap()
}

/// Until there is nothing more, or nothing to be told now.
async fn tell_all(webhook: &Webhook) -> Result<Told, WebhookError> {
    loop {
        match webhook.tell().await? {
            Told::Note => {}
            told => return Ok(told),
        }
    }
}

/// As if the time were over for which the receiver is left alone.
async fn wait_out(world: &World) {
    let over = "update es.webhooks set not_before = '-infinity'";
    world.owner().await.execute(over).await.unwrap();
}

/// Tells, and is refused. Answers how often in a row nothing was taken, and for how long the receiver is left alone for that: to be
/// seen for an hour more, so that nobody has to hurry.
async fn refused(world: &World, webhook: &Webhook) -> (i32, TimeDelta) {
    let mut owner = world.owner().await;
    let now = sqlx::query_scalar("select clock_timestamp()");
    let before: DateTime<Utc> = now.fetch_one(&mut owner).await.unwrap();
    webhook.tell().await.unwrap_err();
    let longer = "update es.webhooks set not_before = not_before + interval '1 hour'
         returning failures, not_before - interval '1 hour'";
    let longer = sqlx::query_as(longer).fetch_one(&mut owner).await;
    let (failures, until): (i32, DateTime<Utc>) = longer.unwrap();
    (failures, until - before)
}

/// As Standard Webhooks has it.
fn signature(secret: &str, id: &str, timestamp: i64, body: &[u8]) -> String {
    let key = STANDARD.decode(&secret["whsec_".len()..]).unwrap();
    let mut mac = <Hmac<Sha256> as hmac::KeyInit>::new_from_slice(&key).unwrap();
    mac.update(format!("{id}.{timestamp}.").as_bytes());
    mac.update(body);
    format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
}

async fn hear(State(receiver): State<Receiver>, headers: HeaderMap, body: Bytes) -> Response {
    let value = |name: &str| headers[name].to_str().unwrap();
    let (id, timestamp) = (value("webhook-id"), value("webhook-timestamp"));
    let timestamp: i64 = timestamp.parse().unwrap();
    assert!(platform::clock::now().timestamp() - timestamp < 60);
    let expected = signature(SECRET, id, timestamp, &body);
    assert_eq!(value("webhook-signature"), expected);
    let body: Value = serde_json::from_slice(&body).unwrap();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    receiver.heard.lock().unwrap().push(Heard {
        id: id.to_owned(),
        kind: text(&body["type"]),
        path: text(&body["data"]["path"]),
        note: text(&body["data"]["note"]),
    });
    let mood = *receiver.mood.lock().unwrap();
    match mood {
        Mood::Takes => StatusCode::NO_CONTENT.into_response(),
        Mood::Refuses(status) => StatusCode::from_u16(status).unwrap().into_response(),
        Mood::IsBusy(status, seconds) => {
            let status = StatusCode::from_u16(status).unwrap();
            (status, [(header::RETRY_AFTER, seconds.to_string())]).into_response()
        }
        Mood::SendsElsewhere => Redirect::temporary("/elsewhere").into_response(),
        Mood::SaysNothing => std::future::pending().await,
    }
}

/// A log that is sealed, and anchored in a folder.
struct Log {
    world: World,
    pool: PgPool,
    sealer: Sealer,
    anchor: Anchor,
}

impl Log {
    async fn new() -> Self {
        let world = World::new().await;
        let anchor = Anchor::folder(&world.key_file().with_file_name("anchor")).unwrap();
        let pool = world.pool(Role::Sealer);
        Self {
            sealer: Sealer::new(pool.clone(), world.vault(), vec![anchor.clone()]),
            pool,
            anchor,
            world,
        }
    }

    async fn grow(&self, events: usize) {
        let mut append = append(&Uuid::now_v7().to_string());
        append.events = (0..events).map(|n| event(json!({ "n": n }))).collect();
        self.world.store().await.append(append).await.unwrap();
        self.sealer.seal(Due::Now).await.unwrap();
        self.sealer.anchor().await.unwrap();
    }

    /// Answers what stands at the anchor from now on.
    async fn anchor_tombstone(&self, subject: Uuid) -> Note {
        let tombstone = Tombstone {
            tenant: Uuid::nil(),
            subject,
            erased_at: platform::clock::now(),
        };
        let note = self.sealer.sign(tombstone.to_string()).await.unwrap();
        tombstone.put(&self.anchor, note).await.unwrap()
    }

    async fn erase(&self, subject: Uuid) {
        let notes = [(subject, self.anchor_tombstone(subject).await)];
        self.sealer.note_tombstones(&notes).await.unwrap();
    }

    /// Heads, keys and tombstones that the anchor has.
    fn anchored(&self) -> BTreeMap<String, String> {
        files(Path::new(self.anchor.name()))
    }
}

/// What texts stand below a folder, by path.
fn files(folder: &Path) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in std::fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if let Ok(text) = std::fs::read_to_string(&path) {
                let name = path.strip_prefix(folder).unwrap();
                found.insert(name.to_str().unwrap().to_owned(), text);
            }
        }
    }
    found
}

fn ends(paths: &[String], with: &[&str]) {
    assert_eq!(paths.len(), with.len(), "{paths:?}");
    for (path, end) in paths.iter().zip(with) {
        assert!(path.ends_with(end), "{paths:?}");
    }
}

#[tokio::test]
async fn every_note_is_told_once_and_in_order_whoever_tells() {
    let (log, receiver) = (Log::new().await, Receiver::start().await);
    let webhook = receiver.webhook(&log.world).await;
    assert_eq!(webhook.tell().await.unwrap(), Told::Everything);
    assert_eq!(receiver.heard(), []);
    log.grow(10).await;
    let gone = Uuid::now_v7();
    log.erase(gone).await;
    tell_all(&webhook).await.unwrap();
    log.sealer.rotate().await.unwrap();
    log.grow(4_090).await;
    // By another key, which changes nothing: it was said.
    log.erase(gone).await;
    // As other processes do.
    let others = [
        receiver.webhook(&log.world).await,
        receiver.webhook(&log.world).await,
    ];
    let [first, second] = &others;
    let (one, other) = tokio::join!(tell_all(first), tell_all(second));
    one.and(other).unwrap();
    assert_eq!(tell_all(first).await.unwrap(), Told::Everything);
    let erased = format!("erased/{gone}.txt");
    let expected = [
        "keys/000001.txt",
        "/heads/00000000000000000010.txt",
        &erased,
        "keys/000002.txt",
        "/heads/00000000000000004096.txt",
        "/heads/00000000000000004100.txt",
    ];
    ends(&receiver.paths(), &expected);
    let heard = receiver.heard();
    let kinds: Vec<&str> = heard.iter().map(|heard| &*heard.kind).collect();
    let [key, head, tombstone] = ["anchor.key", "anchor.head", "anchor.tombstone"];
    assert_eq!(kinds, [key, head, tombstone, key, head, head]);
    let told = heard
        .iter()
        .map(|heard| (heard.path.clone(), heard.note.clone()));
    assert_eq!(told.collect::<BTreeMap<_, _>>(), log.anchored());
    // Whoever is new is told everything.
    let another = Receiver::start().await;
    tell_all(&another.webhook(&log.world).await).await.unwrap();
    assert_eq!(another.heard(), heard);
}

#[tokio::test]
async fn what_was_not_taken_is_told_again_under_the_same_id_before_anything_else() {
    let (log, receiver) = (Log::new().await, Receiver::start().await);
    let webhook = receiver.webhook(&log.world).await;
    log.grow(10).await;
    for (mood, status) in [
        (Mood::Refuses(500), 500),
        (Mood::Refuses(410), 410),
        (Mood::SendsElsewhere, 307),
    ] {
        receiver.is(mood);
        let refused = webhook.tell().await;
        assert!(
            matches!(&refused, Err(WebhookError::Refused(found)) if found.as_u16() == status),
            "{refused:?}"
        );
        wait_out(&log.world).await;
    }
    let two_minutes = Duration::from_secs(120);
    for (mood, asked) in [
        (Mood::Refuses(503), None),
        (Mood::IsBusy(429, 120), Some(two_minutes)),
        (Mood::IsBusy(503, 120), Some(two_minutes)),
    ] {
        receiver.is(mood);
        let refused = webhook.tell().await;
        assert!(
            matches!(&refused, Err(WebhookError::Later { after, .. }) if *after == asked),
            "{refused:?}"
        );
        wait_out(&log.world).await;
    }
    let heard = receiver.heard();
    assert_eq!(heard.len(), 6, "nobody follows to elsewhere");
    assert!(heard.iter().all(|again| *again == heard[0]), "{heard:?}");
    assert_eq!(heard[0].path, "keys/000001.txt");
    receiver.is(Mood::Takes);
    tell_all(&webhook).await.unwrap();
    assert_eq!(receiver.heard()[6], heard[0]);
    ends(&receiver.paths()[7..], &["/heads/00000000000000000010.txt"]);
}

/// It heard, and its answer did not arrive.
#[tokio::test]
async fn a_receiver_whose_answer_was_lost_is_told_again_under_the_same_id() {
    let (log, receiver) = (Log::new().await, Receiver::start().await);
    let address = receiver.url["http://".len()..].split('/').next().unwrap();
    let proxy = Proxy::start(address.to_owned()).await.unwrap();
    let url = receiver.url.replace(address, &proxy.address.to_string());
    let webhook = webhook(&log.world, &url).await;
    log.grow(10).await;
    proxy.lose_replies();
    let losing = tokio::join!(webhook.tell(), async {
        while receiver.heard().is_empty() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        proxy.cut();
    });
    let lost = losing.0.unwrap_err();
    assert!(matches!(lost, WebhookError::Send(_)), "{lost:?}");
    let shown = format!("{lost:?}");
    assert!(!shown.contains("token"), "{shown}");
    wait_out(&log.world).await;
    tell_all(&webhook).await.unwrap();
    let heard = receiver.heard();
    assert_eq!(heard[0], heard[1]);
    assert_eq!(heard.len(), 3);
}

#[tokio::test]
async fn a_process_that_is_killed_before_it_noted_a_delivery_makes_it_again() {
    let (log, receiver) = (Log::new().await, Receiver::start().await);
    receiver.is(Mood::SaysNothing);
    let environment = [
        ("PROOFLINE_ANCHOR_WEBHOOK", &*receiver.url),
        ("PROOFLINE_ANCHOR_WEBHOOK_SECRET", SECRET),
    ];
    log.grow(10).await;
    let part = Part::start("write-api", &log.world, &environment).await;
    while receiver.heard().is_empty() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    drop(part);
    let before = receiver.heard().len();
    receiver.is(Mood::Takes);
    let part = Part::start("write-api", &log.world, &environment).await;
    part.shows("told", |metrics| {
        metrics.value("proofline_anchor_webhook_waiting_seconds") == Some(0.0)
    })
    .await;
    part.stop().await;
    let heard = receiver.heard();
    assert!(
        heard[..before]
            .iter()
            .all(|heard_before| *heard_before == heard[before])
    );
    ends(
        &receiver.paths()[before..],
        &["keys/000001.txt", "/heads/00000000000000000010.txt"],
    );
}

/// Nobody waits for a receiver but who tells it, and nobody takes that for everything being told.
#[tokio::test]
async fn who_comes_while_another_process_tells_is_told_so() {
    let (log, receiver) = (Log::new().await, Receiver::start().await);
    let first = receiver.webhook(&log.world).await;
    let second = receiver.webhook(&log.world).await;
    log.grow(10).await;
    receiver.is(Mood::SaysNothing);
    let telling = tokio::spawn(async move { first.tell().await });
    while receiver.heard().is_empty() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(second.tell().await.unwrap(), Told::NotNow);
    // Cut off, it holds nobody up.
    telling.abort();
    receiver.is(Mood::Takes);
    while second.tell().await.unwrap() == Told::NotNow {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(second.tell().await.unwrap(), Told::Note);
    assert_eq!(second.tell().await.unwrap(), Told::Everything);
    let heard = receiver.heard();
    assert_eq!(heard[0], heard[1]);
    assert_eq!(heard.len(), 3);
}

#[tokio::test]
async fn a_receiver_that_takes_nothing_is_left_alone_by_all_processes_longer_and_longer() {
    let (log, receiver) = (Log::new().await, Receiver::start().await);
    let first = receiver.webhook(&log.world).await;
    log.grow(10).await;
    receiver.is(Mood::Refuses(500));
    for (failures, pause) in [(1, 2), (2, 4), (3, 8)] {
        let (counted, alone) = refused(&log.world, &first).await;
        assert_eq!(counted, failures);
        assert!(alone >= TimeDelta::seconds(pause), "{alone}");
        // Whoever comes now, and who is started now, sends nothing.
        let second = receiver.webhook(&log.world).await;
        for webhook in [&first, &second] {
            assert_eq!(webhook.tell().await.unwrap(), Told::NotNow);
        }
        wait_out(&log.world).await;
    }
    assert_eq!(receiver.heard().len(), 3);
    receiver.is(Mood::IsBusy(429, 120));
    let (_, alone) = refused(&log.world, &first).await;
    assert!(alone >= TimeDelta::seconds(120), "{alone}");
    wait_out(&log.world).await;
    receiver.is(Mood::Takes);
    assert_eq!(tell_all(&first).await.unwrap(), Told::Everything);
    // What was taken ends it.
    log.grow(1).await;
    receiver.is(Mood::Refuses(500));
    assert_eq!(refused(&log.world, &first).await.0, 1);
}

#[tokio::test]
async fn who_forgot_what_the_receiver_was_told_says_so() {
    let (log, receiver) = (Log::new().await, Receiver::start().await);
    let webhook = receiver.webhook(&log.world).await;
    log.grow(10).await;
    tell_all(&webhook).await.unwrap();
    let mut owner = log.world.owner().await;
    owner.execute("delete from es.webhooks").await.unwrap();
    let failed = webhook.tell().await;
    assert!(
        matches!(
            failed,
            Err(WebhookError::Outbox(SealError::UnknownReceiver))
        ),
        "{failed:?}"
    );
    // Opened anew, it is a new one.
    let webhook = receiver.webhook(&log.world).await;
    tell_all(&webhook).await.unwrap();
    assert_eq!(receiver.heard().len(), 4);
}

/// Of what is wrong the name is shown, and never the value.
#[tokio::test]
async fn a_process_that_is_given_a_bad_url_or_secret_shows_neither() {
    let world = World::new().await;
    let url = "https://example.com/hidden";
    for (url, secret, said) in [
        ("hidden", SECRET, "PROOFLINE_ANCHOR_WEBHOOK takes a URL"),
        (
            "ftp://u:hidden@example.com",
            SECRET,
            "PROOFLINE_ANCHOR_WEBHOOK takes a URL",
        ),
        (url, "whsec_hidden", "PROOFLINE_ANCHOR_WEBHOOK_SECRET takes"),
        (url, "hidden", "PROOFLINE_ANCHOR_WEBHOOK_SECRET takes"),
    ] {
        let environment = [
            ("PROOFLINE_ANCHOR_WEBHOOK", url),
            ("PROOFLINE_ANCHOR_WEBHOOK_SECRET", secret),
        ];
        let shown = part::does_not_start("write-api", &world, environment).await;
        assert!(shown.contains(said) && !shown.contains("hidden"), "{shown}");
    }
}
