//! `replay dead-letters`: events that could not be projected, and what waits behind them.

use std::io::Write;

use anyhow::{Context as _, Result, bail};
use clap::Subcommand;
use event_store::{
    DeadLetter, DeadLetters, EventLog, Log as _, LogName, Role, TelemetryLog, connect,
};
use projections::Projection;
use serde_json::{Value, json};
use sqlx::PgPool;

#[derive(Debug, Subcommand)]
pub(crate) enum DeadLettersCommand {
    /// Show what waits
    List {
        /// Only of this projection.
        name: Option<String>,
        /// Also what was projected later or discarded.
        #[arg(long)]
        all: bool,
        /// One JSON document instead of a table.
        #[arg(long)]
        json: bool,
    },
    /// Show one event and why it could not be projected; never what it says
    Show { name: String, position: i64 },
    /// Try again what waits: all of a projection, or the key of one event
    Retry { name: String, position: Option<i64> },
    /// Leave an event out of a projection for good; what waits behind it goes on. The event stays in the log
    Discard {
        name: String,
        position: i64,
        /// Why; kept for ever beside who did it and when.
        #[arg(long)]
        reason: String,
        /// Who discards it.
        #[arg(long, env = "USER")]
        by: String,
    },
}

pub(crate) async fn run(
    database_url: &str,
    command: DeadLettersCommand,
    out: &mut (dyn Write + Send),
) -> Result<()> {
    let pool = connect(database_url, Role::Projector, 2).context("this is no Postgres URL")?;
    let letters = DeadLetters::new(pool.clone());
    match command {
        DeadLettersCommand::List { name, all, json } => {
            let found = letters.list(name.as_deref(), all).await?;
            list(&found, json, out)
        }
        DeadLettersCommand::Show { name, position } => {
            let found = letters.list(Some(&name), true).await?;
            let found = found.into_iter().find(|one| one.position == position);
            let Some(letter) = found else {
                bail!("no event of {name} ever waited at position {position}");
            };
            let shown =
                json!({ "dead_letter": document(&letter), "event": event(pool, &letter).await? });
            Ok(writeln!(out, "{}", serde_json::to_string_pretty(&shown)?)?)
        }
        DeadLettersCommand::Retry { name, position } => {
            let keys = letters.retry(&name, position).await?;
            Ok(writeln!(
                out,
                "{keys} of {name}'s keys are tried again by whoever holds them, within a second or two"
            )?)
        }
        DeadLettersCommand::Discard {
            name,
            position,
            reason,
            by,
        } => {
            if reason.trim().is_empty() {
                bail!("a reason has to be given");
            }
            letters.discard(&name, position, &by, &reason).await?;
            Ok(writeln!(
                out,
                "position {position} is left out of {name}; what waits behind it goes on"
            )?)
        }
    }
}

fn list(found: &[DeadLetter], json: bool, out: &mut (dyn Write + Send)) -> Result<()> {
    if json {
        let all: Vec<Value> = found.iter().map(document).collect();
        return Ok(writeln!(out, "{}", serde_json::to_string_pretty(&all)?)?);
    }
    writeln!(
        out,
        "{:<22} {:>7} {:>12} {:>6} {:>8}  {:<10} error",
        "projection", "version", "position", "key", "attempts", "state"
    )?;
    for one in found {
        let state = state(one);
        writeln!(
            out,
            "{:<22} {:>7} {:>12} {:>6} {:>8}  {state:<10} {}",
            one.name, one.version, one.position, one.bucket, one.attempts, one.error
        )?;
    }
    Ok(())
}

fn state(letter: &DeadLetter) -> &'static str {
    match (letter.projected_at, letter.discarded_at) {
        (Some(_), _) => "projected",
        (None, Some(_)) => "discarded",
        (None, None) => "waits",
    }
}

fn document(letter: &DeadLetter) -> Value {
    json!({
        "name": letter.name,
        "version": letter.version,
        "position": letter.position,
        "bucket": letter.bucket,
        "error": letter.error,
        "attempts": letter.attempts,
        "state": state(letter),
        "parked_at": letter.parked_at,
        "projected_at": letter.projected_at,
        "discarded_at": letter.discarded_at,
        "discarded_by": letter.discarded_by,
        "reason": letter.reason,
    })
}

/// What the log says of the event, but for its payload, which may hold personal data.
async fn event(pool: PgPool, letter: &DeadLetter) -> Result<Value> {
    let Some(projection) = Projection::parse(&letter.name) else {
        bail!("{} is not a projection of this build", letter.name);
    };
    let before = letter.position - 1;
    let event = match projection.log() {
        LogName::Events => {
            let found = EventLog::open(pool).await?.read(before, 1).await?;
            found.first().map(|event| {
                json!({
                    "id": event.event_id,
                    "type": event.event_type,
                    "event_version": event.event_version,
                    "tenant": event.tenant,
                    "stream": format!("{}/{}", event.stream.aggregate_type, event.stream.aggregate_id),
                    "sequence": event.sequence,
                    "recorded_at": event.recorded_at,
                    "command_id": event.command_id,
                    "actor": event.actor,
                })
            })
        }
        LogName::Telemetry => {
            let found = TelemetryLog::open(pool).await?.read(before, 1).await?;
            found.first().map(|event| {
                json!({
                    "id": event.event_id,
                    "type": event.kind,
                    "tenant": event.tenant,
                    "owner": event.owner,
                    "received_at": event.received_at,
                })
            })
        }
    };
    Ok(event.unwrap_or(Value::Null))
}
