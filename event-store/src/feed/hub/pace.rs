use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{sleep, timeout};

use super::hints::Hints;

/// Between two reads under load; each serves all who have waited for it.
const SHORTEST: Duration = Duration::from_millis(5);
/// Between two looks at a quiet log that nothing announces.
const QUIET: Duration = Duration::from_millis(50);
/// The same where others announce what they append.
const ANNOUNCED: Duration = Duration::from_millis(500);
const FAILED_FIRST: Duration = Duration::from_millis(50);
const FAILED_LONGEST: Duration = Duration::from_secs(1);

/// When to read next.
pub(super) struct Pace {
    pause: Duration,
    /// Whether the next read follows at once.
    hurry: bool,
    /// Whether the last pause was over before anybody said that the log has grown.
    unannounced: bool,
    /// Hints heard before the last pause.
    heard: u64,
    /// Whether hints come. Not so where another process appends without announcing it, or where a connection is gone
    /// without a word; then what it appended is found by a look after a long pause.
    trusted: bool,
    failing: bool,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            pause: SHORTEST,
            hurry: true,
            unannounced: false,
            heard: 0,
            trusted: true,
            failing: false,
        }
    }
}

impl Pace {
    pub(super) fn read(&mut self, found: bool, more: bool) {
        self.failing = false;
        self.hurry = more;
        if found {
            self.trusted &= !(self.unannounced && self.pause > QUIET);
            self.pause = SHORTEST;
        } else {
            self.pause *= 2;
        }
    }

    pub(super) fn failed(&mut self) {
        self.hurry = false;
        self.pause = if self.failing {
            (self.pause * 2).min(FAILED_LONGEST)
        } else {
            FAILED_FIRST
        };
        self.failing = true;
    }

    pub(super) async fn rest(&mut self, bell: &Notify, hints: &Hints, found: bool) {
        if self.hurry {
            return;
        }
        if self.failing {
            sleep(self.pause).await;
            return;
        }
        let heard = hints.heard();
        self.trusted |= heard != self.heard;
        self.heard = heard;
        let longest = if self.trusted && hints.is_listening() {
            ANNOUNCED
        } else {
            QUIET
        };
        self.pause = self.pause.clamp(SHORTEST, longest);
        if found {
            // Under load the bell rings all the time.
            sleep(SHORTEST).await;
        }
        self.unannounced = timeout(self.pause, bell.notified()).await.is_err();
    }
}
