//! A reader that follows both logs while others write, through whatever happens to the server.

use std::io::Write as _;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result};
use serde_json::json;
use sqlx::PgConnection;
use uuid::Uuid;

use crate::acknowledged::digest_of;
use crate::connect;

const PAUSE: Duration = Duration::from_millis(5);
const PAUSE_AFTER_FAILURE: Duration = Duration::from_millis(200);
const READ_AT_ONCE: i64 = 5_000;

/// Where to look, and where to write down what was seen.
#[derive(Clone, clap::Args)]
pub struct Watch {
    /// Postgres, as a role that sees everything.
    #[arg(long, env = "DATABASE_URL", hide_env_values = true)]
    database_url: String,
    /// One JSON object per line is added.
    #[arg(long)]
    journal: PathBuf,
}

/// A log and how far it was seen.
struct Followed {
    name: &'static str,
    query: &'static str,
    position: i64,
}

/// Runs until it is killed. A server that is down is waited for.
pub async fn watch(args: &Watch) -> Result<()> {
    let mut journal = std::fs::OpenOptions::new()
        .create(true)
        .append(true)
        .open(&args.journal)
        .with_context(|| format!("open {}", args.journal.display()))?;
    let mut logs = [
        Followed {
            name: "events",
            query: "select position, event_id from es.events where position > $1 order by position limit $2",
            position: 0,
        },
        Followed {
            name: "telemetry",
            query: "select position, event_id from es.telemetry where position > $1 order by position limit $2",
            position: 0,
        },
    ];
    loop {
        if let Ok(mut postgres) = connect(&args.database_url).await {
            while let Ok(lines) = look(&mut postgres, &mut logs).await {
                for line in lines {
                    writeln!(journal, "{line}").context("write the journal")?;
                }
                tokio::time::sleep(PAUSE).await;
            }
        }
        tokio::time::sleep(PAUSE_AFTER_FAILURE).await;
    }
}

/// One look at each log. What is new must follow what was seen without a gap, whoever writes at this moment.
async fn look(postgres: &mut PgConnection, logs: &mut [Followed]) -> Result<Vec<String>> {
    let mut lines = Vec::new();
    for log in logs {
        let events: Vec<(i64, Uuid)> = sqlx::query_as(log.query)
            .bind(log.position)
            .bind(READ_AT_ONCE)
            .fetch_all(&mut *postgres)
            .await?;
        let Some((last, _)) = events.last() else {
            continue;
        };
        for ((found, _), expected) in events.iter().zip(log.position + 1..) {
            if *found != expected {
                let text = format!(
                    "a reader of the {} log saw position {found} where {expected} was to come",
                    log.name
                );
                lines.push(json!({ "kind": "anomaly", "text": text }).to_string());
                break;
            }
        }
        let seen = json!({
            "kind": "seen", "log": log.name, "from": log.position + 1, "to": last,
            "digest": digest_of(events.iter().copied()),
        });
        lines.push(seen.to_string());
        log.position = *last;
    }
    Ok(lines)
}
