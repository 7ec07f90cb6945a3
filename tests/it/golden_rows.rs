//! Rows as an earlier build stored them. They may be added to and never changed: a build that can't read them, or would
//! write them otherwise, has broken the stored format.
//!
//! `PROOFLINE_WRITE_GOLDEN=1` writes the events anew, for a new kind of row; the diff must show additions only.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use cqrs_es::Aggregate;
use domain::activity::{Activity, ActivityEvent};
use domain::integration::{Integration, IntegrationEvent};
use domain::{
    Buyer, City, CountryCode, Email, FirstName, Hostname, LastName, Pii, SubjectId, WebhookSecret,
};
use event_store::{Append, NewEvent, Origin, StreamId, encode};
use serde_json::{Value, json};
use sqlx::{Connection as _, PgConnection};
use tests::World;
use uuid::Uuid;

const EVENTS: &str = include_str!("../golden/events.jsonl");
const SUBJECTS: &str = include_str!("../golden/subjects.jsonl");

const TENANT: Uuid = Uuid::from_u128(0xacc0);
const SITE: Uuid = Uuid::from_u128(0x517e);
const INTEGRATION: Uuid = Uuid::from_u128(0x1417);
const ACTIVITY: Uuid = Uuid::from_u128(0xac71);

/// A key file with known keys, as version 1 of its format.
fn key_file() -> Value {
    let key = |byte: u8| STANDARD.encode([byte; 32]);
    let bucket_keys: Vec<Value> = (0..64u8)
        .map(|n| json!({ "id": format!("golden-{n}"), "bucket": n, "key": key(n) }))
        .collect();
    json!({ "version": 1, "root": key(255), "bucket_keys": bucket_keys })
}

async fn world() -> World {
    let world = World::new().await;
    let file = world.key_file();
    std::fs::write(&file, key_file().to_string()).unwrap();
    std::fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    world
}

fn buyer() -> Pii<Buyer> {
    let buyer = Buyer {
        first_name: FirstName::clipped("Anna"),
        last_name: LastName::clipped("Schmidt"),
        email: Email::parse("anna@example.com").ok(),
        city: City::clipped("Berlin"),
        country: CountryCode::parse("DE").ok(),
    };
    Pii::new(SubjectId::from(Uuid::from_u128(0x5b1)), buyer)
}

fn connected() -> IntegrationEvent {
    IntegrationEvent::Connected {
        site_id: SITE.into(),
        platform: domain::integration::Platform::Shopify,
        shop_domain: Hostname::parse("shop.example.com").unwrap(),
        webhook_secret: Pii::new(
            SubjectId::from(Uuid::from_u128(0x5b2)),
            WebhookSecret::parse("shpss_golden").unwrap(),
        ),
        at: "2026-11-21T12:00:00Z".parse().unwrap(),
    }
}

fn recorded() -> ActivityEvent {
    ActivityEvent::Recorded {
        site_id: SITE.into(),
        integration_id: Some(INTEGRATION.into()),
        external_id: Some(domain::ExternalId::parse("order/9007199254740993").unwrap()),
        kind: domain::activity::ActivityKind::Order,
        occurred_at: "2026-11-21T11:59:00Z".parse().unwrap(),
        buyer: Some(buyer()),
        product: domain::ProductTitle::clipped("Trail Runner 3"),
        items_count: 2,
        total: Some(
            domain::Money::parse_decimal("199.00", domain::Currency::parse("EUR").unwrap())
                .unwrap(),
        ),
        at: "2026-11-21T12:00:01Z".parse().unwrap(),
    }
}

fn appends() -> Vec<Append> {
    let withdrawn = ActivityEvent::Withdrawn {
        site_id: SITE.into(),
        integration_id: Some(INTEGRATION.into()),
        reason: domain::activity::WithdrawalReason::Refunded,
        at: "2026-11-21T12:00:02Z".parse().unwrap(),
    };
    vec![
        append(
            1,
            "integration",
            INTEGRATION,
            0,
            encode(&[connected()]).unwrap(),
            None,
        ),
        append(
            2,
            "activity",
            ACTIVITY,
            0,
            encode(&[recorded()]).unwrap(),
            Some([7; 32]),
        ),
        append(
            3,
            "activity",
            ACTIVITY,
            1,
            encode(&[withdrawn]).unwrap(),
            None,
        ),
    ]
}

fn append(
    number: u128,
    aggregate_type: &str,
    id: Uuid,
    expected: i64,
    mut events: Vec<NewEvent>,
    request_hash: Option<[u8; 32]>,
) -> Append {
    for (event, n) in events.iter_mut().zip(0..) {
        event.id = Uuid::from_u128(0xe000 + number * 16 + n);
    }
    Append {
        tenant: TENANT,
        stream: StreamId {
            aggregate_type: aggregate_type.to_owned(),
            aggregate_id: id.to_string(),
        },
        owner: SITE,
        expected,
        origin: Origin {
            command_id: Uuid::from_u128(0xc000 + number),
            correlation_id: Uuid::from_u128(0xc0 + number),
            causation_id: (number == 3).then_some(Uuid::from_u128(0xe020)),
            actor: format!("integration:{INTEGRATION}"),
            metadata: json!({ "request_id": "golden", "source": "shopify" }),
        },
        request_hash,
        excluded: Vec::new(),
        events,
    }
}

async fn stored(connection: &mut PgConnection, query: &str) -> Vec<String> {
    sqlx::query_scalar(query)
        .fetch_all(connection)
        .await
        .unwrap()
}

const SELECT_EVENTS: &str = "select row_to_json(e)::text from es.events e order by position";

/// The row's text, byte for byte, but for what differs between two writings of the same: the moment, and what is sealed
/// under a fresh nonce, of which the length stays.
fn comparable(row: &str) -> String {
    let row = masked(row, r#""recorded_at":""#, |_| 'M'.to_string());
    masked(&row, r#""sealed":"1."#, |sealed| "*".repeat(sealed.len()))
}

/// Replaces what follows every `before`, up to the next quotation mark.
fn masked(text: &str, before: &str, mask: impl Fn(&str) -> String) -> String {
    let mut parts = text.split(before);
    let mut out = parts.next().unwrap().to_owned();
    for part in parts {
        let (value, rest) = part.split_once('"').unwrap();
        out.push_str(&format!("{before}{}\"{rest}", mask(value)));
    }
    out
}

#[tokio::test]
async fn this_build_writes_rows_as_the_golden_ones() {
    let world = world().await;
    // Who has a key of their own keeps it, so what is written anew opens by the golden keys, too.
    put_golden_keys(&world).await;
    let store = world.store().await;
    for append in appends() {
        store.append(append).await.unwrap();
    }
    let events = stored(&mut world.owner().await, SELECT_EVENTS).await;
    if std::env::var_os("PROOFLINE_WRITE_GOLDEN").is_some() {
        std::fs::write("golden/events.jsonl", events.join("\n") + "\n").unwrap();
    }
    let written: Vec<_> = events.iter().map(|row| comparable(row)).collect();
    let golden: Vec<_> = EVENTS.lines().map(comparable).collect();
    assert_eq!(written, golden);
}

#[tokio::test]
async fn this_build_reads_the_golden_rows() {
    let world = world().await;
    let mut owner = world.owner().await;
    for row in EVENTS.lines() {
        insert(
            &mut owner,
            "insert into es.events select * from json_populate_record(null::es.events, $1::json)",
            row,
        )
        .await;
    }
    let heads = "insert into es.streams select aggregate_type, aggregate_id, tenant_id, max(sequence), min(position), \
                 max(position), 0 from es.events group by 1, 2, 3";
    sqlx::query(heads).execute(&mut owner).await.unwrap();
    put_golden_keys(&world).await;
    let streams = world.store().await.streams().clone();
    let integration = streams
        .load::<Integration>(TENANT, &INTEGRATION.to_string())
        .await
        .unwrap();
    let mut expected = Integration::default();
    expected.apply(connected());
    assert_eq!(integration.aggregate, expected, "the secret opens");
    let activity = streams
        .load::<Activity>(TENANT, &ACTIVITY.to_string())
        .await
        .unwrap();
    assert_eq!((activity.version, activity.last_position), (2, 3));

    let events = streams
        .events_after(
            &StreamId {
                aggregate_type: "activity".to_owned(),
                aggregate_id: ACTIVITY.to_string(),
            },
            0,
        )
        .await
        .unwrap();
    let mut payload = events[0].payload_value().unwrap();
    streams
        .vault()
        .open(TENANT, events[0].event_id, &mut payload)
        .await
        .unwrap();
    let reread: ActivityEvent =
        serde_json::from_value(json!({ "activity.recorded": payload })).unwrap();
    assert_eq!(reread, recorded(), "the buyer opens");
}

/// As they were before there were trees, of which keys derive today.
async fn put_golden_keys(world: &World) {
    let mut keys = PgConnection::connect(&world.keys_url).await.unwrap();
    for row in SUBJECTS.lines() {
        insert(
            &mut keys,
            r#"insert into keys.subject
               select * from jsonb_populate_record(null::keys.subject, $1::jsonb || '{ "holds": "subject" }')"#,
            row,
        )
        .await;
    }
    sqlx::query("insert into keys.individual select distinct tenant_id from keys.subject")
        .execute(&mut keys)
        .await
        .unwrap();
}

async fn insert(connection: &mut PgConnection, statement: &str, row: &str) {
    sqlx::query(statement)
        .bind(row)
        .execute(connection)
        .await
        .unwrap();
}

#[test]
fn no_golden_row_holds_personal_data_in_plain_text() {
    for personal in ["Anna", "Schmidt", "example.com\"}", "shpss_golden"] {
        assert!(!EVENTS.contains(personal), "{personal}");
    }
}
