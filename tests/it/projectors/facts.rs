//! What a test puts into the logs.

use chrono::{DateTime, TimeDelta, Utc};
use cqrs_es::DomainEvent;
use domain::activity::{ActivityEvent, ActivityKind, WithdrawalReason};
use domain::notification::NotificationEvent;
use domain::site::{SiteEvent, SiteSettings};
use domain::{
    AccountId, ActivityId, Buyer, City, DataRegion, Email, EmbedKey, FirstName, Hostname, LastName,
    MessageTemplate, NotificationId, NotificationName, Pii, ProductTitle, SiteId, SiteName,
    SubjectId,
};
use event_store::{Append, NewEvent, NewTelemetry, Origin, StreamId, encode};
use projections::{Projection, site_list};
use serde_json::json;
use uuid::Uuid;

use super::world::World;

impl World {
    /// Appends events to a stream that stands at `expected`. Answers with the position of the last.
    pub(crate) async fn append<E: DomainEvent>(
        &self,
        account: AccountId,
        stream: (&str, Uuid),
        expected: i64,
        events: &[E],
    ) -> i64 {
        self.append_raw(account, stream, expected, encode(events).unwrap())
            .await
    }

    pub(crate) async fn append_raw(
        &self,
        account: AccountId,
        (aggregate_type, aggregate_id): (&str, Uuid),
        expected: i64,
        events: Vec<NewEvent>,
    ) -> i64 {
        let command_id = Uuid::now_v7();
        let append = Append {
            tenant: account.into(),
            stream: StreamId {
                aggregate_type: aggregate_type.to_owned(),
                aggregate_id: aggregate_id.to_string(),
            },
            owner: aggregate_id,
            expected,
            origin: Origin {
                command_id,
                correlation_id: command_id,
                causation_id: None,
                actor: "test".to_owned(),
                metadata: json!({}),
            },
            request_hash: None,
            excluded: Vec::new(),
            events,
        };
        self.store.append(append).await.unwrap().position
    }

    pub(crate) async fn register_site(&self, account: AccountId, name: &str) -> SiteId {
        let site = SiteId::from(Uuid::now_v7());
        let registered = SiteEvent::Registered {
            account_id: account,
            name: SiteName::parse(name).unwrap(),
            domain: Hostname::parse("shop.example").unwrap(),
            embed_key: embed_key(site),
            data_region: Some(DataRegion::parse("eu").unwrap()),
            settings: SiteSettings::try_new(3, 24).unwrap(),
            at: now(),
        };
        self.append(account, ("site", site.into()), 0, &[registered])
            .await;
        site
    }

    pub(crate) async fn publish(
        &self,
        account: AccountId,
        site: SiteId,
        message: &str,
    ) -> NotificationId {
        let notification = NotificationId::from(Uuid::now_v7());
        let events = [
            NotificationEvent::Drafted {
                site_id: site,
                name: NotificationName::parse("Sales").unwrap(),
                message: MessageTemplate::parse(message).unwrap(),
                at: now(),
            },
            NotificationEvent::Published {
                site_id: site,
                at: now(),
            },
        ];
        self.append(account, ("notification", notification.into()), 0, &events)
            .await;
        notification
    }

    /// An order by the buyer, so many minutes ago.
    pub(crate) async fn order(
        &self,
        account: AccountId,
        site: SiteId,
        buyer: Option<Buyer>,
        minutes_ago: i64,
    ) -> ActivityId {
        let activity = ActivityId::from(Uuid::now_v7());
        let recorded = ActivityEvent::Recorded {
            site_id: site,
            integration_id: None,
            external_id: None,
            kind: ActivityKind::Order,
            occurred_at: now() - TimeDelta::minutes(minutes_ago),
            buyer: buyer.map(|buyer| Pii::new(SubjectId::from(Uuid::now_v7()), buyer)),
            product: ProductTitle::parse("Trail Runner").ok(),
            items_count: 1,
            total: None,
            at: now(),
        };
        self.append(account, ("activity", activity.into()), 0, &[recorded])
            .await;
        activity
    }

    pub(crate) async fn withdraw(&self, account: AccountId, site: SiteId, activity: ActivityId) {
        let withdrawn = ActivityEvent::Withdrawn {
            site_id: site,
            integration_id: None,
            reason: WithdrawalReason::Refunded,
            at: now(),
        };
        self.append(account, ("activity", activity.into()), 1, &[withdrawn])
            .await;
    }

    /// The site's name as the list of sites tells it.
    pub(crate) async fn name_of(&self, account: AccountId, site: SiteId) -> Option<String> {
        let models = [Projection::SiteList];
        let mut tx = self.reads.begin(account, &models).await.unwrap();
        let row = site_list::get(&mut tx, site).await.unwrap();
        row.value.map(|row| row.name)
    }

    /// Collects telemetry that names no notification. Answers with its position.
    pub(crate) async fn collect_poison(&self, account: AccountId, site: SiteId) -> i64 {
        let event = NewTelemetry {
            id: Uuid::now_v7(),
            tenant: account.into(),
            owner: site.into(),
            kind: "click".to_owned(),
            occurred_at: now(),
            payload: json!({ "page": "/" }),
        };
        self.telemetry.collect(vec![event]).await.unwrap().position
    }

    /// Collects `count` events of the kind, one each second from `start` on. Answers with the head after them.
    pub(crate) async fn collect(
        &self,
        (account, site, notification): (AccountId, SiteId, NotificationId),
        kind: &str,
        start: DateTime<Utc>,
        count: usize,
    ) -> i64 {
        let mut head = 0;
        let all: Vec<usize> = (0..count).collect();
        for chunk in all.chunks(2_000) {
            let batch = chunk.iter().map(|n| NewTelemetry {
                id: Uuid::now_v7(),
                tenant: account.into(),
                owner: site.into(),
                kind: kind.to_owned(),
                occurred_at: start + TimeDelta::seconds(*n as i64),
                payload: json!({ "notification_id": notification, "page": "/products/ä" }),
            });
            head = self
                .telemetry
                .collect(batch.collect())
                .await
                .unwrap()
                .position;
        }
        head
    }
}

pub(crate) fn renamed(name: &str) -> SiteEvent {
    SiteEvent::Renamed {
        name: SiteName::parse(name).unwrap(),
        at: now(),
    }
}

/// An event of a site that no build knows.
pub(crate) fn vanished() -> NewEvent {
    NewEvent {
        id: Uuid::now_v7(),
        event_type: "site.vanished".to_owned(),
        event_version: "1".to_owned(),
        payload: json!({}),
        tags: Vec::new(),
    }
}

pub(crate) fn account() -> AccountId {
    AccountId::from(Uuid::now_v7())
}

/// An account, a site of its, and a notification there, for telemetry.
pub(crate) fn clicked() -> (AccountId, SiteId, NotificationId) {
    let (site, notification) = (Uuid::now_v7(), Uuid::now_v7());
    (account(), site.into(), notification.into())
}

pub(crate) fn embed_key(site: SiteId) -> EmbedKey {
    EmbedKey::from_bytes(*site.as_uuid().as_bytes())
}

pub(crate) fn anna() -> Buyer {
    Buyer {
        first_name: FirstName::clipped("Anna"),
        last_name: LastName::clipped("Schmidt"),
        email: Email::parse("anna@example.com").ok(),
        city: City::clipped("Berlin"),
        country: None,
    }
}

/// A moment that all tests live in.
pub(crate) fn now() -> DateTime<Utc> {
    "2026-11-21T12:34:56Z".parse().unwrap()
}
