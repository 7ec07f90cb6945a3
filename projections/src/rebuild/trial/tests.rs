use event_store::Bucket;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::*;

const AT: &str = "2026-03-01T12:00:00Z";
/// In the lower and in the upper half of the slots.
const LOWER: Uuid = Uuid::from_u128(0x0001);
const UPPER: Uuid = Uuid::from_u128(0x8001);

fn recorded(position: i64, id: Uuid, event_type: &str, payload: &Value) -> RecordedEvent {
    RecordedEvent {
        position,
        tenant: Uuid::from_u128(0xacc0),
        stream: StreamId {
            aggregate_type: "site".to_owned(),
            aggregate_id: id.to_string(),
        },
        sequence: position,
        bucket: Bucket::from_stored(0).unwrap(),
        event_id: Uuid::from_u128(position.unsigned_abs().into()),
        event_type: event_type.to_owned(),
        event_version: "1".to_owned(),
        recorded_at: AT.parse().unwrap(),
        command_id: Uuid::nil(),
        correlation_id: Uuid::nil(),
        causation_id: None,
        actor: "test".to_owned(),
        payload: RawValue::from_string(payload.to_string()).unwrap(),
        metadata: RawValue::from_string("{}".to_owned()).unwrap(),
    }
}

fn registered(position: i64, id: Uuid) -> RecordedEvent {
    let payload = json!({
        "account_id": Uuid::from_u128(0xacc0),
        "name": "Shoes",
        "domain": "shop.example.com",
        "embed_key": "pk_abababababababababababababababab",
        "settings": { "feed_items_max": 10, "feed_age_hours_max": 72 },
        "at": AT,
    });
    recorded(position, id, "site.registered", &payload)
}

fn renamed(position: i64, id: Uuid, name: &str) -> RecordedEvent {
    let payload = json!({ "name": name, "at": AT });
    recorded(position, id, "site.renamed", &payload)
}

fn tried(events: &[RecordedEvent]) -> Trial {
    let mut trial = Trial::new(10);
    for event in events {
        trial.add(event).unwrap();
    }
    trial
}

fn counted(trial: &Trial) -> (u64, u64) {
    let tallies = || trial.tallies.values();
    let broken = tallies().map(|tally| tally.broken).sum();
    (broken, tallies().map(|tally| tally.behind).sum())
}

#[test]
fn what_is_left_to_a_later_pass_is_counted_there_and_takes_no_room_here() {
    let of = |id| {
        [
            registered(1, id),
            renamed(2, id, ""),
            renamed(3, id, "Boots"),
        ]
    };
    let whole = tried(&[of(LOWER), of(UPPER)].concat());
    assert_eq!(counted(&whole), (2, 2));
    let mut kept = tried(&[of(LOWER), of(UPPER)].concat());
    kept.keep(&(0..0x8000));
    assert_eq!(counted(&kept), (1, 1));
    assert_eq!(kept.size_bytes(), tried(&of(LOWER)).size_bytes());
    kept.keep(&(0..0));
    assert_eq!((counted(&kept), kept.size_bytes()), ((0, 0), 0));
}

#[test]
fn an_event_breaks_at_the_first_step_that_it_does_not_take() {
    let trial = tried(&[
        registered(1, LOWER),
        registered(2, LOWER),
        renamed(3, UPPER, "Boots"),
        renamed(4, UPPER, "Two\nlines"),
    ]);
    let why: Vec<_> = trial.broken.iter().map(|one| one.why.to_string()).collect();
    assert_eq!(
        why,
        [
            "does not fold into site_list",
            "does not fold into site_list",
            "does not decode"
        ]
    );
}

#[test]
fn no_more_is_listed_than_was_asked_for_and_all_is_counted() {
    let mut trial = Trial::new(1);
    for position in 1..=3 {
        trial.add(&renamed(position, LOWER, "")).unwrap();
    }
    assert_eq!((trial.broken.len(), counted(&trial)), (1, (3, 0)));
}

#[test]
fn what_a_panic_says_is_told() {
    let said = |panic: fn()| message(&*catch_unwind(panic).unwrap_err());
    assert_eq!(said(|| panic!("at once")), "at once");
    assert_eq!(said(|| panic!("after {}", 3)), "after 3");
    assert_eq!(said(|| std::panic::panic_any(3)), "it does not say why");
}
