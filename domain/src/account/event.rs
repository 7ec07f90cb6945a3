//! The names and shapes in this file are the storage format.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use cqrs_es::DomainEvent;
use serde::{Deserialize, Serialize};

use crate::credential::ApiKeyHash;
use crate::ids::ApiKeyId;
use crate::stored_names::stored_names;
use crate::text::{AccountName, Label};

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum AccountEvent {
    #[serde(rename = "account.opened")]
    Opened {
        name: AccountName,
        at: DateTime<Utc>,
    },
    #[serde(rename = "account.api_key_issued")]
    ApiKeyIssued {
        key_id: ApiKeyId,
        label: Label,
        hash: ApiKeyHash,
        scopes: BTreeSet<Scope>,
        at: DateTime<Utc>,
    },
    #[serde(rename = "account.api_key_revoked")]
    ApiKeyRevoked { key_id: ApiKeyId, at: DateTime<Utc> },
}

stored_names! {
    /// What an API key may do.
    pub enum Scope {
        Read = "read",
        Write = "write",
        /// Looking into who did what, and answering people's requests about their data.
        Compliance = "compliance",
    }
}

impl AccountEvent {
    /// Every stored event type of this aggregate.
    pub const TYPES: &'static [&'static str] = &[
        "account.opened",
        "account.api_key_issued",
        "account.api_key_revoked",
    ];
}

impl DomainEvent for AccountEvent {
    fn event_type(&self) -> String {
        // stored; never rename
        match self {
            Self::Opened { .. } => "account.opened",
            Self::ApiKeyIssued { .. } => "account.api_key_issued",
            Self::ApiKeyRevoked { .. } => "account.api_key_revoked",
        }
        .to_owned()
    }

    fn event_version(&self) -> String {
        match self {
            Self::Opened { .. } | Self::ApiKeyIssued { .. } | Self::ApiKeyRevoked { .. } => "1",
        }
        .to_owned()
    }
}
