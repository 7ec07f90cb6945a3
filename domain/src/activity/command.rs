use chrono::{DateTime, Utc};

use super::{ActivityKind, WithdrawalReason};
use crate::ids::{IntegrationId, SiteId};
use crate::money::Money;
use crate::person::Buyer;
use crate::pii::Pii;
use crate::text::{ExternalId, ProductTitle};

#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(
    clippy::large_enum_variant,
    reason = "nearly every command is the large one"
)]
pub enum ActivityCommand {
    Record {
        site_id: SiteId,
        integration_id: Option<IntegrationId>,
        external_id: Option<ExternalId>,
        kind: ActivityKind,
        /// When it happened in the shop.
        occurred_at: DateTime<Utc>,
        buyer: Option<Pii<Buyer>>,
        product: Option<ProductTitle>,
        items_count: u32,
        total: Option<Money>,
        at: DateTime<Utc>,
    },
    Withdraw {
        site_id: SiteId,
        integration_id: Option<IntegrationId>,
        reason: WithdrawalReason,
        at: DateTime<Utc>,
    },
    /// The buyer was erased.
    ForgetBuyer { at: DateTime<Utc> },
}
