//! Typed ids: a UUID that can't be taken for the id of something else.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::error::{DomainError, ErrorKind};
use crate::text::ExternalId;

/// The text is not a UUID.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("This is not a valid id.")]
pub struct InvalidId;

impl DomainError for InvalidId {
    fn code(&self) -> &'static str {
        "invalid_id"
    }

    fn kind(&self) -> ErrorKind {
        ErrorKind::Invalid
    }
}

macro_rules! ids {
    ($($(#[$docs:meta])* $name:ident,)*) => {$(
        $(#[$docs])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(Uuid);

        impl $name {
            pub const fn as_uuid(&self) -> &Uuid {
                &self.0
            }
        }

        impl From<Uuid> for $name {
            fn from(uuid: Uuid) -> Self {
                Self(uuid)
            }
        }

        impl From<$name> for Uuid {
            fn from(id: $name) -> Self {
                id.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;

            fn from_str(text: &str) -> Result<Self, InvalidId> {
                Uuid::parse_str(text).map(Self).map_err(|_| InvalidId)
            }
        }
    )*};
}

ids! {
    /// The tenant.
    AccountId,
    SiteId,
    NotificationId,
    IntegrationId,
    ActivityId,
    ApiKeyId,
    /// The person, or the holder of a secret, whose key seals a [`Pii`](crate::Pii).
    ///
    /// It stands in the log in plain text and outlives an erasure, so it must be random or derived with a secret
    /// key: an unkeyed hash of an e-mail address can be guessed, and would still point at the person.
    SubjectId,
}

impl ActivityId {
    /// The id of what an integration calls `external_id`: the same however often and in whatever order the
    /// shop's messages come. UUID v5 of the external id in the integration's namespace; stored, never change.
    pub fn of_external(integration: IntegrationId, external_id: &ExternalId) -> Self {
        Self(Uuid::new_v5(
            &integration.0,
            external_id.as_str().as_bytes(),
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_stored_as_its_plain_uuid() {
        let id: SiteId = "0198c0de-0000-7000-8000-000000000001".parse().unwrap();
        let json = serde_json::to_string(&id).unwrap();
        assert_eq!(json, r#""0198c0de-0000-7000-8000-000000000001""#);
        assert_eq!(serde_json::from_str::<SiteId>(&json).unwrap(), id);
        assert_eq!(id.to_string().parse(), Ok(id));
        assert_eq!("x".parse::<SiteId>(), Err(InvalidId));
    }

    #[test]
    fn an_external_identity_always_gives_the_same_activity() {
        let integration = IntegrationId::from(Uuid::from_u128(7));
        let other = IntegrationId::from(Uuid::from_u128(8));
        let order = ExternalId::parse("9007199254740993").unwrap();
        let id = ActivityId::of_external(integration, &order);
        assert_eq!(id, ActivityId::of_external(integration, &order));
        assert_ne!(id, ActivityId::of_external(other, &order));
        // Stored; if this changes, repeated webhooks of old orders count twice.
        assert_eq!(id.to_string(), "38527203-f181-59e1-a039-be7b37c55516");
    }
}
