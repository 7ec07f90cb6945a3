//! The names and shapes in this file are the storage format.

use chrono::{DateTime, Utc};
use cqrs_es::DomainEvent;
use serde::{Deserialize, Serialize};

use crate::credential::WebhookSecret;
use crate::host::Hostname;
use crate::ids::SiteId;
use crate::pii::Pii;
use crate::stored_names::stored_names;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum IntegrationEvent {
    #[serde(rename = "integration.connected")]
    Connected {
        site_id: SiteId,
        platform: Platform,
        shop_domain: Hostname,
        webhook_secret: Pii<WebhookSecret>,
        at: DateTime<Utc>,
    },
}

stored_names! {
    /// The shop system, which decides how its webhooks are signed and read.
    pub enum Platform {
        Shopify = "shopify",
    }
}

impl IntegrationEvent {
    /// Every stored event type of this aggregate.
    pub const TYPES: &'static [&'static str] = &["integration.connected"];
}

impl DomainEvent for IntegrationEvent {
    fn event_type(&self) -> String {
        // stored; never rename
        match self {
            Self::Connected { .. } => "integration.connected",
        }
        .to_owned()
    }

    fn event_version(&self) -> String {
        match self {
            Self::Connected { .. } => "1",
        }
        .to_owned()
    }
}
