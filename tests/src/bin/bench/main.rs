//! `bench`: what durable commands, collected events, reading the log and rebuilding from it cost, beside baselines
//! measured in the same run on the same Postgres. `fsync` and `synchronous_commit` are on throughout.

mod baseline;
mod feed;
mod fill;
mod growth;
mod http;
mod load;
mod machine;
mod ours;
mod plot;
mod report;
mod suite;

use std::io::Write as _;
use std::path::PathBuf;

use anyhow::{Context as _, Result};
use clap::{Parser, Subcommand};
use engines::{Engines, Spinners};
use proofline::config::Connections;

use suite::{Pace, Part, Suite};

/// Measures the platform.
#[derive(Debug, Parser)]
struct Arguments {
    /// How long each figure is measured, in each of its rounds.
    #[arg(long, default_value_t = 1.5)]
    seconds: f64,
    /// Each figure and its baselines take turns this often, so that a drifting machine drifts for all.
    #[arg(long, default_value_t = 2)]
    rounds: u32,
    /// The longer of the two logs that growth is measured on.
    #[arg(long, default_value_t = 10_000_000)]
    growth_events: i64,
    /// Only these parts; all by default.
    #[arg(long, value_enum)]
    only: Vec<Part>,
    /// Where the list of `{name, value, unit, baseline, baseline_value, ratio}` goes.
    #[arg(long, default_value = "target/bench/report.json")]
    out: PathBuf,
    /// The document whose tables are replaced.
    #[arg(long)]
    markdown: Option<PathBuf>,
    /// Where the plots go.
    #[arg(long)]
    plots: Option<PathBuf>,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// The server that this program starts for ClickHouse
    #[command(hide = true)]
    ClickhouseServer(engines::clickhouse::ServerArgs),
}

#[tokio::main]
async fn main() -> Result<()> {
    let arguments = Arguments::parse();
    match arguments.command {
        Some(Command::ClickhouseServer(args)) => Ok(engines::clickhouse::serve(args).await?),
        None => run(arguments).await,
    }
}

/// Starts engines of its own in a temporary folder, measures, and tells.
async fn run(arguments: Arguments) -> Result<()> {
    platform::telemetry::init(platform::telemetry::Format::Pretty);
    let directory = tempfile::Builder::new()
        .prefix("proofline-bench-")
        .tempdir()?;
    let engines = Engines::start(
        engines::Config::new(directory.path())?,
        &Spinners::default(),
    )
    .await?;
    let connections = Connections::to_engines(engines.urls(), directory.path());
    let pace = Pace::new(arguments.seconds, arguments.rounds);
    let measured = async {
        let suite =
            Suite::open(connections, directory.path(), pace, arguments.growth_events).await?;
        suite.measure(&arguments.only).await
    }
    .await;
    engines.stop().await;
    let measured = measured?;

    report::merge_into(&arguments.out, &measured.entries)?;
    let table = format!(
        "{}\n\n{}",
        measured.machine,
        report::table(&measured.entries)
    );
    std::io::stdout().write_all(table.as_bytes())?;
    if let Some(document) = &arguments.markdown {
        report::rewrite(document, "figures", &table)?;
    }
    if let Some(folder) = &arguments.plots {
        measured.plot(folder).context("could not draw the plots")?;
    }
    Ok(())
}
