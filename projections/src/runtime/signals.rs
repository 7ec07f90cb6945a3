use std::sync::Arc;

use event_store::LogName;
use tokio::sync::watch;

/// Rung by whoever appends in this process, so that projections need not wait for their next poll. A hint: what is
/// never rung for is found by polling. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Wake {
    events: Arc<watch::Sender<()>>,
    telemetry: Arc<watch::Sender<()>>,
}

impl Default for Wake {
    fn default() -> Self {
        Self {
            events: Arc::new(watch::Sender::new(())),
            telemetry: Arc::new(watch::Sender::new(())),
        }
    }
}

impl Wake {
    /// Something may have been appended to the log.
    pub fn ring(&self, log: LogName) {
        self.bell(log).send_replace(());
    }

    pub(crate) fn listen(&self, log: LogName) -> watch::Receiver<()> {
        self.bell(log).subscribe()
    }

    fn bell(&self, log: LogName) -> &watch::Sender<()> {
        match log {
            LogName::Events => &self.events,
            LogName::Telemetry => &self.telemetry,
        }
    }
}

/// Changes whenever a projection of this process moves on. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Progress(Arc<watch::Sender<()>>);

impl Default for Progress {
    fn default() -> Self {
        Self(Arc::new(watch::Sender::new(())))
    }
}

impl Progress {
    pub(crate) fn moved(&self) {
        self.0.send_replace(());
    }

    pub(crate) fn listen(&self) -> watch::Receiver<()> {
        self.0.subscribe()
    }
}
