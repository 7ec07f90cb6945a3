//! The `replay` command line: what operators and compliance officers run against a log that others write.
//!
//! **Owns** how the log and its projections are shown and worked on from outside. **Must not know** how they are made:
//! it reads through the same crates as the platform does. Today it shows where projections stand; rebuild, verify and
//! the compliance tools come with the next releases.

mod dead_letters;
mod import;
mod status;

use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use clap::{Parser, Subcommand};

use crate::dead_letters::DeadLettersCommand;

/// Work on the log and its projections.
#[derive(Debug, Parser)]
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

#[derive(Debug, Subcommand)]
enum Command {
    /// Show every projection: version, checkpoint, lag and state
    Status {
        /// One JSON document instead of a table.
        #[arg(long)]
        json: bool,
    },
    /// Look after the events that could not be projected
    #[command(subcommand)]
    DeadLetters(DeadLettersCommand),
    /// Bring the events of another event store in
    Import(import::ImportArgs),
}

/// Does what the arguments say.
pub async fn run(arguments: Arguments, out: &mut (dyn Write + Send)) -> Result<()> {
    let database_url = match arguments.database_url {
        Some(url) => url,
        None => running_database(&arguments.data_dir)?,
    };
    match arguments.command {
        Command::Status { json } => status::run(&database_url, json, out).await,
        Command::DeadLetters(command) => dead_letters::run(&database_url, command, out).await,
        Command::Import(args) => import::run(&args, &database_url, &arguments.data_dir, out).await,
    }
}

/// What a running platform says of itself in its data directory.
fn running_database(data_dir: &Path) -> Result<String> {
    #[derive(serde::Deserialize)]
    struct Running {
        database_url: String,
    }
    let path = data_dir.join("running.json");
    let bytes = std::fs::read(&path).with_context(|| {
        format!(
            "no platform runs in {}; say which log by DATABASE_URL",
            data_dir.display()
        )
    })?;
    let running: Running = serde_json::from_slice(&bytes).context("running.json is not ours")?;
    Ok(running.database_url)
}
