//! The command `engines`.

use std::io::IsTerminal as _;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use engines::cli::{self, FetchArgs, RunArgs, UpArgs};
use engines::clickhouse::{self, ServerArgs};
use tracing_subscriber::EnvFilter;

/// Starts Postgres, Redis and an embedded ClickHouse for a machine that has none running.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Run(RunArgs),
    Up(UpArgs),
    Fetch(FetchArgs),
    /// The server that the other commands start for ClickHouse.
    ClickhouseServer(ServerArgs),
}

#[tokio::main]
async fn main() -> ExitCode {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .init();
    match act(Arguments::parse().command).await {
        Ok(code) => code,
        Err(error) => {
            // The whole chain in one line: for a person in a terminal, not for a debugger.
            eprintln!("engines: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn act(command: Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Run(args) => return Ok(cli::run(args).await?),
        Command::Up(args) => cli::up(args, &mut std::io::stdout()).await?,
        Command::Fetch(args) => {
            let path = tokio::task::block_in_place(|| cli::fetch(&args))?;
            tracing::info!(path = %path.display(), "the embedded ClickHouse is there");
        }
        Command::ClickhouseServer(args) => clickhouse::serve(args).await?,
    }
    Ok(ExitCode::SUCCESS)
}
