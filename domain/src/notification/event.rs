//! The names and shapes in this file are the storage format.

use chrono::{DateTime, Utc};
use cqrs_es::DomainEvent;
use serde::{Deserialize, Serialize};

use crate::ids::SiteId;
use crate::message::MessageTemplate;
use crate::text::NotificationName;

/// Each carries its site, so that no reader needs a look-up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum NotificationEvent {
    #[serde(rename = "notification.drafted")]
    Drafted {
        site_id: SiteId,
        name: NotificationName,
        message: MessageTemplate,
        at: DateTime<Utc>,
    },
    #[serde(rename = "notification.published")]
    Published { site_id: SiteId, at: DateTime<Utc> },
    #[serde(rename = "notification.paused")]
    Paused { site_id: SiteId, at: DateTime<Utc> },
    #[serde(rename = "notification.resumed")]
    Resumed { site_id: SiteId, at: DateTime<Utc> },
    #[serde(rename = "notification.archived")]
    Archived { site_id: SiteId, at: DateTime<Utc> },
}

impl NotificationEvent {
    /// Every stored event type of this aggregate.
    pub const TYPES: &'static [&'static str] = &[
        "notification.drafted",
        "notification.published",
        "notification.paused",
        "notification.resumed",
        "notification.archived",
    ];

    pub const fn site_id(&self) -> SiteId {
        match self {
            Self::Drafted { site_id, .. }
            | Self::Published { site_id, .. }
            | Self::Paused { site_id, .. }
            | Self::Resumed { site_id, .. }
            | Self::Archived { site_id, .. } => *site_id,
        }
    }
}

impl DomainEvent for NotificationEvent {
    fn event_type(&self) -> String {
        // stored; never rename
        match self {
            Self::Drafted { .. } => "notification.drafted",
            Self::Published { .. } => "notification.published",
            Self::Paused { .. } => "notification.paused",
            Self::Resumed { .. } => "notification.resumed",
            Self::Archived { .. } => "notification.archived",
        }
        .to_owned()
    }

    fn event_version(&self) -> String {
        match self {
            Self::Drafted { .. }
            | Self::Published { .. }
            | Self::Paused { .. }
            | Self::Resumed { .. }
            | Self::Archived { .. } => "1",
        }
        .to_owned()
    }
}
