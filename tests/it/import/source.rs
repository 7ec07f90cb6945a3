//! Somebody's database of postgres-es, what an import says of it, and what stands in the log then.

use std::collections::BTreeMap;
use std::path::PathBuf;

use chrono::{TimeZone as _, Utc};
use clap::Parser as _;
use domain::notification::{Notification, NotificationCommand};
use domain::site::{Site, SiteCommand};
use domain::{EmbedKey, Hostname, MessageTemplate, NotificationName, SiteName};
use postgres_es::postgres_cqrs;
use serde_json::{Value, json};
use sqlx::postgres::PgPoolOptions;
use sqlx::{Executor as _, PgPool};
use tests::in_database;
use uuid::Uuid;

use crate::projectors::world::{World, rows};

pub(super) const TENANT: Uuid = Uuid::from_u128(0xacc0);
pub(super) const AT: &str = "2026-11-01T12:00:00Z";

/// As postgres-es 0.5 ships it.
const SCHEMA: &str = "
    create table events (
      aggregate_type text not null, aggregate_id text not null, sequence bigint check (sequence >= 0) not null,
      event_type text not null, event_version text not null, payload json not null, metadata json not null,
      primary key (aggregate_type, aggregate_id, sequence)
    );
    create table snapshots (
      aggregate_type text not null, aggregate_id text not null, last_sequence bigint check (last_sequence >= 0) not null,
      current_snapshot bigint check (current_snapshot >= 0) not null, payload json not null,
      primary key (aggregate_type, aggregate_id, last_sequence)
    );";

pub(super) struct Source {
    url: String,
    pub(super) pool: PgPool,
    directory: tempfile::TempDir,
}

/// How an import ended, and what it reported.
pub(super) struct Imported {
    pub(super) ended: Result<(), String>,
    report: Value,
}

impl Source {
    pub(super) async fn new(world: &World) -> Self {
        let name = format!("t_{}", Uuid::now_v7().simple());
        let url = in_database(&world.database_url, &name);
        let create = format!(r#"create database "{name}""#);
        world.owner().await.execute(&*create).await.unwrap();
        let pool = PgPoolOptions::new()
            .max_connections(4)
            .connect(&url)
            .await
            .unwrap();
        pool.execute(SCHEMA).await.unwrap();
        Self {
            url,
            pool,
            directory: tempfile::tempdir().unwrap(),
        }
    }

    pub(super) async fn insert(
        &self,
        aggregate: (&str, &str),
        sequence: i64,
        event_type: &str,
        payload: Value,
    ) {
        self.insert_with(aggregate, sequence, event_type, payload, json!({}))
            .await;
    }

    pub(super) async fn insert_with(
        &self,
        (aggregate_type, aggregate_id): (&str, &str),
        sequence: i64,
        event_type: &str,
        payload: Value,
        metadata: Value,
    ) {
        sqlx::query("insert into events values ($1, $2, $3, $4, '1', $5, $6)")
            .bind(aggregate_type)
            .bind(aggregate_id)
            .bind(sequence)
            .bind(event_type)
            .bind(payload)
            .bind(metadata)
            .execute(&self.pool)
            .await
            .unwrap();
    }

    /// A site with its notifications, by the framework itself.
    pub(super) async fn site(&self, n: u128) -> Uuid {
        let id = Uuid::from_u128(0x51_0000 + n);
        let register = SiteCommand::Register {
            account_id: TENANT.into(),
            name: SiteName::parse(&format!("Shop {n}")).unwrap(),
            domain: Hostname::parse(&format!("shop-{n}.example.com")).unwrap(),
            embed_key: EmbedKey::from_bytes(id.into_bytes()),
            data_region: None,
            at: Utc.timestamp_opt(1_790_000_000, 0).unwrap(),
        };
        let sites = postgres_cqrs::<Site>(self.pool.clone(), vec![], ());
        sites.execute(&id.to_string(), register).await.unwrap();
        let notifications = postgres_cqrs::<Notification>(self.pool.clone(), vec![], ());
        let notification = Uuid::new_v5(&id, b"notification").to_string();
        let at = Utc.timestamp_opt(1_790_000_100, 0).unwrap();
        let draft = NotificationCommand::Draft {
            site_id: id.into(),
            name: NotificationName::parse("Recent sales").unwrap(),
            message: MessageTemplate::parse("{first_name} bought {product}").unwrap(),
            at,
        };
        for command in [draft, NotificationCommand::Publish { at }] {
            notifications.execute(&notification, command).await.unwrap();
        }
        id
    }

    /// Many orders of a site, each withdrawn later, and one long stream.
    pub(super) async fn orders(&self, site: Uuid, count: i32) {
        sqlx::query(
            "insert into events
             select 'activity', format('00000000-0000-4000-8000-%s', lpad(to_hex(n), 12, '0')), s, e, '1',
                    json_build_object(e, case s
                      when 1 then json_build_object('site_id', $1, 'kind', 'order', 'occurred_at', $3,
                                                    'items_count', n % 7, 'at', $3)
                      else json_build_object('site_id', $1, 'reason', 'refunded', 'at', $3) end), '{}'
             from generate_series(1, $2) n, (values (1, 'activity.recorded'), (2, 'activity.withdrawn')) v(s, e)",
        )
        .bind(site)
        .bind(count)
        .bind(AT)
        .execute(&self.pool)
        .await
        .unwrap();
        let renamed = "insert into events select 'site', $1::text, s, 'site.renamed', '1',
             json_build_object('name', 'Shop ' || s, 'at', $2), '{}' from generate_series(2, 2500) s";
        sqlx::query(renamed)
            .bind(site)
            .bind(AT)
            .execute(&self.pool)
            .await
            .unwrap();
    }

    /// Every event as the source has it, its payload without its tag.
    pub(super) async fn events(&self) -> Events {
        let rows: Vec<(String, String, i64, String, Value)> = sqlx::query_as(
            "select aggregate_type, aggregate_id, sequence, event_type, coalesce(payload->event_type, payload)
             from events",
        )
        .fetch_all(&self.pool)
        .await
        .unwrap();
        by_place(rows)
    }

    pub(super) fn arguments(&self, world: &World, more: &[&str]) -> Vec<String> {
        let key_file = world.key_file();
        let fixed = [
            "replay",
            "--database-url",
            &world.database_url,
            "import",
            "--from",
            "postgres-es",
            &self.url,
            "--source-name",
            "old-shop",
            "--tenant",
            &TENANT.to_string(),
            "--keys-database-url",
            &world.keys_url,
            "--key-file",
            &key_file.display().to_string(),
            "--report",
            &self.report().display().to_string(),
        ]
        .map(str::to_owned);
        let more = more.iter().map(|argument| (*argument).to_owned());
        fixed.into_iter().chain(more).collect()
    }

    fn report(&self) -> PathBuf {
        self.directory.path().join("report.json")
    }

    pub(super) fn map(&self, map: &Value) -> String {
        let path = self.directory.path().join("map.json");
        std::fs::write(&path, map.to_string()).unwrap();
        path.display().to_string()
    }

    pub(super) async fn import(&self, world: &World, more: &[&str]) -> Imported {
        let arguments = replay_tools::Arguments::parse_from(self.arguments(world, more));
        let mut out = Vec::new();
        let ended = replay_tools::run(arguments, &mut out).await;
        eprintln!("{}", String::from_utf8(out).unwrap());
        Imported {
            ended: ended.map_err(|error| format!("{error:#}")),
            report: serde_json::from_slice(&std::fs::read(self.report()).unwrap()).unwrap(),
        }
    }
}

impl Imported {
    /// How many events were read, imported, found and refused.
    pub(super) fn events(&self) -> [u64; 4] {
        ["read", "imported", "found", "refused"]
            .map(|name| self.report["events"][name].as_u64().unwrap())
    }

    /// Why each stream was refused.
    pub(super) fn refused(&self) -> BTreeMap<String, String> {
        let refused = self.report["refused"].as_array().unwrap().iter();
        refused
            .map(|told| {
                let text = |name: &str| told[name].as_str().unwrap().to_owned();
                (text("aggregate_id"), text("reason"))
            })
            .collect()
    }
}

pub(super) type Events = BTreeMap<(String, String, i64), (String, Value)>;

fn by_place(rows: Vec<(String, String, i64, String, Value)>) -> Events {
    rows.into_iter()
        .map(|(aggregate_type, id, sequence, event_type, payload)| {
            ((aggregate_type, id, sequence), (event_type, payload))
        })
        .collect()
}

/// Every event of the log as it is stored.
pub(super) async fn stored(world: &World) -> Events {
    let rows: Vec<_> = sqlx::query_as(
        "select aggregate_type, aggregate_id, sequence, event_type, payload from es.events",
    )
    .fetch_all(&mut world.owner().await)
    .await
    .unwrap();
    let (count, events) = (rows.len(), by_place(rows));
    assert_eq!(events.len(), count, "no event stands twice");
    events
}

pub(super) async fn appended(world: &World) -> i64 {
    rows(world, "es.events").await
}
