//! All events as one type, for readers of the whole log, and the way from a stored row to it.

use std::sync::LazyLock;

use cqrs_es::persist::{EventUpcaster, SerializedEvent};
use cqrs_es::{Aggregate, DomainEvent};
use serde::de::value::{MapAccessDeserializer, MapDeserializer};

use crate::account::{self, Account, AccountEvent};
use crate::activity::{self, Activity, ActivityEvent};
use crate::data_subject::{self, DataSubject, DataSubjectEvent};
use crate::integration::{self, Integration, IntegrationEvent};
use crate::notification::{self, Notification, NotificationEvent};
use crate::site::{self, Site, SiteEvent};

/// Every aggregate type with its event types, as stored.
pub const EVENT_TYPES: &[(&str, &[&str])] = &[
    (Account::TYPE, AccountEvent::TYPES),
    (Site::TYPE, SiteEvent::TYPES),
    (Notification::TYPE, NotificationEvent::TYPES),
    (Integration::TYPE, IntegrationEvent::TYPES),
    (Activity::TYPE, ActivityEvent::TYPES),
    (DataSubject::TYPE, DataSubjectEvent::TYPES),
];

/// An event of any aggregate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    Account(AccountEvent),
    Site(SiteEvent),
    Notification(NotificationEvent),
    Integration(IntegrationEvent),
    Activity(ActivityEvent),
    DataSubject(DataSubjectEvent),
}

/// Why a stored event could not be read. Never a reason to skip it.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    #[error("event type {event_type} of aggregate type {aggregate_type} is unknown to this build")]
    UnknownType {
        aggregate_type: String,
        event_type: String,
    },
    #[error("version {event_version} of event type {event_type} is unknown to this build")]
    UnknownVersion {
        event_type: String,
        event_version: String,
    },
    #[error("payload of event type {event_type} is not of its shape")]
    Payload {
        event_type: String,
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl Event {
    /// Upcasts and decodes a row of the log. The payload stands there without its tag, which is the event type.
    pub fn decode(stored: SerializedEvent) -> Result<Self, DecodeError> {
        let stored = UPCASTERS.iter().fold(stored, |stored, upcaster| {
            if upcaster.can_upcast(&stored.event_type, &stored.event_version) {
                upcaster.upcast(stored)
            } else {
                stored
            }
        });
        match stored.aggregate_type.as_str() {
            Account::TYPE => decode_one(stored, AccountEvent::TYPES).map(Self::Account),
            Site::TYPE => decode_one(stored, SiteEvent::TYPES).map(Self::Site),
            Notification::TYPE => {
                decode_one(stored, NotificationEvent::TYPES).map(Self::Notification)
            }
            Integration::TYPE => decode_one(stored, IntegrationEvent::TYPES).map(Self::Integration),
            Activity::TYPE => decode_one(stored, ActivityEvent::TYPES).map(Self::Activity),
            DataSubject::TYPE => decode_one(stored, DataSubjectEvent::TYPES).map(Self::DataSubject),
            _ => Err(unknown_type(stored)),
        }
    }

    pub fn event_type(&self) -> String {
        match self {
            Self::Account(event) => event.event_type(),
            Self::Site(event) => event.event_type(),
            Self::Notification(event) => event.event_type(),
            Self::Integration(event) => event.event_type(),
            Self::Activity(event) => event.event_type(),
            Self::DataSubject(event) => event.event_type(),
        }
    }

    /// What happened, in plain words. Tells no person and no secret.
    pub fn sentence(&self) -> String {
        match self {
            Self::Account(event) => event.sentence(),
            Self::Site(event) => event.sentence(),
            Self::Notification(event) => event.sentence(),
            Self::Integration(event) => event.sentence(),
            Self::Activity(event) => event.sentence(),
            Self::DataSubject(event) => event.sentence(),
        }
    }
}

/// The upcasters of all aggregates. Apply each that can, in order; [`Event::decode`] does.
pub fn upcasters() -> Vec<Box<dyn EventUpcaster>> {
    [
        account::upcasters(),
        site::upcasters(),
        notification::upcasters(),
        integration::upcasters(),
        activity::upcasters(),
        data_subject::upcasters(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

static UPCASTERS: LazyLock<Vec<Box<dyn EventUpcaster>>> = LazyLock::new(upcasters);

fn decode_one<E: DomainEvent>(stored: SerializedEvent, types: &[&str]) -> Result<E, DecodeError> {
    if !types.contains(&stored.event_type.as_str()) {
        return Err(unknown_type(stored));
    }
    let SerializedEvent {
        event_type,
        event_version,
        payload,
        ..
    } = stored;
    let tagged = MapDeserializer::new(std::iter::once((event_type.as_str(), payload)));
    let event = match E::deserialize(MapAccessDeserializer::new(tagged)) {
        Ok(event) => event,
        Err(source) => {
            let source = source.into();
            return Err(DecodeError::Payload { event_type, source });
        }
    };
    if event.event_version() != event_version {
        return Err(DecodeError::UnknownVersion {
            event_type,
            event_version,
        });
    }
    Ok(event)
}

fn unknown_type(stored: SerializedEvent) -> DecodeError {
    DecodeError::UnknownType {
        aggregate_type: stored.aggregate_type,
        event_type: stored.event_type,
    }
}

macro_rules! from_event {
    ($($aggregate:ident($event:ty),)*) => {$(
        impl From<$event> for Event {
            fn from(event: $event) -> Self {
                Self::$aggregate(event)
            }
        }
    )*};
}

from_event! {
    Account(AccountEvent),
    Site(SiteEvent),
    Notification(NotificationEvent),
    Integration(IntegrationEvent),
    Activity(ActivityEvent),
    DataSubject(DataSubjectEvent),
}
