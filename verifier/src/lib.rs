//! Checks a platform's tables, and the journals of those who wrote through it, against the invariants of an event
//! store and its projections.
//!
//! **Owns** a second opinion: every rule here was written from the documents (`docs/stored-format.md`, the DDL), not from
//! the code that it judges. **Must not know** that code: no crate of ours is used, and nothing is read but tables and
//! journals.

mod acknowledged;
mod clickhouse;
mod counters;
mod facts;
mod fold;
mod journal;
mod keys;
mod log;
mod privileges;
mod progress;
mod read_models;
mod report;
mod telemetry;
mod watch;

use std::path::PathBuf;

use anyhow::{Context as _, Result};
use sqlx::{Connection as _, Executor as _, PgConnection};

pub use crate::report::{Check, Report};
pub use crate::watch::{Watch, watch};

/// Where everything is, and what may be expected of it.
#[derive(Clone, clap::Args)]
pub struct Verify {
    /// Postgres, as a role that sees everything.
    #[arg(long, env = "DATABASE_URL", hide_env_values = true)]
    pub database_url: String,
    /// The database of subject keys.
    #[arg(long, env = "KEYS_DATABASE_URL", hide_env_values = true)]
    pub keys_database_url: String,
    #[arg(long, env = "REDIS_URL", hide_env_values = true)]
    pub redis_url: String,
    #[arg(long, env = "PROOFLINE_REDIS_PREFIX", default_value = "proofline")]
    pub redis_prefix: String,
    #[arg(long, env = "CLICKHOUSE_URL", hide_env_values = true)]
    pub clickhouse_url: String,
    #[arg(
        long,
        env = "PROOFLINE_CLICKHOUSE_DATABASE",
        default_value = "proofline"
    )]
    pub clickhouse_database: String,
    /// The folder of the journals (`*.jsonl`) of those who wrote.
    #[arg(long)]
    pub journals: Option<PathBuf>,
    /// What `replay status --json` said of these very tables.
    #[arg(long)]
    pub status: Option<PathBuf>,
    /// Nothing is under way any more: every projection must stand at its log's head.
    #[arg(long)]
    pub drained: bool,
}

/// Reads everything and checks it. Nobody may write meanwhile.
pub async fn verify(verify: &Verify) -> Result<Report> {
    let mut postgres = connect(&verify.database_url).await?;
    // One snapshot for all of Postgres.
    postgres
        .execute("begin isolation level repeatable read read only")
        .await
        .context("begin")?;
    let mut report = Report::default();
    let progress = progress::read(&mut postgres).await?;
    let log = log::read(&mut postgres, &progress, &mut report).await?;
    let telemetry = telemetry::read(&mut postgres, &mut report).await?;
    let heads = progress::Heads {
        events: log.head(),
        telemetry: telemetry.head(),
    };
    if let Some(folder) = &verify.journals {
        let journal = journal::read(folder)?;
        acknowledged::check(&mut postgres, &journal, &log, &telemetry, &mut report).await?;
    }
    read_models::check(&mut postgres, &progress, &log, &mut report).await?;
    keys::check(
        &verify.keys_database_url,
        &progress,
        &log,
        verify.drained,
        &mut report,
    )
    .await?;
    counters::check(verify, &progress, &telemetry, &mut report).await?;
    facts::check(verify, &progress, &telemetry, &mut report).await?;
    progress::check(&mut postgres, &progress, heads, verify, &mut report).await?;
    privileges::check(&mut postgres, &mut report).await?;
    Ok(report)
}

pub(crate) async fn connect(url: &str) -> Result<PgConnection> {
    PgConnection::connect(url)
        .await
        .context("connect to Postgres")
}
