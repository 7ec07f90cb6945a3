//! The `replay` command line: what operators and compliance officers run against a log that others write.
//!
//! **Owns** how the log and its projections are shown and worked on from outside. **Must not know** how they are made:
//! it works through the same crates as the platform does.

mod audit;
pub mod backup;
mod check;
mod dead_letters;
mod engines;
mod import;
mod keys;
mod past;
mod rebuild;
mod status;
pub mod subject;
mod told;

use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use clap::{Parser, Subcommand};
use domain::CaseReference;

use crate::audit::AuditCommand;
use crate::backup::BackupCommand;
use crate::dead_letters::DeadLettersCommand;
use crate::keys::KeysCommand;
use crate::subject::SubjectCommand;

/// Work on the log and its projections.
#[derive(Parser)]
#[command(name = "replay", version)]
pub struct Arguments {
    /// Postgres, as a role that may become the runtime roles; by default that of the platform that runs here.
    #[arg(long, env = "DATABASE_URL", hide_env_values = true, global = true)]
    database_url: Option<String>,
    /// Of the platform that runs here.
    #[arg(long, global = true, default_value = ".proofline")]
    data_dir: PathBuf,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Show every projection: version, checkpoint, lag and state
    Status {
        /// One JSON document instead of a table.
        #[arg(long)]
        json: bool,
    },
    /// Look back at what was done, prove that the log is what it was, and write evidence for others
    #[command(subcommand)]
    Audit(AuditCommand),
    /// Make backups, look after them, and bring one back
    #[command(subcommand)]
    Backup(BackupCommand),
    /// Answer people who ask what is held about them, or to be erased
    Subject {
        /// Why, as a reference such as `ticket:4711`: kept for ever with what is done.
        #[arg(long, global = true)]
        reason: Option<CaseReference>,
        #[command(subcommand)]
        command: SubjectCommand,
    },
    /// Look after the keys that wrap people's keys
    #[command(subcommand)]
    Keys(KeysCommand),
    /// Show an aggregate as it was at a moment
    StateAt(past::StateAtArgs),
    /// Tell everything that happened to an aggregate
    History(past::HistoryArgs),
    /// Show what changed about an aggregate between two moments
    Diff(past::DiffArgs),
    /// Show the rows of a read model as they were at a moment, for one account
    ProjectAt(past::ProjectAtArgs),
    /// Try the code of this build on every event of the log
    Check(check::CheckArgs),
    /// Look after the events that could not be projected
    #[command(subcommand)]
    DeadLetters(DeadLettersCommand),
    /// Bring the events of another event store in
    Import(import::ImportArgs),
    /// Build a projection anew from the log, beside the version that is served
    Rebuild {
        #[command(flatten)]
        args: rebuild::RebuildArgs,
        #[command(flatten)]
        engines: engines::EngineArgs,
    },
    /// Fold the log again, and compare with what is served
    Verify {
        #[command(flatten)]
        args: rebuild::VerifyArgs,
        #[command(flatten)]
        engines: engines::EngineArgs,
    },
    /// Serve the version of a projection that was served before
    Rollback {
        #[command(flatten)]
        args: rebuild::RollbackArgs,
        #[command(flatten)]
        engines: engines::EngineArgs,
    },
}

/// Does what the arguments say.
pub async fn run(arguments: Arguments, out: &mut (dyn Write + Send)) -> Result<()> {
    let (data_dir, given) = (&arguments.data_dir, arguments.database_url);
    let database_url = match (&given, &arguments.command) {
        (Some(url), _) => url.clone(),
        (None, Command::Audit(command)) if command.is_offline() => String::new(),
        (None, Command::Backup(_)) => String::new(),
        (None, _) => Running::read(data_dir)?.database_url,
    };
    let open =
        async |args: &engines::EngineArgs| engines::open(args, given.clone(), data_dir).await;
    match arguments.command {
        Command::Status { json } => status::run(&database_url, json, out).await,
        Command::Backup(command) => backup::run(given.clone(), data_dir, command, out).await,
        Command::Audit(command) => audit::run(&database_url, data_dir, command, out).await,
        Command::Subject { reason, command } => {
            subject::run(&database_url, data_dir, command, reason, out).await
        }
        Command::Keys(command) => keys::run(&database_url, data_dir, command, out).await,
        Command::StateAt(args) => past::state_at(&args, &database_url, out).await,
        Command::History(args) => past::history(&args, &database_url, out).await,
        Command::Diff(args) => past::diff(&args, &database_url, out).await,
        Command::ProjectAt(args) => past::project_at(&args, &database_url, out).await,
        Command::Check(args) => check::run(&args, &database_url, out).await,
        Command::DeadLetters(command) => dead_letters::run(&database_url, command, out).await,
        Command::Import(args) => import::run(&args, &database_url, data_dir, out).await,
        Command::Rebuild { args, engines } => {
            rebuild::rebuild(&args, &open(&engines).await?, out).await
        }
        Command::Verify { args, engines } => {
            rebuild::verify(&args, &open(&engines).await?, out).await
        }
        Command::Rollback { args, engines } => {
            rebuild::rollback(&args, &open(&engines).await?, out).await
        }
    }
}

/// What a running platform says of itself in its data directory.
#[derive(serde::Deserialize)]
struct Running {
    database_url: String,
    redis_url: String,
    clickhouse_url: String,
}

impl Running {
    fn read(data_dir: &Path) -> Result<Self> {
        let path = data_dir.join("running.json");
        let bytes = std::fs::read(&path).with_context(|| {
            format!(
                "no platform runs in {}; say where its engines are by DATABASE_URL, REDIS_URL and CLICKHOUSE_URL",
                data_dir.display()
            )
        })?;
        serde_json::from_slice(&bytes).context("running.json is not ours")
    }
}
