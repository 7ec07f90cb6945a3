//! What the figures were measured on.

use std::fmt;
use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use sqlx::{Connection as _, PgConnection};

const SYNCS: usize = 200;

/// The machine, as a sentence of the report.
#[derive(Clone)]
pub(crate) struct Machine {
    date: String,
    cores: usize,
    processor: String,
    memory_gib: f64,
    postgres: String,
    fdatasync: Duration,
}

impl Machine {
    /// `directory` is on the disk that the engines write to.
    pub(crate) async fn look(directory: &Path, database_url: &str) -> Result<Self> {
        let cpus = std::fs::read_to_string("/proc/cpuinfo").context("read /proc/cpuinfo")?;
        let processor = value_of(&cpus, "model name").unwrap_or("unknown processor");
        let memory = std::fs::read_to_string("/proc/meminfo").context("read /proc/meminfo")?;
        let kib: f64 = value_of(&memory, "MemTotal")
            .and_then(|total| total.split_whitespace().next())
            .context("no MemTotal in /proc/meminfo")?
            .parse()?;
        let mut connection = PgConnection::connect(database_url).await?;
        let settings: Vec<String> = sqlx::query_scalar(
            "select current_setting(name) from unnest(array['fsync', 'synchronous_commit', 'full_page_writes']) name",
        )
        .fetch_all(&mut connection)
        .await?;
        anyhow::ensure!(
            settings.iter().all(|setting| setting == "on"),
            "fsync, synchronous_commit and full_page_writes must be on"
        );
        let postgres: String = sqlx::query_scalar("select current_setting('server_version')")
            .fetch_one(&mut connection)
            .await?;
        Ok(Self {
            date: platform::clock::now().format("%Y-%m-%d").to_string(),
            cores: std::thread::available_parallelism()?.get(),
            processor: processor.to_owned(),
            memory_gib: kib / f64::from(1 << 20),
            postgres: postgres.split(' ').next().unwrap_or_default().to_owned(),
            fdatasync: fdatasync(directory)?,
        })
    }
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "Measured on {}: {} cores of {}, {:.0} GiB, Postgres {}, one `fdatasync` after 8 kB {:.2} ms (median).",
            self.date,
            self.cores,
            self.processor,
            self.memory_gib,
            self.postgres,
            self.fdatasync.as_secs_f64() * 1e3
        )
    }
}

fn value_of<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let line = text.lines().find(|line| line.starts_with(name))?;
    Some(line.split_once(':')?.1.trim())
}

/// The median time of making 8 kB durable in a file that has its length already, as a write-ahead log's segment has.
fn fdatasync(directory: &Path) -> Result<Duration> {
    let path = directory.join("fdatasync");
    let file = File::create(&path).context("create a file to sync")?;
    let page = [0x5a; 8192];
    for n in 0..SYNCS {
        file.write_all_at(&page, (n * page.len()) as u64)?;
    }
    file.sync_all()?;
    let mut took = Vec::with_capacity(SYNCS);
    for n in 0..SYNCS {
        file.write_all_at(&page, (n * page.len()) as u64)?;
        let began = Instant::now();
        file.sync_data()?;
        took.push(began.elapsed());
    }
    std::fs::remove_file(&path).context("remove the synced file")?;
    took.sort_unstable();
    Ok(took[SYNCS / 2])
}
