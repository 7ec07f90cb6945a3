//! An order, and what of it becomes an activity.

use chrono::{DateTime, SubsecRound as _, Utc};
use commands::NewActivity;
use domain::activity::ActivityKind;
use domain::{Currency, Money, ProductTitle};
use serde::Deserialize;

use super::buyer::{Address, Customer, buyer};
use super::lenient::{Amount, ShopifyId, known, known_items};
use crate::hook::outcome::Reason;

#[derive(Deserialize)]
pub(super) struct Order {
    pub(super) id: ShopifyId,
    #[serde(default, deserialize_with = "known")]
    email: Option<String>,
    #[serde(default, deserialize_with = "known")]
    contact_email: Option<String>,
    #[serde(default, deserialize_with = "known")]
    created_at: Option<String>,
    #[serde(default, deserialize_with = "known")]
    processed_at: Option<String>,
    #[serde(default, deserialize_with = "known")]
    cancelled_at: Option<String>,
    #[serde(default, deserialize_with = "known")]
    financial_status: Option<String>,
    #[serde(default, deserialize_with = "known")]
    test: Option<bool>,
    /// Of the shop; `total_price` is in it. The buyer may have seen another one.
    #[serde(default, deserialize_with = "known")]
    currency: Option<String>,
    #[serde(default, deserialize_with = "known")]
    total_price: Option<Amount>,
    #[serde(default, deserialize_with = "known")]
    customer: Option<Customer>,
    #[serde(default, deserialize_with = "known")]
    billing_address: Option<Address>,
    #[serde(default, deserialize_with = "known")]
    shipping_address: Option<Address>,
    #[serde(default, deserialize_with = "known_items")]
    line_items: Vec<LineItem>,
}

#[derive(Deserialize)]
struct LineItem {
    /// The product's name without the variant's.
    #[serde(default, deserialize_with = "known")]
    title: Option<String>,
    #[serde(default, deserialize_with = "known")]
    quantity: Option<u64>,
}

impl Order {
    /// What is recorded of it, or why nothing is. `now` stands in for a time that is missing or ahead.
    pub(super) fn into_activity(self, now: DateTime<Utc>) -> Result<NewActivity, Reason> {
        if let Some(reason) = self.ignored() {
            return Err(reason);
        }
        let titles = self
            .line_items
            .iter()
            .filter_map(|item| item.title.as_deref());
        Ok(NewActivity {
            kind: ActivityKind::Order,
            occurred_at: self.occurred_at(now),
            product: titles.filter_map(ProductTitle::clipped).next(),
            items_count: self.items_count(),
            total: self.total(),
            buyer: self.buyer(),
        })
    }

    fn ignored(&self) -> Option<Reason> {
        if self.test == Some(true) {
            return Some(Reason::TestOrder);
        }
        if self.cancelled_at.is_some() {
            return Some(Reason::CancelledOrder);
        }
        match self.financial_status.as_deref() {
            Some("voided") => Some(Reason::VoidedOrder),
            Some("refunded") => Some(Reason::RefundedOrder),
            _ => None,
        }
    }

    /// When it was placed, which for an imported order is long before it was created.
    fn occurred_at(&self, now: DateTime<Utc>) -> DateTime<Utc> {
        let times = [&self.processed_at, &self.created_at];
        times
            .into_iter()
            .flatten()
            .find_map(|text| DateTime::parse_from_rfc3339(text).ok())
            .map_or(now, |time| time.to_utc().trunc_subsecs(6).min(now))
    }

    fn items_count(&self) -> u32 {
        let quantities = self.line_items.iter().filter_map(|item| item.quantity);
        let sum = quantities.fold(0_u64, u64::saturating_add);
        u32::try_from(sum).unwrap_or(u32::MAX)
    }

    /// `None` where we can't read it: better an order without its total than a shop that delivers it for ever.
    fn total(&self) -> Option<Money> {
        let amount = self.total_price.as_ref()?.to_string();
        let Ok(currency) = Currency::parse(self.currency.as_deref()?.trim()) else {
            tracing::warn!(order.id = %self.id, "an order's currency can't be read; recorded without its total");
            return None;
        };
        Money::parse_decimal(&amount, currency)
            .inspect_err(|error| {
                tracing::warn!(order.id = %self.id, %error, "an order's total can't be read; recorded without it");
            })
            .ok()
    }

    fn buyer(self) -> Option<domain::Buyer> {
        let customer = self.customer.unwrap_or_default();
        let emails = [&self.email, &self.contact_email, &customer.email];
        buyer(
            emails.into_iter().flatten().map(String::as_str),
            &customer,
            &self.billing_address.unwrap_or_default(),
            &self.shipping_address.unwrap_or_default(),
        )
    }
}

#[cfg(test)]
mod tests;
