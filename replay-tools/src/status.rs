//! `replay status`.

use std::io::Write;

use anyhow::{Context as _, Result};
use event_store::{EventLog, Role, TelemetryLog, connect};
use projections::{Positions, Progress, ProjectionProgress, ProjectionState};
use serde_json::{Value, json};

pub(crate) async fn run(
    database_url: &str,
    json: bool,
    out: &mut (dyn Write + Send),
) -> Result<()> {
    let pool = connect(database_url, Role::Projector, 2).context("this is no Postgres URL")?;
    let events = EventLog::open(pool.clone()).await?;
    let telemetry = TelemetryLog::open(pool.clone()).await?;
    let all = Positions::new(pool, events, telemetry, Progress::default())
        .status()
        .await?;
    if json {
        let all: Vec<Value> = all.iter().map(document).collect();
        writeln!(out, "{}", serde_json::to_string_pretty(&all)?)?;
        return Ok(());
    }
    writeln!(
        out,
        "{:<22} {:>7} {:>12} {:>12} {:>8}  state",
        "projection", "version", "checkpoint", "head", "lag"
    )?;
    for one in &all {
        let state = state(one.state);
        writeln!(
            out,
            "{:<22} {:>7} {:>12} {:>12} {:>8}  {state}",
            one.name, one.version, one.checkpoint, one.head, one.lag
        )?;
        if let Some(error) = &one.last_error {
            writeln!(out, "    {error}")?;
        }
    }
    Ok(())
}

fn document(one: &ProjectionProgress) -> Value {
    json!({
        "name": one.name,
        "version": one.version,
        "log": one.log.map(event_store::LogName::as_str),
        "checkpoint": one.checkpoint,
        "head": one.head,
        "lag": one.lag,
        "state": state(one.state),
        "last_error": one.last_error,
    })
}

fn state(state: ProjectionState) -> &'static str {
    match state {
        ProjectionState::NotStarted => "not started",
        ProjectionState::Running => "running",
        ProjectionState::Stopped => "stopped",
    }
}
