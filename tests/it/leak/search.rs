//! Looking for a text in all that engines and platform keep.

use std::collections::BTreeMap;
use std::path::Path;

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
            } else if kind.is_file()
                // An engine may have removed it meanwhile.
                && let Ok(bytes) = std::fs::read(&path)
                && memchr::memmem::find(&bytes, text.as_bytes()).is_some()
            {
                found.push(path.display().to_string());
            }
        }
    }
    found
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
