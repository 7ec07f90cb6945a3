//! Loads: processes of their own that send until they are told to stop, and write down what they send and are told.

mod collect;
mod http;
mod lane;

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Result};
use clap::{Subcommand, ValueEnum};
use proofline::config::Connections;
use serde_json::Value;
use tokio::signal::unix::{SignalKind, signal};
use uuid::Uuid;

/// Between two attempts of what was not answered.
const AGAIN_AFTER: Duration = Duration::from_millis(100);
/// Once told to stop, what is under way is followed up for so long.
const FOLLOW_UP_FOR: Duration = Duration::from_secs(60);

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Send until told to stop
    #[command(hide = true)]
    Load(Load),
}

#[derive(Debug, clap::Args)]
pub(crate) struct Load {
    #[arg(value_enum)]
    kind: Kind,
    #[command(flatten)]
    connections: Connections,
    /// The folder of the journals; this process writes `NAME-<its id>.jsonl`.
    #[arg(long)]
    journals: PathBuf,
    #[arg(long)]
    name: String,
    #[arg(long)]
    account: Uuid,
    #[arg(long, default_value = "")]
    api_key: String,
    /// Where the write APIs serve.
    #[arg(long = "writer")]
    writers: Vec<String>,
    #[arg(long, default_value = "")]
    reader: String,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Kind {
    /// Straight into the lane of this process
    Lane,
    /// Commands and webhooks
    Http,
    /// Telemetry
    Collect,
}

pub(crate) async fn run(load: Load) -> Result<()> {
    let stop = Stop::on_sigterm()?;
    let path = load
        .journals
        .join(format!("{}-{}.jsonl", load.name, Uuid::now_v7().simple()));
    let journal = Journal::open(&path)?;
    match load.kind {
        Kind::Lane => lane::run(&load, journal, stop).await,
        Kind::Http => http::run(&load, journal, stop).await,
        Kind::Collect => collect::run(&load, journal, stop).await,
    }
}

/// One JSON object per line, in the file when this returns: it outlives this process.
#[derive(Clone)]
pub(crate) struct Journal(Arc<Mutex<File>>);

impl Journal {
    fn open(path: &Path) -> Result<Self> {
        let file = OpenOptions::new()
            .create(true)
            .append(true)
            .open(path)
            .with_context(|| format!("open {}", path.display()))?;
        Ok(Self(Arc::new(Mutex::new(file))))
    }

    fn write(&self, line: &Value) -> Result<()> {
        let line = format!("{line}\n");
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .write_all(line.as_bytes())
            .context("write the journal")
    }
}

/// Whether it is time to end.
#[derive(Clone)]
pub(crate) struct Stop(Arc<AtomicBool>);

impl Stop {
    fn on_sigterm() -> Result<Self> {
        let mut terminate = signal(SignalKind::terminate()).context("watch SIGTERM")?;
        let stop = Self(Arc::default());
        let told = stop.clone();
        tokio::spawn(async move {
            terminate.recv().await;
            told.0.store(true, Ordering::SeqCst);
            // Whatever hangs then was given long enough, and its outcome is not known.
            tokio::time::sleep(FOLLOW_UP_FOR).await;
            std::process::exit(0);
        });
        Ok(stop)
    }

    fn is_told(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }
}
