//! Databases, a Redis prefix and a ClickHouse database of its own for every test, on the engines that the environment
//! names; and what a test needs to fill the logs.

use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use cqrs_es::DomainEvent;
use domain::activity::{ActivityEvent, ActivityKind, WithdrawalReason};
use domain::notification::NotificationEvent;
use domain::site::{SiteEvent, SiteSettings};
use domain::{
    AccountId, ActivityId, Buyer, City, Email, EmbedKey, FirstName, Hostname, LastName,
    MessageTemplate, NotificationId, NotificationName, Pii, ProductTitle, SiteId, SiteName,
    SubjectId,
};
use event_store::vault::{LocalKeyFile, Vault};
use event_store::{
    Append, NewEvent, NewTelemetry, Origin, Role, Store, StreamId, Streams, TelemetryLane, connect,
    encode,
};
use projections::{Config, Projections, Reads};
use serde_json::json;
use sqlx::{Connection as _, Executor as _, PgConnection, PgPool};
use tempfile::TempDir;
use tokio::sync::OnceCell;
use uuid::Uuid;

/// Migrated once per run; every test copies it.
static TEMPLATE: OnceCell<String> = OnceCell::const_new();

pub(crate) struct World {
    pub(crate) name: String,
    pub(crate) database_url: String,
    pub(crate) keys_url: String,
    pub(crate) store: Store,
    pub(crate) telemetry: TelemetryLane,
    pub(crate) projections: Projections,
    pub(crate) reads: Reads,
    keys: TempDir,
}

impl World {
    pub(crate) async fn new() -> Self {
        Self::with_redis(&variable("REDIS_URL")).await
    }

    pub(crate) async fn with_redis(redis_url: &str) -> Self {
        let _ = tracing_subscriber::fmt().with_test_writer().try_init();
        let admin_url = variable("DATABASE_URL");
        let template = TEMPLATE.get_or_init(|| make_template(&admin_url)).await;
        let name = format!("p_{}", Uuid::now_v7().simple());
        let mut admin = PgConnection::connect(&admin_url).await.unwrap();
        for suffix in ["", "_keys"] {
            let copy = format!(r#"create database "{name}{suffix}" template "{template}{suffix}""#);
            admin.execute(&*copy).await.unwrap();
        }
        let (database_url, keys_url) = (
            in_database(&admin_url, &name),
            in_database(&admin_url, &format!("{name}_keys")),
        );
        let keys = tempfile::tempdir().unwrap();
        migrations::clickhouse(&clickhouse(), &name).await.unwrap();
        let vault = vault(&keys_url, &keys);
        let writer = || connect(&database_url, Role::Writer, 4).unwrap();
        let streams = Streams::new(writer(), vault, domain::upcasters());
        let store = Store::open(writer(), streams).await.unwrap();
        let telemetry = TelemetryLane::start(writer());
        let projections = open(&name, &database_url, &keys_url, &keys, redis_url).await;
        Self {
            store,
            telemetry,
            reads: projections.reads(),
            projections,
            name,
            database_url,
            keys_url,
            keys,
        }
    }

    /// The projections of the same installation as another process has them: nothing in memory is shared.
    pub(crate) async fn another_process(&self) -> Projections {
        let redis_url = variable("REDIS_URL");
        open(
            &self.name,
            &self.database_url,
            &self.keys_url,
            &self.keys,
            &redis_url,
        )
        .await
    }

    pub(crate) async fn catch_up(&self) {
        self.projections.catch_up_all().await.unwrap();
    }

    /// As the owner of everything, whom nothing is refused: for looking behind the scenes and for tampering.
    pub(crate) async fn owner(&self) -> PgConnection {
        PgConnection::connect(&self.database_url).await.unwrap()
    }

    pub(crate) fn pool(&self, role: Role) -> PgPool {
        connect(&self.database_url, role, 4).unwrap()
    }

    pub(crate) fn clickhouse(&self) -> clickhouse::Client {
        clickhouse().with_database(&self.name)
    }

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

pub(crate) fn account() -> AccountId {
    AccountId::from(Uuid::now_v7())
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

pub(crate) fn variable(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set; run under `engines run --`"))
}

async fn open(
    name: &str,
    database_url: &str,
    keys_url: &str,
    keys: &TempDir,
    redis_url: &str,
) -> Projections {
    let config = Config {
        projector: connect(database_url, Role::Projector, 10).unwrap(),
        reader: connect(database_url, Role::Reader, 4).unwrap(),
        keys: connect(keys_url, Role::Vault, 4).unwrap(),
        vault: vault(keys_url, keys),
        redis_url: redis_url.to_owned(),
        redis_prefix: name.to_owned(),
        clickhouse: clickhouse(),
        clickhouse_database: name.to_owned(),
    };
    Projections::open(config).await.unwrap()
}

/// A URL as `http://user:password@host:port`.
fn clickhouse() -> clickhouse::Client {
    let url = variable("CLICKHOUSE_URL");
    let (scheme, rest) = url.split_once("://").unwrap();
    let client = clickhouse::Client::default();
    match rest.split_once('@') {
        None => client.with_url(url),
        Some((credentials, host)) => {
            let (user, password) = credentials.split_once(':').unwrap();
            client
                .with_url(format!("{scheme}://{host}"))
                .with_user(user)
                .with_password(password)
        }
    }
}

fn vault(keys_url: &str, keys: &TempDir) -> Vault {
    let provider = LocalKeyFile::open_or_create(&keys.path().join("keys.json")).unwrap();
    let pool = connect(keys_url, Role::Vault, 4).unwrap();
    Vault::new(pool, Arc::new(provider))
}

async fn make_template(admin_url: &str) -> String {
    let name = format!("p_template_{}", Uuid::now_v7().simple());
    migrations::postgres(&in_database(admin_url, &name))
        .await
        .unwrap();
    migrations::keys(&in_database(admin_url, &format!("{name}_keys")))
        .await
        .unwrap();
    name
}

fn in_database(url: &str, database: &str) -> String {
    let (server, _) = url.rsplit_once('/').unwrap();
    format!("{server}/{database}")
}
