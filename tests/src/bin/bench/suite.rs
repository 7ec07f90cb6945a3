//! What is measured, in which order, and beside what.

use std::path::Path;
use std::time::Duration;

use anyhow::Result;
use proofline::config::Connections;
use proofline::migrate::migrate;

use crate::baseline::{BARE_INSERT, Baselines, POSTGRES_ES, RAW_COPY_IN};
use crate::feed;
use crate::growth::{Costs, Grown};
use crate::load::{self, Measured};
use crate::machine::Machine;
use crate::ours::Platform;
use crate::peers::{self, Folders};
use crate::plot::{self, Axis, Line};
use crate::report::Entry;

/// How many call at once.
const CALLERS: [usize; 8] = [1, 2, 4, 8, 16, 32, 64, 128];
/// Those that have a figure of their own.
pub(crate) const NAMED: [usize; 3] = [1, 16, 64];
/// The short log of growth.
const SHORT: i64 = 100_000;
/// Events that the feed is read over.
const FEED: i64 = 1_000_000;

const IN_PROCESS: &str = "the same command in process";

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Part {
    Commands,
    Collect,
    /// Growth of cost with the log, and reading it.
    Logs,
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

/// Figures, and the curves behind them.
pub(crate) struct Results {
    pub(crate) machine: Machine,
    pub(crate) entries: Vec<Entry>,
    contests: Vec<Contest>,
}

/// Ours and the others at one number of callers.
#[derive(Default)]
struct Contest {
    callers: usize,
    append: Measured,
    command: Measured,
    http: Measured,
    insert: Measured,
    postgres_es: Measured,
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

    /// All parts where none is named; growth to a log of `long` events.
    pub(crate) async fn measure(self, only: &[Part], long: i64) -> Result<Results> {
        let wanted = |part| only.is_empty() || only.contains(&part);
        let mut results = Results {
            entries: Vec::new(),
            contests: Vec::new(),
            machine: self.machine.clone(),
        };
        if wanted(Part::Commands) {
            for callers in CALLERS {
                results.contests.push(self.contest(callers).await?);
            }
            results.entries.extend(command_entries(&results.contests));
        }
        if wanted(Part::Collect) {
            results.entries.push(self.collect().await?);
        }
        if wanted(Part::Logs) {
            results.entries.extend(self.logs(long).await?);
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
            let postgres_es = others.postgres_es(callers).await?;
            contest.postgres_es.add(load::run(postgres_es, time).await?);
            contest
                .command
                .add(load::run(ours.commands(callers)?, time).await?);
            let http = ours.http_commands(callers).await?;
            contest.http.add(load::run(http, time).await?);
        }
        Ok(contest)
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

    async fn logs(&self, long: i64) -> Result<Vec<Entry>> {
        let keys_url = self.connections.keys_url()?;
        let create = |events| {
            Grown::create(
                &self.connections.database_url,
                &keys_url,
                &self.connections.key_file,
                events,
            )
        };
        let (short, long) = (create(SHORT).await?, create(long).await?);
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

fn command_entries(contests: &[Contest]) -> Vec<Entry> {
    let named = |contest: &&Contest| NAMED.contains(&contest.callers);
    contests.iter().filter(named).flat_map(entries_of).collect()
}

fn entries_of(contest: &Contest) -> Vec<Entry> {
    let callers = contest.callers;
    let (append, command, http) = (&contest.append, &contest.command, &contest.http);
    let (insert, postgres_es) = (&contest.insert, &contest.postgres_es);
    let named = |figure: &str| format!("{figure}.{callers}");
    let p99 = |figure: &str| format!("{figure}.{callers}.p99_ms");
    let rate = "commands/s";
    let mut entries = vec![
        Entry::rate(&named("append"), rate, append, BARE_INSERT, insert),
        Entry::rate(&named("append"), rate, append, POSTGRES_ES, postgres_es),
        Entry::p99(&p99("append"), append, BARE_INSERT, insert),
        Entry::p99(&p99("append"), append, POSTGRES_ES, postgres_es),
        Entry::rate(&named("command"), rate, command, POSTGRES_ES, postgres_es),
        Entry::rate(&named("http_command"), rate, http, IN_PROCESS, command),
        Entry::p99(&p99("http_command"), http, IN_PROCESS, command),
    ];
    if callers == 1 {
        entries.insert(
            2,
            Entry::p50("append.1.p50_ms", append, BARE_INSERT, insert),
        );
    }
    entries
}

fn growth_entries(long: &Costs, short: &Costs) -> Vec<Entry> {
    let baseline = "a log of 100,000 events";
    let costs = [
        ("growth.append", &long.append, &short.append),
        ("growth.append.64", &long.append_64, &short.append_64),
        ("growth.tail", &long.tail, &short.tail),
    ];
    costs
        .into_iter()
        .flat_map(|(name, long, short)| {
            [
                Entry::p50(name, long, baseline, short),
                Entry::p99(&format!("{name}.p99_ms"), long, baseline, short),
            ]
        })
        .collect()
}

impl Results {
    /// Draws what was measured.
    pub(crate) fn plot(&self, folder: &Path) -> Result<()> {
        std::fs::create_dir_all(folder)?;
        if !self.contests.is_empty() {
            let rates = self.lines(Measured::rate);
            let axis = self.callers();
            let file = folder.join("throughput.svg");
            plot::lines(
                &file,
                "Durable commands, one event each",
                "commands per second",
                &axis,
                &rates,
            )?;
            let p99s = self.lines(Measured::p99_ms);
            let file = folder.join("p99.svg");
            plot::lines(
                &file,
                "99th percentile of their latency",
                "milliseconds",
                &axis,
                &p99s,
            )?;
        }
        let growth = self.entries.iter().filter(|entry| {
            ["growth.append", "growth.append.64", "growth.tail"].contains(&&*entry.name)
        });
        let growth = Bars::of(
            growth.collect(),
            "a log of 10,000,000 events",
            "a log of 100,000 events",
        );
        growth.draw(
            &folder.join("growth.svg"),
            "Latency (median) as the log grows",
            "milliseconds",
        )?;
        let reading = self
            .entries
            .iter()
            .filter(|entry| entry.name == "feed_read" || entry.name.starts_with("rebuild."));
        Bars::of(reading.collect(), "ours", "baseline").draw(
            &folder.join("reading.svg"),
            "Reading the log, and rebuilding from it",
            "events per second",
        )
    }

    fn callers(&self) -> Axis {
        let ticks = self
            .contests
            .iter()
            .map(|contest| contest.callers.to_string());
        Axis {
            label: "callers at once".to_owned(),
            ticks: ticks.collect(),
        }
    }

    fn lines(&self, read: fn(&Measured) -> f64) -> Vec<Line> {
        type Side = fn(&Contest) -> &Measured;
        let sides: [(&str, Side); 5] = [
            ("append, in process", |contest| &contest.append),
            ("command, in process", |contest| &contest.command),
            ("command over HTTP", |contest| &contest.http),
            (BARE_INSERT, |contest| &contest.insert),
            (POSTGRES_ES, |contest| &contest.postgres_es),
        ];
        let line = |(label, side): (&str, Side)| Line {
            label: label.to_owned(),
            values: self
                .contests
                .iter()
                .map(|contest| read(side(contest)))
                .collect(),
        };
        sides.into_iter().map(line).collect()
    }
}

/// Figures beside their baselines.
struct Bars<'a> {
    entries: Vec<&'a Entry>,
    labels: [&'a str; 2],
}

impl<'a> Bars<'a> {
    fn of(entries: Vec<&'a Entry>, ours: &'a str, baseline: &'a str) -> Self {
        Self {
            entries,
            labels: [baseline, ours],
        }
    }

    /// Nothing where nothing was measured.
    fn draw(&self, file: &Path, title: &str, unit: &str) -> Result<()> {
        if self.entries.is_empty() {
            return Ok(());
        }
        let axis = Axis {
            label: String::new(),
            ticks: self
                .entries
                .iter()
                .map(|entry| entry.name.clone())
                .collect(),
        };
        let [baseline, ours] = self.labels;
        let line = |label: &str, read: fn(&Entry) -> f64| Line {
            label: label.to_owned(),
            values: self.entries.iter().map(|entry| read(entry)).collect(),
        };
        let lines = [
            line(ours, |entry| entry.value),
            line(baseline, |entry| entry.baseline_value.unwrap_or_default()),
        ];
        plot::bars(file, title, unit, &axis, &lines)
    }
}
