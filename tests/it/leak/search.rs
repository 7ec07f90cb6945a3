//! Looking for a text in all that engines and platform keep.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, State};
use axum::routing::post;
use sqlx::{Connection as _, PgConnection};
use tokio::net::TcpListener;

use super::platform::Platform;

/// The files below a folder that hold the text, in whatever they are.
pub(super) fn holding(folder: &Path, text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let entry = entry.unwrap();
            let (path, kind) = (entry.path(), entry.file_type().unwrap());
            if kind.is_dir() {
                folders.push(path);
            } else if kind.is_file() {
                match std::fs::read(&path) {
                    Ok(bytes) if holds(&bytes, text) => found.push(path.display().to_string()),
                    Ok(_) => {}
                    // An engine removed it meanwhile.
                    Err(error) => assert_eq!(error.kind(), ErrorKind::NotFound, "{path:?}"),
                }
            }
        }
    }
    found
}

fn holds(bytes: &[u8], text: &str) -> bool {
    memchr::memmem::find(bytes, text.as_bytes()).is_some()
}

/// As Postgres shows the bytes of a text.
fn hex(text: &str) -> String {
    text.bytes().map(|byte| format!("{byte:02x}")).collect()
}

/// Which of the dumps below a folder hold the text once Postgres's own program has unpacked them.
pub(super) fn dumps_holding(folder: &Path, text: &str) -> BTreeMap<String, bool> {
    let dumps = holding(folder, "PGDMP")
        .into_iter()
        .filter(|path| path.ends_with(".dump"));
    dumps
        .map(|path| {
            let unpacked = Command::new("pg_restore")
                .args(["--file=-", &path])
                .output()
                .unwrap();
            let told = String::from_utf8_lossy(&unpacked.stderr);
            assert!(unpacked.status.success(), "{path}: {told}");
            let found = holds(&unpacked.stdout, text) || holds(&unpacked.stdout, &hex(text));
            (path, found)
        })
        .collect()
}

/// Tables of a Postgres database of which a row holds the text in any column: large values are compressed, so the engine is asked.
pub(super) async fn tables_holding(database_url: &str, text: &str) -> Vec<String> {
    let mut owner = PgConnection::connect(database_url).await.unwrap();
    let tables = "select oid::regclass::text from pg_class
                  where relkind in ('r', 'm') and relnamespace not in ('pg_catalog'::regnamespace, 'information_schema'::regnamespace)";
    let tables: Vec<String> = sqlx::query_scalar(tables)
        .fetch_all(&mut owner)
        .await
        .unwrap();
    let mut holding = Vec::new();
    for table in tables {
        let found = format!(
            "select exists (select from {table} t where t::text like '%{text}%' or t::text like '%{}%')",
            hex(text)
        );
        let found: bool = sqlx::query_scalar(&found)
            .fetch_one(&mut owner)
            .await
            .unwrap();
        holding.extend(found.then_some(table));
    }
    holding
}

/// What a collector of traces is sent.
#[derive(Clone, Default)]
pub(super) struct Traces(Arc<Mutex<Vec<Bytes>>>);

impl Traces {
    /// Answers also where it listens.
    pub(super) async fn collect() -> (Self, String) {
        let traces = Self::default();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let receive =
            async |State(traces): State<Self>, body: Bytes| traces.0.lock().unwrap().push(body);
        let router = Router::new()
            .route("/v1/traces", post(receive))
            .layer(DefaultBodyLimit::disable())
            .with_state(traces.clone());
        tokio::spawn(async { axum::serve(listener, router).await });
        (traces, url)
    }

    /// Nothing that was sent holds the text.
    pub(super) fn check(&self, text: &str) {
        let sent = self.0.lock().unwrap();
        for shown in ["/v1/subjects", "/hooks/{integration_id}", "append"] {
            assert!(
                sent.iter().any(|body| holds(body, shown)),
                "no span tells of {shown}"
            );
        }
        assert!(!sent.iter().any(|body| holds(body, text)));
    }
}

/// Rows of every ClickHouse table that hold the text in any column. Parts are compressed, so the engine is asked.
pub(super) async fn rows_holding(platform: &Platform, marker: &str) -> BTreeMap<String, u64> {
    let client = platform.stage.connections.clickhouse().unwrap();
    let tables = "select database || '.' || name from system.tables
                  where database not in ('system', 'INFORMATION_SCHEMA', 'information_schema') and engine like '%MergeTree'";
    let tables: Vec<String> = client.query(tables).fetch_all().await.unwrap();
    let mut holding = BTreeMap::new();
    for table in tables {
        let count =
            format!("select count() from {table} where position(toString(tuple(*)), ?) > 0");
        let rows: u64 = client.query(&count).bind(marker).fetch_one().await.unwrap();
        holding.insert(table, rows);
    }
    holding
}

/// Keys of Redis whose name or content holds the text; the dump is compressed, so the engine is asked.
pub(super) async fn keys_holding(platform: &Platform, marker: &str) -> usize {
    let client = redis::Client::open(&*platform.stage.connections.redis_url).unwrap();
    let mut connection = client.get_multiplexed_async_connection().await.unwrap();
    let keys: Vec<Vec<u8>> = redis::cmd("keys")
        .arg("*")
        .query_async(&mut connection)
        .await
        .unwrap();
    assert!(!keys.is_empty(), "there are counters to look into");
    let mut found = 0;
    for key in keys {
        let kind: String = redis::cmd("type")
            .arg(&key)
            .query_async(&mut connection)
            .await
            .unwrap();
        let (command, arguments): (&str, &[&str]) = match &*kind {
            "string" => ("get", &[]),
            "hash" => ("hgetall", &[]),
            "list" => ("lrange", &["0", "-1"]),
            "set" => ("smembers", &[]),
            "zset" => ("zrange", &["0", "-1"]),
            "stream" => ("xrange", &["-", "+"]),
            other => panic!("a key of type {other}, which is not looked into"),
        };
        let content: redis::Value = redis::cmd(command)
            .arg(&key)
            .arg(arguments)
            .query_async(&mut connection)
            .await
            .unwrap();
        let shown = format!("{} {content:?}", String::from_utf8_lossy(&key));
        found += usize::from(shown.contains(marker));
    }
    found
}
