//! How far a rebuild is, for whoever watches.

use tokio::sync::watch;

/// What a rebuild is doing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Stage {
    #[default]
    Preparing,
    /// Reading the log, for the given time where memory does not hold the whole at once.
    Folding {
        pass: u32,
    },
    Loading,
    Indexing,
    CatchingUp,
    Comparing,
}

/// How far it is with that.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progressed {
    pub stage: Stage,
    /// Positions of the log.
    pub done: i64,
    /// Where the stage ends; 0 where that is not counted.
    pub total: i64,
}

/// Tells those who watch. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Tracker(watch::Sender<Progressed>);

impl Default for Tracker {
    fn default() -> Self {
        Self(watch::Sender::new(Progressed::default()))
    }
}

impl Tracker {
    pub fn watch(&self) -> watch::Receiver<Progressed> {
        self.0.subscribe()
    }

    pub(super) fn begin(&self, stage: Stage) {
        self.set(Progressed {
            stage,
            ..Progressed::default()
        });
    }

    pub(super) fn begin_pass(&self, pass: u32, total: i64) {
        self.set(Progressed {
            stage: Stage::Folding { pass },
            done: 0,
            total,
        });
    }

    pub(super) fn reached(&self, position: i64) {
        self.0.send_modify(|progressed| progressed.done = position);
    }

    fn set(&self, progressed: Progressed) {
        self.0.send_replace(progressed);
    }
}
