//! The demo's table.

use std::io::Write as _;
use std::time::Duration;

use anyhow::Result;

/// Counts that must agree, and figures that are only told.
#[derive(Default)]
pub(super) struct Report {
    counts: Vec<(String, u64, u64)>,
    measures: Vec<(String, String)>,
}

impl Report {
    pub(super) fn count(&mut self, what: impl Into<String>, expected: u64, actual: u64) {
        self.counts.push((what.into(), expected, actual));
    }

    pub(super) fn measure(&mut self, what: impl Into<String>, figure: String) {
        self.measures.push((what.into(), figure));
    }

    pub(super) fn rate(&mut self, what: &str, number: usize, took: Duration) {
        let per_second = number as f64 / took.as_secs_f64();
        self.measure(
            format!("{what} over HTTP"),
            format!("{number} in {:.1} s, {per_second:.0}/s", took.as_secs_f64()),
        );
    }

    /// Prints it and answers whether all counts agree.
    pub(super) fn print(&self) -> Result<bool> {
        let mut out = std::io::stdout().lock();
        writeln!(out, "\n{:<58} {:>12} {:>12}", "count", "manifest", "actual")?;
        for (what, expected, actual) in &self.counts {
            let verdict = if expected == actual { "" } else { "  DIFFERS" };
            writeln!(out, "{what:<58} {expected:>12} {actual:>12}{verdict}")?;
        }
        writeln!(out)?;
        for (what, figure) in &self.measures {
            writeln!(out, "{what:<58} {figure:>25}")?;
        }
        let differing = self
            .counts
            .iter()
            .filter(|(_, expected, actual)| expected != actual)
            .count();
        match differing {
            0 => writeln!(out, "\nAll {} counts are equal.", self.counts.len())?,
            _ => writeln!(out, "\n{differing} of {} counts differ.", self.counts.len())?,
        }
        Ok(differing == 0)
    }
}
