//! What must hold before an event may enter the log: that every reader of this build can read it, that nothing personal
//! is in it unsealed, and that it is the tenant's own.

use commands::Claim;
use cqrs_es::DomainEvent;
use cqrs_es::persist::SerializedEvent;
use domain::Event;
use domain::account::AccountEvent;
use domain::activity::ActivityEvent;
use domain::data_subject::DataSubjectEvent;
use domain::integration::IntegrationEvent;
use domain::notification::NotificationEvent;
use domain::site::SiteEvent;
use event_store::{NewEvent, StoreError};
use serde_json::Value;
use uuid::Uuid;

use super::mapping::Mapped;
use super::refusal::Refusal;
use crate::told::told;

/// An event that may enter.
pub(super) struct Admitted {
    /// Its id is yet to be given.
    pub(super) event: NewEvent,
    /// What it takes for its stream alone, as it would on the platform.
    pub(super) claim: Claim,
    pub(super) owner: Owner,
}

/// Whose an event is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Owner {
    Account,
    /// The stream is the site.
    Site,
    /// Another stream is the site.
    OfSite(Uuid),
}

/// Decodes as a reader of the log would, and encodes as the platform itself does: in the newest version, with nothing
/// but the fields that this build knows.
pub(super) fn admit(
    tenant: Uuid,
    region: Option<&str>,
    aggregate_type: &str,
    aggregate_id: &str,
    sequence: i64,
    mapped: Mapped,
) -> Result<Admitted, Refusal> {
    if !is_plain(&mapped.payload) {
        return Err(Refusal::ForeignEnvelope);
    }
    let stored = upcast(SerializedEvent {
        aggregate_id: aggregate_id.to_owned(),
        sequence: sequence as usize,
        aggregate_type: aggregate_type.to_owned(),
        event_type: mapped.event_type,
        event_version: mapped.event_version,
        payload: mapped.payload,
        metadata: Value::Null,
    });
    let given = stored.payload.clone();
    let event = Event::decode(stored).map_err(|error| Refusal::Undecodable(told(&error)))?;
    if let Event::DataSubject(_) = event {
        return Err(Refusal::PersonsRecord);
    }
    if is_beginning(&event) && sequence > 1 {
        return Err(Refusal::SecondBeginning);
    }
    if sequence == 1 && !may_begin(&event) {
        return Err(Refusal::NotABeginning);
    }
    check_account(&event, tenant, aggregate_id)?;
    check_region(&event, region)?;
    let encoded = encode(&event).map_err(|error| Refusal::Undecodable(error.to_string()))?;
    if let Some(pointer) = unknown_field(&given, &encoded.payload) {
        return Err(Refusal::UnknownField { pointer });
    }
    Ok(Admitted {
        owner: owner(&event),
        claim: claim(&event),
        event: encoded,
    })
}

fn upcast(stored: SerializedEvent) -> SerializedEvent {
    domain::upcasters().iter().fold(stored, |stored, upcaster| {
        if upcaster.can_upcast(&stored.event_type, &stored.event_version) {
            upcaster.upcast(stored)
        } else {
            stored
        }
    })
}

fn encode(event: &Event) -> Result<NewEvent, StoreError> {
    fn one<E: DomainEvent>(event: &E) -> Result<NewEvent, StoreError> {
        let mut encoded = event_store::encode(std::slice::from_ref(event))?;
        encoded.pop().ok_or_else(|| StoreError::Encode {
            event_type: event.event_type(),
        })
    }
    match event {
        Event::Account(event) => one(event),
        Event::Site(event) => one(event),
        Event::Notification(event) => one(event),
        Event::Integration(event) => one(event),
        Event::Activity(event) => one(event),
        Event::DataSubject(event) => one(event),
    }
}

fn owner(event: &Event) -> Owner {
    match event {
        Event::Account(_) | Event::DataSubject(_) => Owner::Account,
        Event::Site(_) => Owner::Site,
        Event::Notification(event) => Owner::OfSite(event.site_id().into()),
        Event::Integration(IntegrationEvent::Connected { site_id, .. }) => {
            Owner::OfSite((*site_id).into())
        }
        Event::Activity(event) => Owner::OfSite(event.site_id().into()),
    }
}

fn claim(event: &Event) -> Claim {
    match event {
        Event::Site(SiteEvent::Registered { domain, .. }) => commands::claim_of(domain),
        Event::Site(SiteEvent::Renamed { .. } | SiteEvent::SettingsChanged { .. })
        | Event::Account(_)
        | Event::Notification(_)
        | Event::Integration(_)
        | Event::Activity(_)
        | Event::DataSubject(_) => Claim::default(),
    }
}

/// Whether a reader makes a row of it, which it can do once.
fn is_beginning(event: &Event) -> bool {
    match event {
        Event::Account(event) => match event {
            AccountEvent::Opened { .. } => true,
            AccountEvent::ApiKeyIssued { .. } | AccountEvent::ApiKeyRevoked { .. } => false,
        },
        Event::Site(event) => match event {
            SiteEvent::Registered { .. } => true,
            SiteEvent::Renamed { .. } | SiteEvent::SettingsChanged { .. } => false,
        },
        Event::Notification(event) => match event {
            NotificationEvent::Drafted { .. } => true,
            NotificationEvent::Published { .. }
            | NotificationEvent::Paused { .. }
            | NotificationEvent::Resumed { .. }
            | NotificationEvent::Archived { .. } => false,
        },
        Event::Integration(IntegrationEvent::Connected { .. }) => true,
        Event::Activity(event) => match event {
            ActivityEvent::Recorded { .. } => true,
            ActivityEvent::Withdrawn { .. } | ActivityEvent::BuyerForgotten { .. } => false,
        },
        Event::DataSubject(event) => matches!(event, DataSubjectEvent::Registered { .. }),
    }
}

/// A refund may overtake its order.
fn may_begin(event: &Event) -> bool {
    is_beginning(event) || matches!(event, Event::Activity(ActivityEvent::Withdrawn { .. }))
}

/// An account is its own tenant, and a site says whose it is.
fn check_account(event: &Event, tenant: Uuid, aggregate_id: &str) -> Result<(), Refusal> {
    let named = match event {
        Event::Account(_) => Uuid::parse_str(aggregate_id).ok(),
        Event::Site(SiteEvent::Registered { account_id, .. }) => Some((*account_id).into()),
        Event::Site(SiteEvent::Renamed { .. } | SiteEvent::SettingsChanged { .. })
        | Event::Notification(_)
        | Event::Integration(_)
        | Event::Activity(_)
        | Event::DataSubject(_) => None,
    };
    match named {
        Some(found) if found != tenant => Err(Refusal::OtherAccount { found }),
        _ => Ok(()),
    }
}

/// What was promised of where a site's data lies holds here, too.
fn check_region(event: &Event, own: Option<&str>) -> Result<(), Refusal> {
    match event {
        Event::Site(SiteEvent::Registered {
            data_region: Some(promised),
            ..
        }) if own != Some(promised.as_str()) => Err(Refusal::OtherRegion {
            found: promised.clone(),
        }),
        _ => Ok(()),
    }
}

/// Whether every envelope holds its value in the clear.
fn is_plain(value: &Value) -> bool {
    match value {
        Value::Object(map) => match map.get("$pii") {
            Some(envelope) => envelope.get("value").is_some() && envelope.get("sealed").is_none(),
            None => map.values().all(is_plain),
        },
        Value::Array(items) => items.iter().all(is_plain),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => true,
    }
}

/// JSON pointer of the first field that was given and is not in what the build makes of it.
fn unknown_field(given: &Value, encoded: &Value) -> Option<String> {
    match (given, encoded) {
        (Value::Object(given), Value::Object(encoded)) => given.iter().find_map(|(key, value)| {
            let escaped = key.replace('~', "~0").replace('/', "~1");
            match encoded.get(key) {
                Some(known) => {
                    unknown_field(value, known).map(|pointer| format!("/{escaped}{pointer}"))
                }
                None => (!value.is_null()).then(|| format!("/{escaped}")),
            }
        }),
        (Value::Array(given), Value::Array(encoded)) => (0..)
            .zip(given.iter().zip(encoded))
            .find_map(|(index, (given, encoded)): (usize, _)| {
                unknown_field(given, encoded).map(|pointer| format!("/{index}{pointer}"))
            }),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const TENANT: Uuid = Uuid::from_u128(1);

    fn site_registered() -> Mapped {
        Mapped {
            event_type: "site.registered".to_owned(),
            event_version: "1".to_owned(),
            payload: json!({
                "account_id": TENANT,
                "name": "Trail & Co",
                "domain": "shop.example.com",
                "embed_key": "pk_000102030405060708090a0b0c0d0e0f",
                "settings": { "feed_items_max": 20, "feed_age_hours_max": 72 },
                "at": "2026-11-21T12:00:00Z",
            }),
        }
    }

    fn recorded(buyer: Value) -> Mapped {
        Mapped {
            event_type: "activity.recorded".to_owned(),
            event_version: "1".to_owned(),
            payload: json!({
                "site_id": Uuid::from_u128(3),
                "kind": "order",
                "occurred_at": "2026-11-21T12:00:00Z",
                "items_count": 1,
                "buyer": buyer,
                "at": "2026-11-21T12:00:00Z",
            }),
        }
    }

    fn refused(aggregate_type: &str, sequence: i64, mapped: Mapped) -> String {
        let id = Uuid::from_u128(2).to_string();
        match admit(TENANT, Some("eu"), aggregate_type, &id, sequence, mapped) {
            Err(refusal) => refusal.to_string(),
            Ok(_) => panic!("it was admitted"),
        }
    }

    #[test]
    fn what_the_build_would_write_itself_is_admitted_as_it_is() {
        let mapped = site_registered();
        let given = mapped.payload.clone();
        let id = Uuid::from_u128(2).to_string();
        let admitted =
            admit(TENANT, Some("eu"), "site", &id, 1, mapped).unwrap_or_else(|r| panic!("{r}"));
        assert_eq!(admitted.event.payload, given);
        assert_eq!(admitted.owner, Owner::Site);
    }

    #[test]
    fn personal_data_outside_an_envelope_is_refused_and_not_quoted() {
        let told = refused("activity", 1, recorded(json!("Anna Schmidt")));
        assert!(!told.contains("Anna"), "{told}");
        let sealed = json!({ "$pii": { "subject": Uuid::from_u128(4), "sealed": "1.x" } });
        assert!(refused("activity", 1, recorded(sealed)).contains("sealed or erased"));
    }

    #[test]
    fn a_field_that_no_reader_knows_is_named() {
        let mut mapped = site_registered();
        mapped.payload["settings"]["phone/private"] = json!("555-0100");
        let told = refused("site", 1, mapped);
        assert!(told.contains("/settings/phone~1private"), "{told}");
        assert!(!told.contains("555"), "{told}");
    }

    #[test]
    fn a_stream_begins_once_and_at_its_beginning() {
        let begun_twice = refused("site", 2, site_registered());
        assert!(begun_twice.contains("only come first"), "{begun_twice}");
        let renamed = Mapped {
            event_type: "site.renamed".to_owned(),
            event_version: "1".to_owned(),
            payload: json!({ "name": "Trail", "at": "2026-11-21T12:00:00Z" }),
        };
        let told = refused("site", 1, renamed);
        assert!(told.contains("can't come first"), "{told}");
    }

    #[test]
    fn what_this_build_does_not_know_is_refused() {
        for (aggregate_type, event_type, version) in [
            ("bank", "bank.robbed", "1"),
            ("site", "site.moved", "1"),
            ("site", "site.registered", "9"),
        ] {
            let mapped = Mapped {
                event_type: event_type.to_owned(),
                event_version: version.to_owned(),
                ..site_registered()
            };
            let told = refused(aggregate_type, 1, mapped);
            assert!(told.contains("unknown to this build"), "{told}");
        }
    }

    #[test]
    fn another_accounts_site_is_refused() {
        let mut mapped = site_registered();
        mapped.payload["account_id"] = json!(Uuid::from_u128(9));
        assert!(refused("site", 1, mapped).contains("belongs to account"));
    }

    #[test]
    fn a_site_whose_data_belongs_elsewhere_is_refused() {
        let mut mapped = site_registered();
        mapped.payload["data_region"] = json!("us");
        assert!(refused("site", 1, mapped).contains("belongs to region us"));
    }

    #[test]
    fn a_persons_record_is_not_brought_in() {
        let registered = Mapped {
            event_type: "data_subject.registered".to_owned(),
            event_version: "1".to_owned(),
            payload: json!({ "at": "2026-11-21T12:00:00Z" }),
        };
        let id = Uuid::from_u128(9).to_string();
        let refused = admit(TENANT, Some("eu"), "data_subject", &id, 1, registered).err();
        assert!(
            matches!(refused, Some(Refusal::PersonsRecord)),
            "{refused:?}"
        );
    }
}
