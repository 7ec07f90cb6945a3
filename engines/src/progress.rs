//! How a caller can show what takes its time.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

/// Told about each step. `what` names the step and is the same in all calls about it.
pub trait Progress: Send + Sync {
    fn started(&self, what: &str);
    /// `done` of `total` bytes.
    fn advanced(&self, what: &str, done: u64, total: u64);
    fn finished(&self, what: &str);
}

/// Shows nothing.
#[derive(Debug, Default, Clone, Copy)]
pub struct Silent;

impl Progress for Silent {
    fn started(&self, _what: &str) {}
    fn advanced(&self, _what: &str, _done: u64, _total: u64) {}
    fn finished(&self, _what: &str) {}
}

/// One spinner per step on standard error; nothing where that is not a terminal.
#[derive(Default)]
pub struct Spinners {
    all: MultiProgress,
    running: Mutex<HashMap<String, ProgressBar>>,
}

impl Spinners {
    fn with(&self, what: &str, act: impl FnOnce(&ProgressBar)) {
        let running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(bar) = running.get(what) {
            act(bar);
        }
    }
}

impl Progress for Spinners {
    fn started(&self, what: &str) {
        let bar = self.all.add(ProgressBar::new_spinner());
        bar.enable_steady_tick(Duration::from_millis(100));
        bar.set_message(what.to_owned());
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        running.insert(what.to_owned(), bar);
    }

    fn advanced(&self, what: &str, done: u64, total: u64) {
        self.with(what, |bar| {
            if bar.length() != Some(total) {
                bar.set_length(total);
                if let Ok(style) =
                    ProgressStyle::with_template("{spinner} {msg} {bytes}/{total_bytes}")
                {
                    bar.set_style(style);
                }
            }
            bar.set_position(done);
        });
    }

    fn finished(&self, what: &str) {
        self.with(what, ProgressBar::finish_and_clear);
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        running.remove(what);
    }
}
