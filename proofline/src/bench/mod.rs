//! `proofline bench`: what a durable command and a collected event cost, beside baselines measured in the same run on the
//! same Postgres. `fsync` and `synchronous_commit` are on throughout.

mod load;
mod paths;
mod report;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result};
use engines::{Engines, Spinners};

use crate::config::Connections;
use crate::migrate::migrate;
use report::{Entry, Report};

#[derive(Debug, clap::Args)]
pub(crate) struct BenchArgs {
    /// How long each figure is measured, in each of its rounds.
    #[arg(long, default_value_t = 3)]
    seconds: u64,
    /// Each figure and its baseline take turns this often, so that a drifting machine drifts for both.
    #[arg(long, default_value_t = 2)]
    rounds: u32,
    /// Where the list of `{name, value, unit, baseline, baseline_value, ratio}` goes.
    #[arg(long, default_value = "target/bench/report.json")]
    out: PathBuf,
}

const CALLERS: [usize; 3] = [1, 16, 64];

/// Starts engines of its own in a temporary directory, measures, and prints a table.
pub(crate) async fn run(args: BenchArgs) -> Result<()> {
    let directory = std::env::temp_dir().join(format!("proofline-bench-{}", uuid::Uuid::now_v7()));
    let engines = Engines::start(engines::Config::new(&directory)?, &Spinners::default()).await?;
    let connections = Connections::to_engines(engines.urls(), &directory);
    let measured = measure(&args, &connections).await;
    engines.stop().await;
    std::fs::remove_dir_all(&directory).context("could not remove the benchmark's data")?;
    measured?.write(&args.out)
}

async fn measure(args: &BenchArgs, connections: &Connections) -> Result<Report> {
    migrate(connections).await?;
    let paths = paths::Paths::open(connections).await?;
    let time = Duration::from_secs(args.seconds);
    let mut report = Report::default();
    for callers in CALLERS {
        let (mut appends, mut inserts) = (load::Measured::default(), load::Measured::default());
        for _ in 0..args.rounds {
            inserts.add(load::run(callers, time, || paths.insert()).await?);
            appends.add(load::run(callers, time, || paths.append()).await?);
        }
        let name = format!("append.{callers}");
        report.add(Entry::rate(
            &name,
            "commands/s",
            &appends,
            "bare prepared single-row insert",
            &inserts,
        ));
        report.add(Entry::p99(
            &format!("{name}.p99_ms"),
            &appends,
            "bare prepared single-row insert",
            &inserts,
        ));
    }
    let (mut http, mut appends) = (load::Measured::default(), load::Measured::default());
    let (mut collected, mut copied) = (load::Measured::default(), load::Measured::default());
    for _ in 0..args.rounds {
        appends.add(load::run(64, time, || paths.append()).await?);
        http.add(load::run(64, time, || paths.command_over_http()).await?);
        copied.add(load::run(2, time, || paths.copy()).await?);
        collected.add(load::run(8, time, || paths.collect()).await?);
    }
    report.add(Entry::rate(
        "http_command.64",
        "commands/s",
        &http,
        "append.64, in process",
        &appends,
    ));
    report.add(Entry::p99(
        "http_command.64.p99_ms",
        &http,
        "append.64, in process",
        &appends,
    ));
    report.add(Entry::rate(
        "collect.50",
        "events/s",
        &collected,
        "raw COPY of the same rows",
        &copied,
    ));
    Ok(report)
}
