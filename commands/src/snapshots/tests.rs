//! States as they are kept. Where one of these changes, older snapshots are of no use: raise the revision with it.

use std::path::Path;

use serde_json::{Map, Value, json};

use super::*;

/// The fold of the golden events, in the order given.
fn folded<A: Kept>(events: &[&str]) -> Value {
    let mut aggregate = A::default();
    for event in events {
        let path = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("../domain/golden")
            .join(A::TYPE)
            .join(format!("{event}.v1.json"));
        let mut golden: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
        let name = golden["event_type"].as_str().unwrap().to_owned();
        let tagged = Map::from_iter([(name, golden["payload"].take())]);
        aggregate.apply(serde_json::from_value(Value::Object(tagged)).unwrap());
    }
    serde_json::to_value(aggregate).unwrap()
}

#[test]
fn the_state_of_an_account_is_what_revision_1_says() {
    assert_eq!(Account::SNAPSHOTS, Some(1));
    assert_eq!(
        folded::<Account>(&["opened", "api_key_issued", "api_key_revoked"]),
        json!({
            "name": "Läufer & Söhne",
            "api_keys": {
                "00000000-0000-0000-0000-0000000000a1": {
                    "hash": "0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f",
                    "label": "Console",
                    "revoked_at": "2026-03-01T12:00:00Z",
                    "scopes": ["read", "write"],
                },
            },
        })
    );
}

#[test]
fn the_state_of_a_site_is_what_revision_2_says() {
    assert_eq!(Site::SNAPSHOTS, Some(2));
    assert_eq!(
        folded::<Site>(&["registered", "renamed", "settings_changed"]),
        json!({
            "registered": {
                "account_id": "00000000-0000-0000-0000-0000000000ac",
                "data_region": "eu",
                "domain": "shop.example.com",
                "embed_key": "pk_abababababababababababababababab",
                "name": "Trail & Road",
                "registered_name": "Trail Shop",
                "settings": { "feed_age_hours_max": 720, "feed_items_max": 50 },
            },
        })
    );
}

#[test]
fn the_state_of_a_notification_is_what_revision_1_says() {
    assert_eq!(Notification::SNAPSHOTS, Some(1));
    assert_eq!(
        folded::<Notification>(&["drafted", "published", "paused"]),
        json!({
            "drafted": {
                "message": "{first_name} from {city} bought {product}",
                "name": "Recent orders",
                "site_id": "00000000-0000-0000-0000-000000000051",
                "status": "paused",
            },
        })
    );
}

#[test]
fn who_knows_a_person_or_a_secret_keeps_no_snapshots() {
    assert_eq!(Activity::SNAPSHOTS, None);
    assert_eq!(Integration::SNAPSHOTS, None);
    for state in [
        folded::<Account>(&["opened", "api_key_issued"]),
        folded::<Site>(&["registered"]),
        folded::<Notification>(&["drafted"]),
    ] {
        assert!(!state.to_string().contains("$pii"), "{state}");
    }
}

#[test]
fn the_state_of_a_data_subject_is_what_revision_1_says() {
    assert_eq!(DataSubject::SNAPSHOTS, Some(1));
    let events = [
        "registered",
        "identity_linked",
        "consent_granted",
        "access_requested",
        "erasure_requested",
        "legal_hold_placed",
    ];
    assert_eq!(
        folded::<DataSubject>(&events),
        json!({
            "registered": true,
            "identities": ["00000000-0000-0000-0000-0000000000b1"],
            "consents": {
                "display": { "Granted": { "text_version": "2026-02", "at": "2026-03-01T12:00:00Z" } },
            },
            "access": { "Requested": { "due_at": "2026-03-29T12:00:00Z" } },
            "erasure": { "Requested": { "due_at": "2026-03-29T12:00:00Z" } },
            "legal_hold": "court/4711",
        })
    );
}
