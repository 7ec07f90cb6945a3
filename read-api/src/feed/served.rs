//! The feed as it is served: one item per activity and notification, each with the token that makes its telemetry
//! believed.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use domain::{AccountId, Impression, NotificationId, SiteId};
use platform::signed::Signer;
use projections::proof_feed::{Feed, FeedItem, FeedMessage};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

/// What a page shows.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ServedFeed {
    /// The latest first.
    items: Vec<ServedItem>,
    /// When it is worth asking again.
    #[schema(example = 30)]
    next_refresh_s: u32,
}

/// Something that happened, as one notification tells it.
#[derive(Debug, Serialize, ToSchema)]
struct ServedItem {
    notification_id: Uuid,
    /// For `/collect`, with whatever the visitor sees or does.
    token: String,
    /// `order`, `sign_up`, `review` or `custom`.
    #[schema(example = "order")]
    kind: &'static str,
    /// Plain text: escape it.
    #[schema(example = "Anna from Berlin bought the Trail Runner 3")]
    message: String,
    #[schema(example = "Anna")]
    first_name: Option<String>,
    #[schema(example = "Berlin")]
    city: Option<String>,
    #[schema(example = "Trail Runner 3")]
    product: Option<String>,
    occurred_at: DateTime<Utc>,
}

/// Signs for one feed; the same token for every item of a notification.
struct Tokens<'a> {
    signer: &'a Signer,
    account_id: AccountId,
    site_id: SiteId,
    served_at: DateTime<Utc>,
    signed: BTreeMap<NotificationId, String>,
}

impl ServedFeed {
    /// The same, byte by byte, all through a period of `max_age_s`, unless something happened.
    pub(super) fn of(feed: Feed, signer: &Signer, now: DateTime<Utc>, max_age_s: u32) -> Self {
        let mut tokens = Tokens {
            signer,
            account_id: feed.account_id,
            site_id: feed.site_id,
            served_at: period(now, max_age_s),
            signed: BTreeMap::new(),
        };
        Self {
            items: feed
                .items
                .into_iter()
                .flat_map(|item| ServedItem::of_each(item, &mut tokens))
                .collect(),
            next_refresh_s: max_age_s,
        }
    }
}

impl ServedItem {
    fn of_each(item: FeedItem, tokens: &mut Tokens<'_>) -> Vec<Self> {
        let FeedItem {
            kind,
            first_name,
            city,
            product,
            occurred_at,
            messages,
        } = item;
        let served = |FeedMessage {
                          notification_id,
                          text,
                      }| Self {
            notification_id: notification_id.into(),
            token: tokens.of(notification_id),
            kind: kind.as_str(),
            message: text,
            first_name: first_name.clone(),
            city: city.clone(),
            product: product.clone(),
            occurred_at,
        };
        messages.into_iter().map(served).collect()
    }
}

impl Tokens<'_> {
    fn of(&mut self, notification_id: NotificationId) -> String {
        let impression = Impression {
            account_id: self.account_id,
            site_id: self.site_id,
            notification_id,
            served_at: self.served_at,
        };
        let sign = || self.signer.sign(&impression.to_bytes());
        self.signed
            .entry(notification_id)
            .or_insert_with(sign)
            .clone()
    }
}

/// The beginning of the period that `now` is in, in whole seconds.
fn period(now: DateTime<Utc>, max_age_s: u32) -> DateTime<Utc> {
    let seconds = now.timestamp();
    let into = seconds.rem_euclid(i64::from(max_age_s.max(1)));
    DateTime::from_timestamp(seconds - into, 0).unwrap_or(now)
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;
    use domain::activity::ActivityKind;
    use serde_json::{Value, json};

    use super::*;

    const MAX_AGE_S: u32 = 30;

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    fn item(first_name: Option<&str>, notifications: &[u128]) -> FeedItem {
        let message = |notification: &u128| FeedMessage {
            notification_id: Uuid::from_u128(*notification).into(),
            text: format!("<b>Message {notification}</b>"),
        };
        FeedItem {
            kind: ActivityKind::Order,
            first_name: first_name.map(str::to_owned),
            city: None,
            product: Some("Trail Runner 3".to_owned()),
            occurred_at: at("2026-11-21T06:00:00Z"),
            messages: notifications.iter().map(message).collect(),
        }
    }

    fn feed(items: Vec<FeedItem>) -> Feed {
        Feed {
            account_id: Uuid::from_u128(1).into(),
            site_id: Uuid::from_u128(2).into(),
            items,
        }
    }

    fn served(feed: Feed, now: DateTime<Utc>) -> Value {
        let signer = Signer::new([1; 32]);
        serde_json::to_value(ServedFeed::of(feed, &signer, now, MAX_AGE_S)).unwrap()
    }

    #[test]
    fn every_notification_tells_every_activity_in_plain_text() {
        let now = at("2026-11-21T06:10:07.5Z");
        let mut shown = served(
            feed(vec![item(Some("Anna"), &[3, 4]), item(None, &[3])]),
            now,
        );
        for item in shown["items"].as_array_mut().unwrap() {
            item.as_object_mut().unwrap().remove("token").unwrap();
        }
        let expected = |notification: u128, first_name: Option<&str>| {
            json!({
                "notification_id": Uuid::from_u128(notification),
                "kind": "order",
                "message": format!("<b>Message {notification}</b>"),
                "first_name": first_name,
                "city": null,
                "product": "Trail Runner 3",
                "occurred_at": "2026-11-21T06:00:00Z",
            })
        };
        assert_eq!(
            shown,
            json!({
                "items": [expected(3, Some("Anna")), expected(4, Some("Anna")), expected(3, None)],
                "next_refresh_s": 30,
            })
        );
    }

    #[test]
    fn a_token_is_the_impression_of_its_notification_under_our_signature() {
        let shown = served(
            feed(vec![item(None, &[3, 4]), item(None, &[3])]),
            at("2026-11-21T06:10:47.9Z"),
        );
        let token = |at: usize| shown["items"][at]["token"].as_str().unwrap();
        let content = Signer::new([1; 32]).verify(token(1)).unwrap();
        let expected = Impression {
            account_id: Uuid::from_u128(1).into(),
            site_id: Uuid::from_u128(2).into(),
            notification_id: Uuid::from_u128(4).into(),
            served_at: at("2026-11-21T06:10:30Z"),
        };
        assert_eq!(Impression::from_bytes(&content), Some(expected));
        assert_eq!(token(0), token(2));
        assert_ne!(token(0), token(1));
    }

    #[test]
    fn a_feed_stays_the_same_for_as_long_as_it_may_be_kept_and_then_gets_fresh_tokens() {
        let first = at("2026-11-21T06:10:30Z");
        let at_offset = |milliseconds| {
            served(
                feed(vec![item(None, &[3])]),
                first + TimeDelta::milliseconds(milliseconds),
            )
        };
        assert_eq!(at_offset(0), at_offset(29_999));
        assert_ne!(at_offset(0), at_offset(30_000));
        assert_ne!(at_offset(0), at_offset(-1));
    }

    #[test]
    fn a_maximum_age_of_zero_is_whole_seconds() {
        let now = at("2026-11-21T06:10:30.9Z");
        assert_eq!(period(now, 0), at("2026-11-21T06:10:30Z"));
    }
}
