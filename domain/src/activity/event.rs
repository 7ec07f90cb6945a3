//! The names and shapes in this file are the storage format.

use chrono::{DateTime, Utc};
use cqrs_es::DomainEvent;
use serde::{Deserialize, Serialize};

use crate::ids::{IntegrationId, SiteId};
use crate::money::Money;
use crate::person::Buyer;
use crate::pii::Pii;
use crate::stored_names::stored_names;
use crate::text::{ExternalId, ProductTitle};

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[expect(
    clippy::large_enum_variant,
    reason = "nearly every event is the large one"
)]
pub enum ActivityEvent {
    #[serde(rename = "activity.recorded")]
    Recorded {
        site_id: SiteId,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        integration_id: Option<IntegrationId>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        external_id: Option<ExternalId>,
        kind: ActivityKind,
        /// When it happened in the shop; `at` is when we were told.
        occurred_at: DateTime<Utc>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        buyer: Option<Pii<Buyer>>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        product: Option<ProductTitle>,
        items_count: u32,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        total: Option<Money>,
        at: DateTime<Utc>,
    },
    /// Without an earlier `Recorded` where the refund overtook its order.
    #[serde(rename = "activity.withdrawn")]
    Withdrawn {
        site_id: SiteId,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        integration_id: Option<IntegrationId>,
        reason: WithdrawalReason,
        at: DateTime<Utc>,
    },
    /// The buyer was erased: nothing that is made from the log keeps them any longer.
    #[serde(rename = "activity.buyer_forgotten")]
    BuyerForgotten { site_id: SiteId, at: DateTime<Utc> },
}

stored_names! {
    pub enum ActivityKind {
        Order = "order",
        SignUp = "sign_up",
        Review = "review",
        Custom = "custom",
    }
}

stored_names! {
    pub enum WithdrawalReason {
        /// The order was cancelled.
        Cancelled = "cancelled",
        /// The order was refunded.
        Refunded = "refunded",
        /// The merchant took it back.
        Removed = "removed",
    }
}

impl ActivityEvent {
    /// Every stored event type of this aggregate.
    pub const TYPES: &'static [&'static str] = &[
        "activity.recorded",
        "activity.withdrawn",
        "activity.buyer_forgotten",
    ];

    pub const fn site_id(&self) -> SiteId {
        match self {
            Self::Recorded { site_id, .. }
            | Self::Withdrawn { site_id, .. }
            | Self::BuyerForgotten { site_id, .. } => *site_id,
        }
    }
}

impl DomainEvent for ActivityEvent {
    fn event_type(&self) -> String {
        // stored; never rename
        match self {
            Self::Recorded { .. } => "activity.recorded",
            Self::Withdrawn { .. } => "activity.withdrawn",
            Self::BuyerForgotten { .. } => "activity.buyer_forgotten",
        }
        .to_owned()
    }

    fn event_version(&self) -> String {
        match self {
            Self::Recorded { .. } | Self::Withdrawn { .. } | Self::BuyerForgotten { .. } => "1",
        }
        .to_owned()
    }
}
