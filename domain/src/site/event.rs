//! The names and shapes in this file are the storage format.

use chrono::{DateTime, Utc};
use cqrs_es::DomainEvent;
use serde::{Deserialize, Serialize};

use super::SiteSettings;
use crate::credential::EmbedKey;
use crate::host::Hostname;
use crate::ids::AccountId;
use crate::region::DataRegion;
use crate::text::SiteName;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum SiteEvent {
    #[serde(rename = "site.registered")]
    Registered {
        account_id: AccountId,
        name: SiteName,
        domain: Hostname,
        embed_key: EmbedKey,
        /// Where the site's data may lie; nothing was promised where it is missing.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        data_region: Option<DataRegion>,
        settings: SiteSettings,
        at: DateTime<Utc>,
    },
    #[serde(rename = "site.renamed")]
    Renamed { name: SiteName, at: DateTime<Utc> },
    #[serde(rename = "site.settings_changed")]
    SettingsChanged {
        settings: SiteSettings,
        at: DateTime<Utc>,
    },
}

impl SiteEvent {
    pub const REGISTERED: &'static str = "site.registered"; // stored; never rename

    /// Every stored event type of this aggregate.
    pub const TYPES: &'static [&'static str] =
        &[Self::REGISTERED, "site.renamed", "site.settings_changed"];
}

impl DomainEvent for SiteEvent {
    fn event_type(&self) -> String {
        // stored; never rename
        match self {
            Self::Registered { .. } => Self::REGISTERED,
            Self::Renamed { .. } => "site.renamed",
            Self::SettingsChanged { .. } => "site.settings_changed",
        }
        .to_owned()
    }

    fn event_version(&self) -> String {
        match self {
            Self::Registered { .. } | Self::Renamed { .. } | Self::SettingsChanged { .. } => "1",
        }
        .to_owned()
    }
}
