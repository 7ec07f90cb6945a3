//! What is measured, and what it is compared with.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context as _, Result, ensure};
use domain::Impression;
use event_store::{
    Append, NewEvent, Origin, Role, Store, StreamId, Streams, connect, connect_lane,
};
use platform::signed::Signer;
use reqwest::Client;
use serde_json::{Value, json};
use sqlx::PgPool;
use sqlx::postgres::PgPoolOptions;
use tokio::net::TcpListener;
use tokio_util::sync::{CancellationToken, DropGuard};
use uuid::Uuid;

use crate::account;
use crate::app::{App, Part};
use crate::config::{Connections, Tuning};
use crate::secrets::Secrets;
use crate::write_side;

const BATCH: usize = 50;
/// Rows of one COPY; more in one makes it no faster.
const COPY_ROWS: usize = 5_000;
/// About as large as a command's own payload.
const PAYLOAD: &str = r#"{"at":"2026-11-21T12:00:00Z","domain":"shop.example.com","embed_key":"pk_00000000000000000000000000000000","name":"A shop of some length"}"#;

pub(super) struct Paths {
    store: Store,
    bare: PgPool,
    client: Client,
    base: String,
    key: String,
    account: Uuid,
    signer: Signer,
    copy: Arc<String>,
    tokens: Arc<AtomicUsize>,
    _stop: DropGuard,
}

impl Paths {
    pub(super) async fn open(connections: &Connections) -> Result<Self> {
        let secrets = Secrets::open(&connections.key_file)?;
        let url = &connections.database_url;
        let streams = Streams::new(
            connect(url, Role::Writer, 4)?,
            write_side::vault(connections, &secrets).await?,
            domain::upcasters(),
        );
        let store = Store::open(connect_lane(url)?, streams).await?;
        let bare = PgPoolOptions::new()
            .max_connections(64)
            .connect(url)
            .await?;
        sqlx::raw_sql("create table bench_insert (like es.events_p0000); create table bench_copy (like es.telemetry_p0000);")
            .execute(&bare)
            .await?;
        sqlx::raw_sql("alter table bench_insert add primary key (event_id); alter table bench_copy add primary key (event_id);")
            .execute(&bare)
            .await?;

        let tuning = Tuning {
            trusted_proxies: 0,
            collect_events_per_second: 100_000_000,
            collect_requests_per_second: 1_000_000,
        };
        let app = App::open(Part::WriteApi, connections, &tuning).await?;
        let commands = app
            .commands()
            .context("the write API has commands")?
            .clone();
        let opened = account::open(&commands, &secrets.api_keys, "Bench").await?;
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let base = format!("http://{}", listener.local_addr()?);
        let stop = CancellationToken::new();
        tokio::spawn(app.serve_only(listener, stop.clone()));
        Ok(Self {
            store,
            bare,
            client: Client::new(),
            base,
            key: opened.key,
            account: opened.account.into(),
            signer: secrets.impressions.clone(),
            copy: Arc::new(copy_rows()),
            tokens: Arc::default(),
            _stop: stop.drop_guard(),
        })
    }

    /// One command, one event, a new stream, in process.
    pub(super) fn append(&self) -> impl Future<Output = Result<u64>> + Send + 'static {
        let store = self.store.clone();
        async move {
            store.append(new_append()).await?;
            Ok(1)
        }
    }

    /// The same row by one prepared statement on a connection per caller: no lane, no order, no stream, no feed.
    pub(super) fn insert(&self) -> impl Future<Output = Result<u64>> + Send + 'static {
        let pool = self.bare.clone();
        async move {
            sqlx::query(
                "insert into bench_insert values (1, $1, 'bench', $2, 1, 1, $3, 'bench.happened', '1', now(), $3, $3, null,
                 'bench', $4::json, '{}')",
            )
            .bind(Uuid::from_u128(1))
            .bind(Uuid::now_v7().to_string())
            .bind(Uuid::now_v7())
            .bind(PAYLOAD)
            .execute(&pool)
            .await?;
            Ok(1)
        }
    }

    /// A command over HTTP, authenticated and under an idempotency key.
    pub(super) fn command_over_http(&self) -> impl Future<Output = Result<u64>> + Send + 'static {
        let request = self
            .client
            .post(format!("{}/v1/sites", self.base))
            .bearer_auth(&self.key)
            .header("idempotency-key", Uuid::now_v7().to_string())
            .json(&json!({ "name": "A shop of some length", "domain": "shop.example.com" }));
        async move {
            let status = request.send().await?.status();
            ensure!(status == 201, "a command was answered with {status}");
            Ok(1)
        }
    }

    /// A batch over HTTP, durable when answered.
    pub(super) fn collect(&self) -> impl Future<Output = Result<u64>> + Send + 'static {
        let now = platform::clock::now();
        let site = self.tokens.fetch_add(1, Ordering::Relaxed) % 8;
        let impression = Impression {
            account_id: self.account.into(),
            site_id: Uuid::from_u128(site as u128).into(),
            notification_id: Uuid::from_u128(7).into(),
            served_at: now,
        };
        let token = self.signer.sign(&impression.to_bytes());
        let events: Vec<Value> = (0..BATCH)
            .map(|_| json!({ "id": Uuid::now_v7(), "type": "impression", "token": token, "occurred_at": now, "page": "/" }))
            .collect();
        let request = self
            .client
            .post(format!("{}/collect", self.base))
            .json(&json!({ "events": events }));
        async move {
            let status = request.send().await?.status();
            ensure!(status == 200, "a batch was answered with {status}");
            Ok(BATCH as u64)
        }
    }

    /// Rows as the telemetry log holds them, by COPY in text form; ids are made unique by the table's default.
    pub(super) fn copy(&self) -> impl Future<Output = Result<u64>> + Send + 'static {
        let (pool, rows) = (self.bare.clone(), self.copy.clone());
        async move {
            let fresh = Uuid::now_v7().simple().to_string();
            let rows = rows.replace("PREFIX", &fresh[..24]);
            let mut connection = pool.acquire().await?;
            let mut copy = connection.copy_in_raw("copy bench_copy from stdin").await?;
            copy.send(rows.as_bytes()).await?;
            Ok(copy.finish().await?)
        }
    }
}

fn new_append() -> Append {
    let command_id = Uuid::now_v7();
    Append {
        tenant: Uuid::from_u128(1),
        stream: StreamId {
            aggregate_type: "bench".to_owned(),
            aggregate_id: Uuid::now_v7().to_string(),
        },
        owner: command_id,
        expected: 0,
        origin: Origin {
            command_id,
            correlation_id: command_id,
            causation_id: None,
            actor: "bench".to_owned(),
            metadata: json!({}),
        },
        request_hash: None,
        events: vec![NewEvent {
            id: Uuid::now_v7(),
            event_type: "bench.happened".to_owned(),
            event_version: "1".to_owned(),
            payload: serde_json::from_str(PAYLOAD).unwrap_or_default(),
        }],
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
