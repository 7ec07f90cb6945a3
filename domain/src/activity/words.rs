use super::{Activity, ActivityEvent, ActivityKind, ActivityStatus, WithdrawalReason};
use crate::ids::IntegrationId;
use crate::person::Buyer;
use crate::pii::Pii;
use crate::words::{Fact, counted, quoted};

impl ActivityEvent {
    /// What happened, in plain words. What the shop calls it is not told: a shop may call it by a person.
    pub fn sentence(&self) -> String {
        match self {
            Self::Recorded {
                site_id,
                integration_id,
                external_id: _,
                kind,
                occurred_at,
                buyer,
                product,
                items_count,
                total,
                at: _,
            } => {
                let items = (*items_count > 0).then(|| counted(*items_count, "item"));
                let details: Vec<String> = product
                    .iter()
                    .map(|product| quoted(product.as_str()))
                    .chain(items)
                    .chain(total.map(|total| total.to_string()))
                    .collect();
                let details = match &*details.join(", ") {
                    "" => String::new(),
                    details => format!(" ({details})"),
                };
                format!(
                    "{} {}{details} at {occurred_at} on site {site_id}{}.",
                    who(buyer.as_ref()),
                    did(*kind),
                    told_by(*integration_id)
                )
            }
            Self::Withdrawn {
                site_id,
                integration_id,
                reason,
                at: _,
            } => format!(
                "The activity on site {site_id} was withdrawn, because {}{}.",
                why(*reason),
                told_by(*integration_id)
            ),
            Self::BuyerForgotten { site_id, at: _ } => {
                format!("The buyer of the activity on site {site_id} was erased and is forgotten.")
            }
        }
    }
}

impl Activity {
    /// What is so about it, in plain words; nothing until it is recorded or withdrawn.
    pub fn facts(&self) -> Vec<Fact> {
        let (status, site_id) = match self.status() {
            ActivityStatus::Unknown => return Vec::new(),
            ActivityStatus::Recorded { site_id } => ("recorded", site_id),
            ActivityStatus::Withdrawn { site_id } => ("withdrawn", site_id),
        };
        let mut facts = vec![
            Fact::new("status", status),
            Fact::new("site", site_id.to_string()),
        ];
        let buyer = self.buyer().map(|_| Fact::new("buyer", "known"));
        facts.extend(buyer);
        facts
    }
}

fn who(buyer: Option<&Pii<Buyer>>) -> &'static str {
    match buyer {
        None => "Somebody",
        Some(Pii::Known { .. } | Pii::Sealed { .. }) => "A buyer",
        Some(Pii::Erased { .. }) => "An erased buyer",
    }
}

fn did(kind: ActivityKind) -> &'static str {
    match kind {
        ActivityKind::Order => "placed an order",
        ActivityKind::SignUp => "signed up",
        ActivityKind::Review => "wrote a review",
        ActivityKind::Custom => "did something that the shop reported",
    }
}

fn why(reason: WithdrawalReason) -> &'static str {
    match reason {
        WithdrawalReason::Cancelled => "the order was cancelled",
        WithdrawalReason::Refunded => "the order was refunded",
        WithdrawalReason::Removed => "the merchant took it back",
    }
}

fn told_by(integration: Option<IntegrationId>) -> String {
    integration.map_or_else(String::new, |id| format!(", as integration {id} told"))
}
