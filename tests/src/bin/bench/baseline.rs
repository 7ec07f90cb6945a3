//! What ours is compared with, in the same run on the same server.

use std::collections::HashMap;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use domain::notification::Notification;
use postgres_es::{PostgresCqrs, default_postgress_pool, postgres_cqrs};
use sqlx::postgres::PgPoolOptions;
use sqlx::{Connection as _, Executor as _, PgConnection, PgPool};
use uuid::Uuid;

use crate::load::Caller;
use crate::ours;

pub(crate) const BARE_INSERT: &str = "bare prepared single-row insert";
pub(crate) const POSTGRES_ES: &str = "postgres-es 0.5 through CqrsFramework, on its default pool";
pub(crate) const POSTGRES_ES_TUNED: &str =
    "postgres-es 0.5 through CqrsFramework, on a connection per caller";
pub(crate) const RAW_COPY_IN: &str = "raw COPY of the same rows";

/// Rows of one COPY; more in one makes it no faster.
const COPY_ROWS: usize = 5_000;

const SITE: Uuid = Uuid::from_u128(1);

/// A database of its own beside ours.
pub(crate) struct Baselines {
    url: String,
    copy: Arc<str>,
}

impl Baselines {
    pub(crate) async fn create(database_url: &str) -> Result<Self> {
        let mut admin = PgConnection::connect(database_url).await?;
        admin.execute("create database baselines").await?;
        let url = tests::in_database(database_url, "baselines");
        PgConnection::connect(&url)
            .await?
            .execute(include_str!("baseline.sql"))
            .await
            .context("could not create the baselines' tables")?;
        Ok(Self {
            url,
            copy: copy_rows().into(),
        })
    }

    /// The row of `append` by one prepared statement: no lane, no order, no stream, no feed.
    pub(crate) async fn inserts(&self, callers: usize) -> Result<Vec<InsertCaller>> {
        let event = ours::drafted(SITE.into())?;
        let mut all = Vec::with_capacity(callers);
        for _ in 0..callers {
            all.push(InsertCaller {
                connection: PgConnection::connect(&self.url).await?,
                payload: event.payload.to_string(),
                metadata: ours::metadata().to_string(),
            });
        }
        Ok(all)
    }

    /// The aggregate and the command of ours through its framework, put together as its documentation says.
    pub(crate) async fn postgres_es(&self) -> PostgresEsCaller {
        PostgresEsCaller::on(default_postgress_pool(&self.url).await)
    }

    /// On a pool that never makes a caller wait, and never tries a connection before it uses it.
    pub(crate) async fn postgres_es_tuned(&self, callers: usize) -> Result<PostgresEsCaller> {
        let connections = u32::try_from(callers)?;
        let pool = PgPoolOptions::new()
            .min_connections(connections)
            .max_connections(connections)
            .test_before_acquire(false)
            .connect(&self.url)
            .await?;
        Ok(PostgresEsCaller::on(pool))
    }

    /// Rows as the telemetry log holds them, by COPY into a plain table.
    pub(crate) async fn copies(&self, callers: usize) -> Result<Vec<CopyCaller>> {
        let mut all = Vec::with_capacity(callers);
        for _ in 0..callers {
            all.push(CopyCaller {
                connection: PgConnection::connect(&self.url).await?,
                rows: self.copy.clone(),
            });
        }
        Ok(all)
    }
}

pub(crate) struct InsertCaller {
    connection: PgConnection,
    payload: String,
    metadata: String,
}

impl Caller for InsertCaller {
    async fn call(&mut self) -> Result<u64> {
        let id = Uuid::now_v7();
        sqlx::query(
            "insert into insert_only values (1, $1, 'notification', $2, 1, 1, $3, 'notification.drafted', '1', now(), $3, $3, null,
             'bench', $4::json, $5::json)",
        )
        .bind(Uuid::from_u128(1))
        .bind(id.to_string())
        .bind(id)
        .bind(&self.payload)
        .bind(&self.metadata)
        .execute(&mut self.connection)
        .await?;
        Ok(1)
    }
}

#[derive(Clone)]
pub(crate) struct PostgresEsCaller {
    framework: Arc<PostgresCqrs<Notification>>,
    metadata: HashMap<String, String>,
}

impl PostgresEsCaller {
    fn on(pool: PgPool) -> Self {
        let metadata = ours::metadata();
        let text = |name: &str| metadata[name].as_str().unwrap_or_default().to_owned();
        Self {
            framework: Arc::new(postgres_cqrs(pool, Vec::new(), ())),
            metadata: ["request_id", "source"]
                .map(|name| (name.to_owned(), text(name)))
                .into(),
        }
    }
}

impl Caller for PostgresEsCaller {
    async fn call(&mut self) -> Result<u64> {
        let command = ours::draft(SITE.into())?;
        self.framework
            .execute_with_metadata(&Uuid::now_v7().to_string(), command, self.metadata.clone())
            .await?;
        Ok(1)
    }
}

pub(crate) struct CopyCaller {
    connection: PgConnection,
    rows: Arc<str>,
}

impl Caller for CopyCaller {
    async fn call(&mut self) -> Result<u64> {
        let fresh = Uuid::now_v7().simple().to_string();
        let rows = self.rows.replace("PREFIX", &fresh[..24]);
        let mut copy = self
            .connection
            .copy_in_raw("copy copy_only from stdin")
            .await?;
        copy.send(rows.as_bytes()).await?;
        Ok(copy.finish().await?)
    }
}

/// `PREFIX` stands for the first 24 digits of an event's id.
fn copy_rows() -> String {
    (0..COPY_ROWS)
        .map(|row| {
            let uuid = "00000000-0000-0000-0000-000000000001";
            format!(
                "{row}\t{uuid}\t{uuid}\t1\tPREFIX{row:08x}\timpression\t2026-11-21T12:00:00Z\t2026-11-21T12:00:00Z\t{{\"notification_id\":\"{uuid}\",\"page\":\"/\"}}\n"
            )
        })
        .collect()
}
