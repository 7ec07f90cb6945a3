//! The benchmark's figures, as a list for machines and a table for people.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};

use crate::load::Measured;

/// One figure beside its baseline. `ratio` is value over baseline's value.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Entry {
    pub(crate) name: String,
    pub(crate) value: f64,
    pub(crate) unit: String,
    pub(crate) baseline: String,
    /// Neither where the baseline could not be had.
    pub(crate) baseline_value: Option<f64>,
    pub(crate) ratio: Option<f64>,
}

impl Entry {
    pub(crate) fn rate(
        name: &str,
        unit: &str,
        measured: &Measured,
        baseline: &str,
        other: &Measured,
    ) -> Self {
        Self::beside(name, measured.rate(), unit, baseline, Some(other.rate()))
    }

    pub(crate) fn p50(name: &str, measured: &Measured, baseline: &str, other: &Measured) -> Self {
        Self::beside(
            name,
            measured.p50_ms(),
            "ms",
            baseline,
            Some(other.p50_ms()),
        )
    }

    pub(crate) fn p99(name: &str, measured: &Measured, baseline: &str, other: &Measured) -> Self {
        Self::beside(
            name,
            measured.p99_ms(),
            "ms",
            baseline,
            Some(other.p99_ms()),
        )
    }

    pub(crate) fn beside(
        name: &str,
        value: f64,
        unit: &str,
        baseline: &str,
        baseline_value: Option<f64>,
    ) -> Self {
        Self {
            name: name.to_owned(),
            value,
            unit: unit.to_owned(),
            baseline: baseline.to_owned(),
            baseline_value,
            ratio: baseline_value.map(|other| value / other),
        }
    }
}

/// Puts the entries into the file. Those of an earlier run that have the same name and baseline give way; others stay.
pub(crate) fn merge_into(file: &Path, entries: &[Entry]) -> Result<()> {
    let mut all: Vec<Entry> = match fs::read(file) {
        Ok(text) => serde_json::from_slice(&text)
            .with_context(|| format!("{} is not a report", file.display()))?,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
        Err(error) => return Err(error).context("could not read the report"),
    };
    all.retain(|old| {
        !entries
            .iter()
            .any(|new| new.name == old.name && new.baseline == old.baseline)
    });
    all.extend_from_slice(entries);
    if let Some(folder) = file.parent() {
        fs::create_dir_all(folder)?;
    }
    fs::write(file, serde_json::to_vec_pretty(&all)?)
        .with_context(|| format!("could not write {}", file.display()))
}

pub(crate) fn table(entries: &[Entry]) -> String {
    let mut table =
        "| Figure | Value | Baseline | Baseline's value | Ratio |\n|---|---:|---|---:|---:|\n"
            .to_owned();
    for entry in entries {
        let digits = usize::from(entry.unit == "ms") * 2;
        let figure = |value: Option<f64>| {
            value.map_or("–".to_owned(), |value| {
                format!("{value:.digits$} {}", entry.unit)
            })
        };
        let ratio = entry
            .ratio
            .map_or("–".to_owned(), |ratio| format!("{ratio:.2}"));
        writeln!(
            table,
            "| `{}` | {} | {} | {} | {ratio} |",
            entry.name,
            figure(Some(entry.value)),
            entry.baseline,
            figure(entry.baseline_value),
        )
        .expect("a string takes everything");
    }
    table
}

/// Replaces what stands between `<!-- NAME -->` and `<!-- /NAME -->`.
pub(crate) fn rewrite(file: &Path, name: &str, content: &str) -> Result<()> {
    let text =
        fs::read_to_string(file).with_context(|| format!("could not read {}", file.display()))?;
    let (open, close) = (format!("<!-- {name} -->\n"), format!("<!-- /{name} -->"));
    let from = text
        .find(&open)
        .with_context(|| format!("{} has no {}", file.display(), open.trim()))?
        + open.len();
    let length = text[from..]
        .find(&close)
        .with_context(|| format!("{} has no {close}", file.display()))?;
    let text = format!("{}{content}{}", &text[..from], &text[from + length..]);
    fs::write(file, text).with_context(|| format!("could not write {}", file.display()))
}
