//! `bench`: what durable commands, collected events, reading the log and rebuilding from it cost, beside baselines
//! measured in the same run on the same Postgres. `fsync` and `synchronous_commit` are on throughout.

mod baseline;
mod erasure;
mod feed;
mod fill;
mod growth;
mod history;
mod http;
mod load;
mod machine;
mod ours;
mod peers;
mod plot;
mod rebuild;
mod report;
mod results;
mod seals;
mod suite;

use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use clap::{Parser, Subcommand};
use engines::{Engines, Spinners};
use key_providers::KeyProviderArgs;
use proofline::config::Connections;

use machine::Machine;
use peers::Folders;
use report::Entry;
use suite::{Pace, Part, Sizes, Suite};

/// Measures the platform.
#[derive(Debug, Parser)]
struct Arguments {
    /// How long each figure is measured, in each of its rounds.
    #[arg(long, default_value_t = 1.0)]
    seconds: f64,
    /// Each figure and its baselines take turns this often, so that a drifting machine drifts for all.
    #[arg(long, default_value_t = 2)]
    rounds: u32,
    #[command(flatten)]
    sizes: Sizes,
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
    /// Beside other event stores, which are installed by name
    Peers {
        /// Where they are installed.
        #[arg(long, default_value = "target/peers")]
        packages: PathBuf,
    },
    /// The server that this program starts for ClickHouse
    #[command(hide = true)]
    ClickhouseServer(engines::clickhouse::ServerArgs),
}

#[tokio::main]
async fn main() -> Result<()> {
    let mut arguments = Arguments::parse();
    match arguments.command.take() {
        Some(Command::ClickhouseServer(args)) => Ok(engines::clickhouse::serve(args).await?),
        Some(Command::Peers { packages }) => run(&arguments, Some(&packages)).await,
        None => run(&arguments, None).await,
    }
}

/// Starts engines of its own in a temporary folder, measures, and tells.
async fn run(arguments: &Arguments, packages: Option<&Path>) -> Result<()> {
    let _telemetry = platform::telemetry::init(platform::telemetry::Format::Pretty, "bench");
    let directory = tempfile::Builder::new()
        .prefix("proofline-bench-")
        .tempdir()?;
    let config = engines::Config::new(directory.path())?;
    let engines = Engines::start(config, &Spinners::default()).await?;
    let connections =
        Connections::to_engines(engines.urls(), directory.path(), KeyProviderArgs::default())?;
    let told = match packages {
        None => suite(arguments, connections, directory.path()).await,
        Some(packages) => peers(arguments, connections, directory.path(), packages).await,
    };
    engines.stop().await;
    told
}

async fn suite(arguments: &Arguments, connections: Connections, directory: &Path) -> Result<()> {
    let pace = Pace::new(arguments.seconds, arguments.rounds);
    let suite = Suite::open(connections, directory, pace).await?;
    let results = suite.measure(&arguments.only, &arguments.sizes).await?;
    tell(arguments, "figures", &results.machine, &results.entries)?;
    match &arguments.plots {
        Some(folder) => results.plot(folder).context("could not draw the plots"),
        None => Ok(()),
    }
}

async fn peers(
    arguments: &Arguments,
    connections: Connections,
    directory: &Path,
    packages: &Path,
) -> Result<()> {
    std::fs::create_dir_all(packages)?;
    let folders = Folders {
        packages: packages.canonicalize()?,
        data: directory.to_owned(),
    };
    let pace = Pace::new(arguments.seconds, arguments.rounds);
    let suite = Suite::open(connections, directory, pace).await?;
    let (machine, entries) = suite.peers(&folders).await?;
    tell(arguments, "peers", &machine, &entries)?;
    match &arguments.plots {
        Some(folder) => results::plot_peers(folder, &entries).context("could not draw the plot"),
        None => Ok(()),
    }
}

/// As JSON and as a table, on standard output and in the document between the marks of this name.
fn tell(arguments: &Arguments, name: &str, machine: &Machine, entries: &[Entry]) -> Result<()> {
    report::merge_into(&arguments.out, entries)?;
    let table = format!("{machine}\n\n{}", report::table(entries));
    std::io::stdout().write_all(table.as_bytes())?;
    match &arguments.markdown {
        Some(document) => report::rewrite(document, name, &table),
        None => Ok(()),
    }
}
