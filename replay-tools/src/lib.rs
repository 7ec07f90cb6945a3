//! The `replay` command line: what operators and compliance officers run against a log that others write.
//!
//! **Owns** how the log and its projections are shown and worked on from outside. **Must not know** how they are made:
//! it reads through the same crates as the platform does. Today it shows where projections stand; rebuild, verify and
//! the compliance tools come with the next releases.

mod status;

use std::io::Write;

use anyhow::Result;
use clap::{Parser, Subcommand};

/// Work on the log and its projections.
#[derive(Debug, Parser)]
#[command(name = "replay", version)]
pub struct Arguments {
    /// Postgres, as a role that may become the runtime roles.
    #[arg(
        long,
        env = "DATABASE_URL",
        hide_env_values = true,
        global = true,
        default_value = ""
    )]
    database_url: String,
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
}

/// Does what the arguments say.
pub async fn run(arguments: Arguments, out: &mut (dyn Write + Send)) -> Result<()> {
    anyhow::ensure!(
        !arguments.database_url.is_empty(),
        "say which log: --database-url or DATABASE_URL"
    );
    match arguments.command {
        Command::Status { json } => status::run(&arguments.database_url, json, out).await,
    }
}
