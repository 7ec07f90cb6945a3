//! Appends to streams that other processes append to as well, and prints what it won.
//!
//! `append-load DATABASE_URL KEYS_URL KEY_FILE TASKS STREAMS APPENDS`: each of TASKS tasks makes APPENDS attempts on
//! streams `s-0` to `s-(STREAMS-1)`, each at the version it last saw. One line per success: `STREAM VERSION POSITION`.

use std::path::PathBuf;

use anyhow::{Context as _, Result};
use event_store::{Append, AppendError, NewEvent, Origin, Store, StreamId};
use serde_json::json;
use uuid::Uuid;

#[tokio::main]
async fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [database_url, keys_url, key_file, tasks, streams, appends] = &arguments[..] else {
        anyhow::bail!("six arguments");
    };
    let store = tests::open_store(database_url, keys_url, &PathBuf::from(key_file)).await?;
    let (streams, appends): (u64, u64) = (streams.parse()?, appends.parse()?);
    let mut running = tokio::task::JoinSet::new();
    for task in 0..tasks.parse::<u64>()? {
        running.spawn(load(store.clone(), task, streams, appends));
    }
    while let Some(done) = running.join_next().await {
        done.context("a task panicked")??;
    }
    Ok(())
}

async fn load(store: Store, task: u64, streams: u64, appends: u64) -> Result<()> {
    let mut versions = vec![0i64; usize::try_from(streams)?];
    for attempt in 0..appends {
        // Tasks walk the streams in step, so that they meet.
        let stream = usize::try_from((attempt + task % 2) % streams)?;
        match store
            .append(append(stream, versions[stream], 1 + attempt % 3))
            .await
        {
            Ok(appended) => {
                versions[stream] = appended.version;
                print_line(&format!(
                    "s-{stream} {} {}",
                    appended.version, appended.position
                ))?;
            }
            Err(AppendError::Conflict { actual }) => versions[stream] = actual,
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

fn append(stream: usize, expected: i64, events: u64) -> Append {
    let command_id = Uuid::now_v7();
    Append {
        tenant: Uuid::from_u128(1),
        stream: StreamId {
            aggregate_type: "load".to_owned(),
            aggregate_id: format!("s-{stream}"),
        },
        owner: Uuid::from_u128(stream as u128),
        expected,
        origin: Origin {
            command_id,
            correlation_id: command_id,
            causation_id: None,
            actor: format!("load:{}", std::process::id()),
            metadata: json!({}),
        },
        request_hash: None,
        excluded: Vec::new(),
        events: (0..events)
            .map(|n| NewEvent {
                id: Uuid::now_v7(),
                event_type: "load.happened".to_owned(),
                event_version: "1".to_owned(),
                payload: json!({ "n": n }),
                tags: Vec::new(),
            })
            .collect(),
    }
}

fn print_line(line: &str) -> Result<()> {
    use std::io::Write as _;
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}").context("write a result")
}
