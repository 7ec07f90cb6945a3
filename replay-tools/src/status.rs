//! `replay status`.

use std::collections::HashMap;
use std::io::Write;
use std::time::Duration;

use anyhow::{Context as _, Result};
use event_store::{EventLog, Role, TelemetryLog, connect};
use projections::rebuild::Building;
use projections::{Positions, Progress, ProjectionProgress, ProjectionState};
use serde_json::{Value, json};
use tokio::time::Instant;

/// Between the two looks that a rate is taken from.
const RATE_OVER: Duration = Duration::from_secs(1);
/// A tool that builds a version says so every second.
const SILENT_SECONDS_MAX: f64 = 15.0;

pub(crate) async fn run(
    database_url: &str,
    json: bool,
    out: &mut (dyn Write + Send),
) -> Result<()> {
    let pool = connect(database_url, Role::Projector, 2).context("this is no Postgres URL")?;
    let events = EventLog::open(pool.clone()).await?;
    let telemetry = TelemetryLog::open(pool.clone()).await?;
    let positions = Positions::new(pool, events, telemetry, Progress::default());
    let (before, looked) = (positions.status().await?, Instant::now());
    tokio::time::sleep(RATE_OVER).await;
    let all = positions.status().await?;
    let rates = Rates::between(&before, &all, looked.elapsed());
    if json {
        let all: Vec<Value> = all.iter().map(|one| document(one, &rates)).collect();
        writeln!(out, "{}", serde_json::to_string_pretty(&all)?)?;
        return Ok(());
    }
    writeln!(
        out,
        "{:<20} {:>7} {:>11} {:>11} {:>8} {:>8} {:>9} {:>6}  {:<12} workers (shards)",
        "projection",
        "version",
        "checkpoint",
        "head",
        "lag",
        "lag s",
        "events/s",
        "parked",
        "state"
    )?;
    for one in &all {
        writeln!(
            out,
            "{:<20} {:>7} {:<6} {:>11} {:>11} {:>8} {:>8.1} {:>9.0} {:>6}  {:<11} {}",
            one.name,
            one.version,
            if one.is_served { "yes" } else { "no" },
            one.checkpoint,
            one.head,
            one.lag,
            one.lag_seconds,
            rates.of(one),
            one.parked_keys,
            state(one),
            workers(one)
        )?;
        if let Some(building) = &one.building {
            writeln!(out, "    {}", progress(building))?;
        }
        if let Some(error) = &one.last_error {
            writeln!(out, "    {error}")?;
        }
    }
    Ok(())
}

/// Events per second by name and version.
struct Rates<'a>(HashMap<(&'a str, i32), f64>);

impl<'a> Rates<'a> {
    fn between(
        before: &'a [ProjectionProgress],
        after: &[ProjectionProgress],
        took: Duration,
    ) -> Self {
        let rates = before.iter().filter_map(|one| {
            let is_same = |other: &&ProjectionProgress| {
                other.name == one.name && other.version == one.version
            };
            let moved = after.iter().find(is_same)?.checkpoint - one.checkpoint;
            let rate = moved as f64 / took.as_secs_f64();
            Some(((&*one.name, one.version), rate))
        });
        Self(rates.collect())
    }

    fn of(&self, one: &ProjectionProgress) -> f64 {
        let key = (&*one.name, one.version);
        self.0.get(&key).copied().unwrap_or(0.0)
    }
}

fn document(one: &ProjectionProgress, rates: &Rates<'_>) -> Value {
    json!({
        "name": one.name,
        "version": one.version,
        "revision": one.revision,
        "served": one.is_served,
        "log": one.log.map(event_store::LogName::as_str),
        "checkpoint": one.checkpoint,
        "head": one.head,
        "lag": one.lag,
        "lag_seconds": one.lag_seconds,
        "events_per_second": rates.of(one),
        "state": state(one),
        "building": one.building.as_ref().map(|building| json!({
            "stage": building.stage,
            "events_done": building.events_done,
            "events_total": building.events_total,
            "progress_ratio": building.ratio(),
            "silent_seconds": building.silent_seconds,
        })),
        "parked_keys": one.parked_keys,
        "workers": one.workers,
        "shards_unheld": one.shards_unheld,
        "last_error": one.last_error,
    })
}

fn state(one: &ProjectionProgress) -> &'static str {
    match one.state {
        ProjectionState::Stopped => "stopped",
        _ if one.building.is_some() => "building",
        ProjectionState::NotStarted => "not started",
        ProjectionState::Running if one.shards_unheld > 0 => "unattended",
        ProjectionState::Running => "running",
    }
}

/// What its tool does, and whether there is one.
fn progress(building: &Building) -> String {
    let stage = building.stage.as_deref().unwrap_or("preparing");
    let percent = building.ratio() * 100.0;
    let silent = building.silent_seconds;
    if silent > SILENT_SECONDS_MAX {
        format!("nobody has worked on it for {silent:.0} s; the next rebuild removes it")
    } else {
        format!("{stage}, {percent:.0} % of the log read")
    }
}

fn workers(one: &ProjectionProgress) -> String {
    let mut text = one.workers.join(", ");
    if one.shards_unheld > 0 {
        let nobody = format!("nobody ({})", one.shards_unheld);
        if !text.is_empty() {
            text.push_str(", ");
        }
        text.push_str(&nobody);
    }
    text
}
