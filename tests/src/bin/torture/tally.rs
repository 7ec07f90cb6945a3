//! What was done, and what must not have happened.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Counts for the summary.
#[derive(Default)]
pub(crate) struct Tally(Mutex<Counts>);

#[derive(Default)]
struct Counts {
    faults: BTreeMap<String, u64>,
    failed_starts: u64,
    died: Vec<String>,
}

impl Tally {
    pub(crate) fn fault(&self, kind: &str) {
        *self.counts().faults.entry(kind.to_owned()).or_default() += 1;
    }

    /// A process ended before it was ready, and was started again.
    pub(crate) fn failed_start(&self) {
        self.counts().failed_starts += 1;
    }

    /// A process that served ended by itself.
    pub(crate) fn died(&self, name: &str, why: &str) {
        tracing::error!(name, why, "a participant ended by itself");
        self.counts().died.push(format!("{name}: {why}"));
    }

    pub(crate) fn deaths(&self) -> usize {
        self.counts().died.len()
    }

    pub(crate) fn faults(&self) -> u64 {
        self.counts().faults.values().sum()
    }

    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counts = self.counts();
        for (kind, count) in &counts.faults {
            writeln!(f, "{count:>6}  {kind}")?;
        }
        let all: u64 = counts.faults.values().sum();
        writeln!(f, "{all:>6}  faults")?;
        writeln!(
            f,
            "{:>6}  starts while an engine was down, repeated",
            counts.failed_starts
        )?;
        write!(
            f,
            "{:>6}  participants that ended by themselves",
            counts.died.len()
        )?;
        for death in &counts.died {
            write!(f, "\n        {death}")?;
        }
        Ok(())
    }
}
