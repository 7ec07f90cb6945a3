//! Figures made of what was measured, and pictures of them.

use std::path::Path;

use anyhow::Result;

use crate::baseline::{BARE_INSERT, POSTGRES_ES, POSTGRES_ES_TUNED};
use crate::growth::Costs;
use crate::load::Measured;
use crate::machine::Machine;
use crate::plot::{self, Axis, Line, Scale};
use crate::report::Entry;

/// Numbers of callers that have a figure of their own.
pub(crate) const NAMED: [usize; 3] = [1, 16, 64];

const IN_PROCESS: &str = "the same command in process";

/// Figures, and the curves behind them.
pub(crate) struct Results {
    pub(crate) machine: Machine,
    pub(crate) entries: Vec<Entry>,
    pub(crate) contests: Vec<Contest>,
}

/// Ours and the others at one number of callers.
#[derive(Default)]
pub(crate) struct Contest {
    pub(crate) callers: usize,
    pub(crate) append: Measured,
    pub(crate) command: Measured,
    pub(crate) http: Measured,
    pub(crate) insert: Measured,
    pub(crate) postgres_es: Measured,
    pub(crate) postgres_es_tuned: Measured,
}

pub(crate) fn command_entries(contests: &[Contest]) -> Vec<Entry> {
    let named = |contest: &&Contest| NAMED.contains(&contest.callers);
    contests.iter().filter(named).flat_map(entries_of).collect()
}

/// What is appended only: the rest waits for the same disk.
pub(crate) fn slow_disk_entries(contests: &[Contest]) -> Vec<Entry> {
    let entries = contests.iter().flat_map(entries_of);
    entries
        .filter(|entry| entry.name.starts_with("append."))
        .map(|entry| Entry {
            name: format!("slow_disk.{}", entry.name),
            ..entry
        })
        .collect()
}

fn entries_of(contest: &Contest) -> Vec<Entry> {
    let callers = contest.callers;
    let (append, command, http) = (&contest.append, &contest.command, &contest.http);
    let (insert, postgres_es) = (&contest.insert, &contest.postgres_es);
    let tuned = &contest.postgres_es_tuned;
    let named = |figure: &str| format!("{figure}.{callers}");
    let p99 = |figure: &str| format!("{figure}.{callers}.p99_ms");
    let rate = "commands/s";
    let mut entries = vec![
        Entry::rate(&named("append"), rate, append, BARE_INSERT, insert),
        Entry::rate(&named("append"), rate, append, POSTGRES_ES, postgres_es),
        Entry::rate(&named("append"), rate, append, POSTGRES_ES_TUNED, tuned),
        Entry::p99(&p99("append"), append, BARE_INSERT, insert),
        Entry::p99(&p99("append"), append, POSTGRES_ES, postgres_es),
        Entry::rate(&named("command"), rate, command, POSTGRES_ES, postgres_es),
        Entry::rate(&named("command"), rate, command, POSTGRES_ES_TUNED, tuned),
        Entry::rate(&named("http_command"), rate, http, IN_PROCESS, command),
        Entry::p99(&p99("http_command"), http, IN_PROCESS, command),
    ];
    if callers == 1 {
        entries.insert(
            3,
            Entry::p50("append.1.p50_ms", append, BARE_INSERT, insert),
        );
    }
    entries
}

pub(crate) fn growth_entries(long: &Costs, short: &Costs) -> Vec<Entry> {
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
                Scale::Linear,
                &axis,
                &rates,
            )?;
            let p99s = self.lines(Measured::p99_ms);
            let file = folder.join("p99.svg");
            plot::lines(
                &file,
                "99th percentile of their latency",
                "milliseconds",
                Scale::Doubling,
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
        let sides: [(&str, Side); 6] = [
            ("append, in process", |contest| &contest.append),
            ("command, in process", |contest| &contest.command),
            ("command over HTTP", |contest| &contest.http),
            (BARE_INSERT, |contest| &contest.insert),
            ("postgres-es, default pool", |contest| &contest.postgres_es),
            ("postgres-es, a connection per caller", |contest| {
                &contest.postgres_es_tuned
            }),
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

/// Ours and the other stores, a group for each number of callers.
pub(crate) fn plot_peers(folder: &Path, entries: &[Entry]) -> Result<()> {
    std::fs::create_dir_all(folder)?;
    let at = |figure: &str, callers: usize, baseline: Option<&str>| {
        entries.iter().find(|entry| {
            entry.name == format!("{figure}.{callers}")
                && baseline.is_none_or(|baseline| entry.baseline == baseline)
        })
    };
    let ours = |label: &str, figure: &str| Line {
        label: label.to_owned(),
        values: NAMED
            .iter()
            .map(|callers| at(figure, *callers, None).map_or(0.0, |entry| entry.value))
            .collect(),
    };
    let mut lines = vec![
        ours("ours, append in process", "append"),
        ours("ours, command over HTTP", "http_command"),
    ];
    let first = format!("append.{}", NAMED[0]);
    for peer in entries.iter().filter(|entry| entry.name == first) {
        let value = |callers: &usize| {
            let entry = at("append", *callers, Some(&peer.baseline));
            entry.and_then(|entry| entry.baseline_value).unwrap_or(0.0)
        };
        lines.push(Line {
            label: peer.baseline.clone(),
            values: NAMED.iter().map(value).collect(),
        });
    }
    let axis = Axis {
        label: "callers at once".to_owned(),
        ticks: NAMED.iter().map(usize::to_string).collect(),
    };
    plot::bars(
        &folder.join("peers.svg"),
        "Durable commands, one event each, beside other event stores",
        "commands per second",
        &axis,
        &lines,
    )
}
