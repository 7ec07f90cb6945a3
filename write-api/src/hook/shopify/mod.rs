//! Shopify's deliveries, in Shopify's format. Unknown members are ignored, since the format is the shop's.

mod buyer;
mod lenient;
mod order;
pub(super) mod signature;

use commands::{Activities, Committed};
use domain::ExternalId;
use domain::activity::WithdrawalReason;
use platform::json;
use serde::Deserialize;

use self::lenient::ShopifyId;
use self::order::Order;
use super::delivery::Delivery;
use super::outcome::{Outcome, Reason};
use crate::failure::Failure;

pub(super) const TOPIC: &str = "X-Shopify-Topic";
pub(super) const SHOP_DOMAIN: &str = "X-Shopify-Shop-Domain";
pub(super) const WEBHOOK_ID: &str = "X-Shopify-Webhook-Id";

/// The topics that mean something to us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Topic {
    OrdersCreate,
    OrdersCancelled,
    RefundsCreate,
}

#[derive(Deserialize)]
struct CancelledOrder {
    id: ShopifyId,
}

#[derive(Deserialize)]
struct Refund {
    order_id: ShopifyId,
}

impl Topic {
    pub(crate) fn parse(text: &str) -> Option<Self> {
        match text {
            "orders/create" => Some(Self::OrdersCreate),
            "orders/cancelled" => Some(Self::OrdersCancelled),
            "refunds/create" => Some(Self::RefundsCreate),
            _ => None,
        }
    }

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::OrdersCreate => "orders/create",
            Self::OrdersCancelled => "orders/cancelled",
            Self::RefundsCreate => "refunds/create",
        }
    }
}

/// Does what follows from a delivery.
pub(super) async fn take(activities: &Activities, delivery: &Delivery) -> Result<Outcome, Failure> {
    match delivery.topic {
        None => Ok(Outcome::Ignored(Reason::UnknownTopic)),
        Some(Topic::OrdersCreate) => record(activities, delivery).await,
        Some(Topic::OrdersCancelled) => {
            let order: CancelledOrder = json::parse(&delivery.body)?;
            withdraw(activities, delivery, order.id, WithdrawalReason::Cancelled).await
        }
        Some(Topic::RefundsCreate) => {
            let refund: Refund = json::parse(&delivery.body)?;
            withdraw(
                activities,
                delivery,
                refund.order_id,
                WithdrawalReason::Refunded,
            )
            .await
        }
    }
}

async fn record(activities: &Activities, delivery: &Delivery) -> Result<Outcome, Failure> {
    let order: Order = json::parse(&delivery.body)?;
    let call = delivery.call();
    let id = external_id(order.id);
    let activity = match order.into_activity(call.at) {
        Ok(activity) => activity,
        Err(reason) => return Ok(Outcome::Ignored(reason)),
    };
    let (site, integration) = (delivery.site, delivery.integration);
    let recorded = activities.record_from_shop(&call, site, integration, id, activity);
    Ok(new_or_duplicate(recorded.await?, Outcome::Recorded))
}

async fn withdraw(
    activities: &Activities,
    delivery: &Delivery,
    order: ShopifyId,
    reason: WithdrawalReason,
) -> Result<Outcome, Failure> {
    let call = delivery.call();
    let (site, integration) = (delivery.site, delivery.integration);
    let id = external_id(order);
    let withdrawn = activities.withdraw_from_shop(&call, site, integration, &id, reason);
    Ok(new_or_duplicate(withdrawn.await?, Outcome::Withdrawn))
}

fn new_or_duplicate(committed: Committed, new: fn(Committed) -> Outcome) -> Outcome {
    if committed.changed {
        new(committed)
    } else {
        Outcome::Duplicate(committed)
    }
}

/// An activity's identity is made of this; never change.
fn external_id(order: ShopifyId) -> ExternalId {
    ExternalId::parse(&format!("order/{order}")).expect("a word and digits are an external id")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_topic_has_one_spelling() {
        for topic in [
            Topic::OrdersCreate,
            Topic::OrdersCancelled,
            Topic::RefundsCreate,
        ] {
            assert_eq!(Topic::parse(topic.as_str()), Some(topic));
        }
        for other in [
            "",
            "orders",
            "orders/updated",
            "Orders/Create",
            "customers/redact",
        ] {
            assert_eq!(Topic::parse(other), None);
        }
    }

    #[test]
    fn an_order_its_cancellation_and_its_refund_name_the_same_activity() {
        let order: Order =
            json::parse(include_bytes!("../../../fixtures/shopify/order.json")).unwrap();
        let cancelled: CancelledOrder = json::parse(include_bytes!(
            "../../../fixtures/shopify/order_cancelled.json"
        ))
        .unwrap();
        let refund: Refund =
            json::parse(include_bytes!("../../../fixtures/shopify/refund.json")).unwrap();
        let id = external_id(order.id);
        assert_eq!(id.as_str(), "order/9007199254740993");
        assert_eq!(external_id(cancelled.id), id);
        assert_eq!(external_id(refund.order_id), id);
    }
}
