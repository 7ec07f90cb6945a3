//! What is measured, in which order, and beside what.

use std::path::Path;
use std::time::Duration;

use anyhow::Result;
use event_store::Location;
use event_store::seal::Due;
use proofline::config::Connections;
use proofline::migrate::migrate;
use sqlx::{Connection as _, Executor as _, PgConnection};

use crate::baseline::{Baselines, RAW_COPY_IN};
use crate::erasure;
use crate::feed;
use crate::growth::{Costs, Grown};
use crate::history::History;
use crate::load::{self, Measured};
use crate::machine::Machine;
use crate::ours::Platform;
use crate::peers::{self, Folders};
use crate::rebuild;
use crate::report::Entry;
use crate::results::{Contest, Results, command_entries, growth_entries, slow_disk_entries};
use crate::seals;

/// How many call at once.
const CALLERS: [usize; 8] = [1, 2, 4, 8, 16, 32, 64, 128];
/// How many call at once where the disk is slow.
const CALLERS_SLOW: [usize; 2] = [1, 64];
/// What Postgres waits before each flush of its log there, in microseconds. It holds the log's lock meanwhile, as it does
/// while it syncs; what is written in that time goes with the flush.
const COMMIT_DELAY_US: u32 = 300;
/// How many append at once while the log is sealed.
const SEALED_CALLERS: usize = 64;
/// So long at least, since a log is sealed once a second.
const SEALED_FOR: Duration = Duration::from_secs(5);
const RELOAD: &str = "select pg_reload_conf()";
/// The short log of growth.
const SHORT: i64 = 100_000;
/// Events that the feed is read over.
const FEED: i64 = 1_000_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Part {
    Commands,
    /// Appends where an `fsync` takes as long as on the disk that the goals were set on.
    SlowDisk,
    Collect,
    /// Growth of cost with the log, and reading it.
    Logs,
    Seals,
    Rebuild,
    /// People who ask to be erased.
    Erasure,
}

/// How much there is.
#[derive(Debug, clap::Args)]
pub(crate) struct Sizes {
    /// Events of the longer of the two logs that growth is measured on.
    #[arg(long, default_value_t = 10_000_000)]
    growth_events: i64,
    /// Orders to rebuild from.
    #[arg(long, default_value_t = 300_000)]
    activities: u64,
    /// Telemetry events to rebuild from.
    #[arg(long, default_value_t = 1_000_000)]
    telemetry: u64,
}

/// How long and how often.
#[derive(Clone, Copy)]
pub(crate) struct Pace {
    pub(crate) time: Duration,
    pub(crate) rounds: u32,
}

impl Pace {
    pub(crate) fn new(seconds: f64, rounds: u32) -> Self {
        Self {
            time: Duration::from_secs_f64(seconds),
            rounds,
        }
    }
}

pub(crate) struct Suite {
    pace: Pace,
    connections: Connections,
    platform: Platform,
    baselines: Baselines,
    machine: Machine,
}

impl Suite {
    /// On engines that are empty; `directory` is where they store.
    pub(crate) async fn open(
        connections: Connections,
        directory: &Path,
        pace: Pace,
    ) -> Result<Self> {
        migrate(&connections).await?;
        Ok(Self {
            pace,
            machine: Machine::look(directory, &connections.database_url).await?,
            platform: Platform::open(&connections).await?,
            baselines: Baselines::create(&connections.database_url).await?,
            connections,
        })
    }

    /// All parts where none is named.
    pub(crate) async fn measure(self, only: &[Part], sizes: &Sizes) -> Result<Results> {
        let wanted = |part| only.is_empty() || only.contains(&part);
        let mut results = Results {
            entries: Vec::new(),
            contests: Vec::new(),
            machine: self.machine.clone(),
        };
        // First, since it projects all that was appended before.
        if wanted(Part::Erasure) {
            results.entries.push(self.erasures().await?);
        }
        if wanted(Part::Commands) {
            for callers in CALLERS {
                results.contests.push(self.contest(callers).await?);
            }
            results.entries.extend(command_entries(&results.contests));
        }
        if wanted(Part::SlowDisk) {
            let contests = self.slow_disk().await?;
            results.entries.extend(slow_disk_entries(&contests));
        }
        if wanted(Part::Collect) {
            results.entries.push(self.collect().await?);
        }
        if wanted(Part::Logs) {
            results
                .entries
                .extend(self.logs(sizes.growth_events).await?);
        }
        if wanted(Part::Seals) {
            results.entries.push(self.seal_overhead().await?);
            results.entries.push(self.audit().await?);
        }
        if wanted(Part::Rebuild) {
            let history =
                History::write(&self.connections, sizes.activities, sizes.telemetry).await?;
            let rebuilt = rebuild::measure(&history, self.pace.rounds).await?;
            results.entries.extend(rebuilt);
        }
        Ok(results)
    }

    /// Beside other event stores.
    pub(crate) async fn peers(self, folders: &Folders) -> Result<(Machine, Vec<Entry>)> {
        let url = &self.connections.database_url;
        let entries = peers::measure(&self.platform, url, folders, self.pace).await?;
        Ok((self.machine, entries))
    }

    async fn contest(&self, callers: usize) -> Result<Contest> {
        tracing::info!(callers, "commands");
        let (ours, others, time) = (&self.platform, &self.baselines, self.pace.time);
        let mut contest = Contest {
            callers,
            ..Contest::default()
        };
        for _ in 0..self.pace.rounds {
            let inserts = others.inserts(callers).await?;
            contest.insert.add(load::run(inserts, time).await?);
            contest
                .append
                .add(load::run(ours.appends(callers)?, time).await?);
            let postgres_es = others.postgres_es().await;
            contest
                .postgres_es
                .add(load::run(vec![postgres_es; callers], time).await?);
            let tuned = others.postgres_es_tuned(callers).await?;
            contest
                .postgres_es_tuned
                .add(load::run(vec![tuned; callers], time).await?);
            contest
                .command
                .add(load::run(ours.commands(callers)?, time).await?);
            let http = ours.http_commands(callers).await?;
            contest.http.add(load::run(http, time).await?);
        }
        Ok(contest)
    }

    async fn slow_disk(&self) -> Result<Vec<Contest>> {
        let mut admin = PgConnection::connect(&self.connections.database_url).await?;
        let delay = format!("alter system set commit_delay = {COMMIT_DELAY_US}");
        for statement in [&*delay, "alter system set commit_siblings = 0", RELOAD] {
            admin.execute(statement).await?;
        }
        let mut contests = Vec::new();
        for callers in CALLERS_SLOW {
            contests.push(self.contest(callers).await?);
        }
        for statement in [
            "alter system reset commit_delay",
            "alter system reset commit_siblings",
            RELOAD,
        ] {
            admin.execute(statement).await?;
        }
        Ok(contests)
    }

    async fn collect(&self) -> Result<Entry> {
        let (mut collected, mut copied) = (Measured::default(), Measured::default());
        for _ in 0..self.pace.rounds {
            let copies = self.baselines.copies(2).await?;
            copied.add(load::run(copies, self.pace.time).await?);
            let collects = self.platform.collects(8).await?;
            collected.add(load::run(collects, self.pace.time).await?);
        }
        Ok(Entry::rate(
            "collect.50",
            "events/s",
            &collected,
            RAW_COPY_IN,
            &copied,
        ))
    }

    async fn erasures(&self) -> Result<Entry> {
        let office = erasure::Office::open(&self.connections).await?;
        let (mut erased, mut deleted) = (Measured::default(), Measured::default());
        for _ in 0..self.pace.rounds {
            deleted.add(erasure::delete_rows(&self.connections.database_url).await?);
            erased.add(office.erase().await?);
        }
        Ok(Entry::rate(
            "erasure.1000",
            "people/s",
            &erased,
            "a row a person deleted, in a transaction each",
            &deleted,
        ))
    }

    async fn seal_overhead(&self) -> Result<Entry> {
        let (mut sealed, mut plain) = (Measured::default(), Measured::default());
        let (url, anchor) = (&self.connections.database_url, self.connections.anchor());
        let sealer = seals::sealer(&self.connections, url, &anchor).await?;
        let time = self.pace.time.max(SEALED_FOR);
        for _ in 0..self.pace.rounds {
            let callers = self.platform.appends(SEALED_CALLERS)?;
            plain.add(load::run(callers, time).await?);
            // What was appended without seals until here is not what is measured.
            let before = sealer.seal(Due::Now).await?;
            sealer.anchor().await?;
            let callers = self.platform.personal_appends(SEALED_CALLERS)?;
            let measured = tokio::select! {
                measured = load::run(callers, time) => measured?,
                never = sealer.run() => match never {},
            };
            seals::ensure_sealed_meanwhile(url, before, &measured).await?;
            sealed.add(measured);
        }
        Ok(Entry::rate(
            "seal.overhead",
            "commands/s",
            &sealed,
            "the same, not sealed and without personal data",
            &plain,
        ))
    }

    async fn audit(&self) -> Result<Entry> {
        let log = self.grown(FEED).await?;
        let anchor = Location::folder(self.connections.key_file.with_file_name("audited"));
        let sealer = seals::sealer(&self.connections, &log.url, &anchor).await?;
        let (mut audited, mut copied) = (Measured::default(), Measured::default());
        for _ in 0..self.pace.rounds {
            copied.add(feed::copy(&log.url, log.events).await?);
            audited.add(seals::audit(&sealer, &log.url, &anchor).await?);
        }
        Ok(Entry::rate(
            "audit.verify",
            "events/s",
            &audited,
            "binary COPY of the same rows",
            &copied,
        ))
    }

    async fn grown(&self, events: i64) -> Result<Grown> {
        Grown::create(
            &self.connections.database_url,
            &self.connections.keys_url()?,
            &self.connections.key_file,
            events,
        )
        .await
    }

    async fn logs(&self, long: i64) -> Result<Vec<Entry>> {
        let (short, long) = (self.grown(SHORT).await?, self.grown(long).await?);
        let (mut read, mut copied) = (Measured::default(), Measured::default());
        let to = FEED.min(long.events);
        for _ in 0..self.pace.rounds {
            copied.add(feed::copy(&long.url, to).await?);
            read.add(feed::read(&long.url, to).await?);
        }
        let (mut in_short, mut in_long) = (Costs::default(), Costs::default());
        for _ in 0..2 * self.pace.rounds {
            in_short.add(short.measure(self.pace.time).await?);
            in_long.add(long.measure(self.pace.time).await?);
        }
        let mut entries = vec![Entry::rate(
            "feed_read",
            "events/s",
            &read,
            "binary COPY of the same rows",
            &copied,
        )];
        entries.extend(growth_entries(&in_long, &in_short));
        Ok(entries)
    }
}
