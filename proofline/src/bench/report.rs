//! The benchmark's figures.

use std::fs;
use std::io::Write as _;
use std::path::Path;

use anyhow::{Context as _, Result};
use serde::Serialize;

use super::load::Measured;

/// One figure beside its baseline. `ratio` is value over baseline.
#[derive(Serialize)]
pub(super) struct Entry {
    name: String,
    value: f64,
    unit: &'static str,
    baseline: &'static str,
    baseline_value: f64,
    ratio: f64,
}

impl Entry {
    pub(super) fn rate(
        name: &str,
        unit: &'static str,
        measured: &Measured,
        baseline: &'static str,
        other: &Measured,
    ) -> Self {
        Self::new(name, measured.rate(), unit, baseline, other.rate())
    }

    pub(super) fn p99(
        name: &str,
        measured: &Measured,
        baseline: &'static str,
        other: &Measured,
    ) -> Self {
        Self::new(name, measured.p99_ms(), "ms", baseline, other.p99_ms())
    }

    fn new(
        name: &str,
        value: f64,
        unit: &'static str,
        baseline: &'static str,
        baseline_value: f64,
    ) -> Self {
        Self {
            name: name.to_owned(),
            value,
            unit,
            baseline,
            baseline_value,
            ratio: value / baseline_value,
        }
    }
}

#[derive(Default)]
pub(super) struct Report {
    entries: Vec<Entry>,
}

impl Report {
    pub(super) fn add(&mut self, entry: Entry) {
        self.entries.push(entry);
    }

    /// As JSON into the file and as a Markdown table to standard output.
    pub(super) fn write(&self, out: &Path) -> Result<()> {
        if let Some(parent) = out.parent() {
            fs::create_dir_all(parent)?;
        }
        fs::write(out, serde_json::to_vec_pretty(&self.entries)?)
            .with_context(|| format!("could not write {}", out.display()))?;
        let mut stdout = std::io::stdout().lock();
        writeln!(
            stdout,
            "| Figure | Value | Baseline | Baseline's value | Ratio |\n|---|---:|---|---:|---:|"
        )?;
        for entry in &self.entries {
            let digits = if entry.unit == "ms" { 2 } else { 0 };
            writeln!(
                stdout,
                "| `{}` | {:.digits$} {} | {} | {:.digits$} {} | {:.2} |",
                entry.name,
                entry.value,
                entry.unit,
                entry.baseline,
                entry.baseline_value,
                entry.unit,
                entry.ratio
            )?;
        }
        Ok(())
    }
}
