//! The torture: several writers and projectors as processes of their own, under load, while processes and engines are
//! killed, paused and cut off from each other by a schedule that follows from a seed. Then the verifier, a program that
//! shares no code with them, reads the tables and what callers were told.
//!
//! Succeeds where nothing was violated, nobody ended by himself, and there was something to check.

mod injury;
mod load;
mod participant;
mod schedule;
mod stage;
mod tally;

use std::io::Write as _;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use clap::Parser;
use serde_json::Value;
use sqlx::{Connection as _, Executor as _, PgConnection};
use tokio::process::Command;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};

use crate::schedule::{Bounds, Only, schedule};
use crate::stage::{Stage, beside};
use crate::tally::Tally;

/// For projectors to reach the heads of the logs, once they are left alone.
const DRAINS_WITHIN: Duration = Duration::from_secs(180);
/// How long an unrelated transaction is held open.
const HELD_OPEN_FOR: Duration = Duration::from_secs(20);

/// Tortures the platform and checks what is left of it.
#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    command: Option<load::Command>,
    #[command(flatten)]
    drive: Drive,
}

#[derive(clap::Args)]
pub(crate) struct Drive {
    /// What is done when follows from it; by default another one each time.
    #[arg(long, env = "TORTURE_SEED")]
    seed: Option<u64>,
    /// Seconds of torture; settling and checking come after.
    #[arg(long, env = "TORTURE_S", default_value_t = 120)]
    seconds: u64,
    #[arg(long, env = "TORTURE_PROJECTORS", default_value_t = 3)]
    projectors: usize,
    /// Nothing but this kind of fault.
    #[arg(long, env = "TORTURE_ONLY", value_enum)]
    only: Option<Only>,
    /// How long a projector is paused at least.
    #[arg(long, env = "TORTURE_PAUSE_S", default_value_t = 12)]
    pause_s: u64,
    /// Of a build with the feature `torture`: places where processes die, and how likely, as `NAME:PROBABILITY,…`.
    #[arg(long, env = "TORTURE_FAULT_POINTS")]
    fault_points: Option<String>,
    /// Of a build with the feature `torture`: a guard to switch off, so that this must fail.
    #[arg(long, env = "TORTURE_MUTANT")]
    mutant: Option<String>,
    /// Keep engines' data, logs and journals also where nothing was found.
    #[arg(long)]
    keep: bool,
}

#[tokio::main]
async fn main() -> Result<ExitCode> {
    tracing_subscriber::fmt()
        .with_env_filter(
            tracing_subscriber::EnvFilter::try_from_default_env()
                .unwrap_or_else(|_| "error,torture=warn".into()),
        )
        .with_writer(std::io::stderr)
        .init();
    let arguments = Arguments::parse();
    match arguments.command {
        Some(load::Command::Load(load)) => {
            load::run(load).await?;
            Ok(ExitCode::SUCCESS)
        }
        None => drive(arguments.drive).await,
    }
}

async fn drive(drive: Drive) -> Result<ExitCode> {
    let seed = drive
        .seed
        .unwrap_or_else(|| u64::from(rand::random::<u32>()));
    say(&format!(
        "torture: TORTURE_SEED={seed} TORTURE_S={}",
        drive.seconds
    ))?;
    let directory = tempfile::Builder::new()
        .prefix("proofline-torture-")
        .tempdir()
        .context("create a directory")?;
    let tally = Arc::new(Tally::default());
    let stage = Arc::new(Stage::set(&drive, directory.path(), tally.clone()).await?);
    let began = Instant::now();
    torment(&stage, seed, &drive).await?;
    let (processed, is_well) = settle(&stage, directory.path()).await?;
    say(&format!("{tally}\n{processed}"))?;
    say(&format!(
        "{:>6}  seconds in all, seed {seed}",
        began.elapsed().as_secs()
    ))?;
    if let Ok(stage) = Arc::try_unwrap(stage).map_err(drop) {
        stage.end().await;
    }
    let is_tormented = tally.faults() > 0 || drive.only == Some(Only::None);
    let passed = is_well && tally.deaths() == 0 && is_tormented && processed.is_something();
    if drive.keep || !passed {
        say(&format!(
            "all that was left is in {}",
            directory.keep().display()
        ))?;
    }
    say(if passed {
        "torture: passed"
    } else {
        "torture: FAILED"
    })?;
    Ok(if passed {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// Everything on the schedule, each when its time has come, whether or not the one before is over.
async fn torment(stage: &Arc<Stage>, seed: u64, drive: &Drive) -> Result<()> {
    let began = Instant::now();
    let holding = tokio::spawn(hold_transactions_open(
        stage.connections.database_url.clone(),
    ));
    let bounds = Bounds {
        lasts: Duration::from_secs(drive.seconds),
        beyond_lease: Duration::from_secs(drive.pause_s),
    };
    let mut under_way = JoinSet::new();
    for (at, fault) in schedule(seed, bounds, drive.only) {
        sleep_until(began + at).await;
        tracing::warn!(at_ms = at.as_millis() as u64, ?fault);
        let stage = stage.clone();
        under_way.spawn(async move { stage.inflict(&fault).await });
    }
    sleep_until(began + bounds.lasts).await;
    while let Some(over) = under_way.join_next().await {
        over.context("a fault panicked")??;
    }
    holding.abort();
    Ok(())
}

/// Somebody else's transactions, with an id of their own and a snapshot: nobody may wait for them.
async fn hold_transactions_open(url: String) {
    loop {
        if let Ok(mut connection) = PgConnection::connect(&url).await {
            let begun = connection
                .execute("begin isolation level repeatable read; select pg_current_xact_id()")
                .await;
            if begun.is_ok() {
                sleep(HELD_OPEN_FOR).await;
            }
        }
        sleep(Duration::from_secs(1)).await;
    }
}

/// What went through.
struct Processed {
    events: i64,
    telemetry: i64,
    acknowledged: Acknowledged,
}

/// By the journals.
#[derive(Default)]
struct Acknowledged {
    appends: u64,
    requests: u64,
    batches: u64,
}

impl Processed {
    fn is_something(&self) -> bool {
        let Acknowledged {
            appends, requests, ..
        } = self.acknowledged;
        self.events > 100 && self.telemetry > 1_000 && appends > 100 && requests > 50
    }
}

impl std::fmt::Display for Processed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let acknowledged = &self.acknowledged;
        writeln!(
            f,
            "{:>6}  commands acknowledged by the lane",
            acknowledged.appends
        )?;
        writeln!(
            f,
            "{:>6}  commands and webhooks acknowledged over HTTP",
            acknowledged.requests
        )?;
        writeln!(
            f,
            "{:>6}  batches of telemetry acknowledged",
            acknowledged.batches
        )?;
        writeln!(f, "{:>6}  events", self.events)?;
        write!(f, "{:>6}  telemetry events", self.telemetry)
    }
}

/// Checks what stands there in the middle of everything, lets the projectors catch up, and checks again.
async fn settle(stage: &Stage, directory: &Path) -> Result<(Processed, bool)> {
    stage.engines_are_back().await?;
    stage.stop_in_the_middle().await;
    until_quiet(stage).await?;
    say("\nin the middle, every projector killed:")?;
    let status = directory.join("status-in-the-middle.json");
    report_status(stage, &status).await?;
    let middle = verify(stage, &status, false).await?;
    let is_noticed = injury::inflict_and_mend(stage).await?;
    stage.start_projectors().await;
    let drained = until_drained(stage).await?;
    if !drained {
        say("the projectors did not reach the heads of the logs")?;
    }
    stage.end_participants().await;
    until_quiet(stage).await?;
    say("\nat the end, every projector at the head:")?;
    let status = directory.join("status-at-the-end.json");
    report_status(stage, &status).await?;
    let end = verify(stage, &status, true).await?;
    say("")?;
    Ok((
        processed(stage).await?,
        middle && is_noticed && drained && end,
    ))
}

/// What a killed process has sent may still be at work in a server.
async fn until_quiet(stage: &Stage) -> Result<()> {
    let mut owner = stage.owner().await?;
    let deadline = Instant::now() + DRAINS_WITHIN;
    loop {
        let busy: i64 = sqlx::query_scalar(
            "select count(*) from pg_stat_activity
             where backend_type = 'client backend' and pid <> pg_backend_pid() and state <> 'idle'
               and application_name like 'proofline%'",
        )
        .fetch_one(&mut owner)
        .await?;
        if busy == 0 {
            break;
        }
        anyhow::ensure!(Instant::now() < deadline, "{busy} transactions do not end");
        sleep(Duration::from_millis(100)).await;
    }
    // ClickHouse may be writing an insert whose sender is gone.
    sleep(Duration::from_secs(2)).await;
    Ok(())
}

async fn until_drained(stage: &Stage) -> Result<bool> {
    let mut owner = stage.owner().await?;
    let deadline = Instant::now() + DRAINS_WITHIN;
    while Instant::now() < deadline {
        let behind: i64 = sqlx::query_scalar(
            "select (select count(*) from es.intents)
                  + (select count(*) from es.projections p
                     where p.checkpoint < (case when p.name like 'telemetry%'
                                           then (select coalesce(max(position), 0) from es.telemetry)
                                           else (select coalesce(max(position), 0) from es.events) end))",
        )
        .fetch_one(&mut owner)
        .await?;
        if behind == 0 {
            return Ok(true);
        }
        sleep(Duration::from_millis(250)).await;
    }
    Ok(false)
}

/// What the platform's own tool says.
async fn report_status(stage: &Stage, path: &Path) -> Result<()> {
    let output = Command::new(beside("replay")?)
        .args(["status", "--json"])
        .env("DATABASE_URL", &stage.connections.database_url)
        .output()
        .await
        .context("run replay status")?;
    anyhow::ensure!(
        output.status.success(),
        "replay status failed: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    std::fs::write(path, output.stdout).context("write the status")
}

async fn verify(stage: &Stage, status: &Path, drained: bool) -> Result<bool> {
    let connections = &stage.connections;
    let mut verifier = Command::new(beside("verifier")?);
    verifier
        .arg("check")
        .arg("--journals")
        .arg(&stage.journals)
        .arg("--status")
        .arg(status)
        .env("DATABASE_URL", &connections.database_url)
        .env("KEYS_DATABASE_URL", connections.keys_url()?)
        .env("REDIS_URL", &connections.redis_url)
        .env("CLICKHOUSE_URL", &connections.clickhouse_url);
    if drained {
        verifier.arg("--drained");
    }
    let status = verifier.status().await.context("run the verifier")?;
    Ok(status.success())
}

async fn processed(stage: &Stage) -> Result<Processed> {
    let (events, telemetry) = sqlx::query_as(
        "select (select count(*) from es.events), (select count(*) from es.telemetry)",
    )
    .fetch_one(&mut stage.owner().await?)
    .await?;
    Ok(Processed {
        events,
        telemetry,
        acknowledged: acknowledged(&stage.journals)?,
    })
}

fn acknowledged(journals: &Path) -> Result<Acknowledged> {
    let mut counts = Acknowledged::default();
    for entry in std::fs::read_dir(journals).context("read the journals")? {
        let path = entry.context("read the journals")?.path();
        let text = std::fs::read_to_string(path).context("read a journal")?;
        // The last line of a process that was killed may be torn.
        for line in text
            .lines()
            .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        {
            let is_success = (200..300).contains(&line["status"].as_u64().unwrap_or(0));
            match line["kind"].as_str() {
                Some("appended") if line["outcome"] == "ok" => counts.appends += 1,
                Some("answered") if is_success => counts.requests += 1,
                Some("collected") => counts.batches += 1,
                _ => {}
            }
        }
    }
    Ok(counts)
}

pub(crate) fn say(text: &str) -> Result<()> {
    writeln!(std::io::stdout(), "{text}").context("write to standard output")
}
