//! What a comparison of the log with its seals finds, put into words and ranges.

use std::fmt;

use uuid::Uuid;

/// Findings that are listed; the others are counted.
pub(super) const LISTED_MAX: usize = 1_000;

/// Something that is not as it was signed for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finding {
    /// The events at these positions are not the ones that were there.
    Altered { from: i64, to: i64 },
    /// Nothing stands at these positions.
    Missing { from: i64, to: i64 },
    /// The event at this position stands nowhere in what was signed for.
    Inserted { position: i64 },
    /// The events at these positions stood `by` positions before, or behind where it is negative.
    Moved { from: i64, to: i64, by: i64 },
    /// Which of these events were altered can't be told: no copy of their leaves is the one that was signed for.
    Unproven { from: i64, to: i64 },
    /// A signed head is not what it should be.
    Head { size: u64, why: String },
    /// The signing keys in the database are not what they should be.
    Keys { why: String },
    /// The log had another incarnation, which was sealed up to `sealed`; this one is the same up to `agreed` at least, and not
    /// up to there: a restore lost what came after, or somebody wrote it anew.
    Rewritten {
        incarnation: Uuid,
        agreed: u64,
        sealed: u64,
    },
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Altered { from, to } => write!(f, "{} altered", Positions(*from, *to)),
            Self::Missing { from, to } => write!(f, "{} missing", Positions(*from, *to)),
            Self::Inserted { position } => write!(f, "position {position} inserted"),
            Self::Moved { from, to, by } => {
                let (by, side) = (by.abs(), if *by > 0 { "up" } else { "down" });
                write!(f, "{} moved {side} by {by}", Positions(*from, *to))
            }
            Self::Unproven { from, to } => write!(
                f,
                "{}: something was altered, and so were the hashes that would tell what",
                Positions(*from, *to)
            ),
            Self::Head { size, why } => write!(f, "signed head at {size}: {why}"),
            Self::Keys { why } => write!(f, "signing keys: {why}"),
            Self::Rewritten {
                incarnation,
                agreed,
                sealed,
            } => write!(
                f,
                "log {incarnation}, which this one was before, was sealed up to {sealed}, and this one is the same up to {agreed} only: \
                 a restore lost the rest, or it was written anew"
            ),
        }
    }
}

/// `position 7` or `positions 7 to 9`.
struct Positions(i64, i64);

impl fmt::Display for Positions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 == self.1 {
            write!(f, "position {}", self.0)
        } else {
            write!(f, "positions {} to {}", self.0, self.1)
        }
    }
}

/// Findings in order, neighbours of one kind joined.
#[derive(Default)]
pub(super) struct Findings {
    listed: Vec<Finding>,
    count: u64,
}

impl Findings {
    pub(super) fn head(&mut self, size: u64, why: &str) {
        self.push(Finding::Head {
            size,
            why: why.to_owned(),
        });
    }

    pub(super) fn keys(&mut self, why: &str) {
        self.push(Finding::Keys {
            why: why.to_owned(),
        });
    }

    pub(super) fn rewritten(&mut self, incarnation: Uuid, agreed: u64, sealed: u64) {
        self.push(Finding::Rewritten {
            incarnation,
            agreed,
            sealed,
        });
    }

    pub(super) fn unproven(&mut self, from: i64, to: i64) {
        self.push(Finding::Unproven { from, to });
    }

    pub(super) fn inserted(&mut self, position: i64) {
        self.push(Finding::Inserted { position });
    }

    pub(super) fn add(&mut self, (found, unlisted): (Vec<Finding>, u64)) {
        for finding in found {
            self.push(finding);
        }
        self.count += unlisted;
    }

    fn push(&mut self, finding: Finding) {
        let last = self.listed.last_mut();
        if !last.is_some_and(|last| last.takes(&finding)) {
            self.count += 1;
            if self.listed.len() < LISTED_MAX {
                self.listed.push(finding);
            }
        }
    }

    /// Those that are listed, and how many there are.
    pub(super) fn finish(self) -> (Vec<Finding>, u64) {
        (self.listed, self.count)
    }
}

impl Finding {
    pub(super) fn missing(position: i64) -> Self {
        Self::Missing {
            from: position,
            to: position,
        }
    }

    /// Takes in what is of its kind and follows on it. Answers whether it did.
    pub(super) fn takes(&mut self, next: &Self) -> bool {
        use Finding::{Altered, Missing, Moved};
        match (self, next) {
            (Altered { to: last, .. }, Altered { from, to })
            | (Missing { to: last, .. }, Missing { from, to })
                if *from == *last + 1 =>
            {
                *last = *to;
                true
            }
            (
                Moved {
                    to: last, by: same, ..
                },
                Moved { from, to, by },
            ) if *from == *last + 1 && by == same => {
                *last = *to;
                true
            }
            _ => false,
        }
    }

    /// Where it belongs in the list.
    pub(super) fn place(&self) -> i64 {
        match self {
            Self::Altered { from, .. }
            | Self::Missing { from, .. }
            | Self::Moved { from, .. }
            | Self::Unproven { from, .. } => *from,
            Self::Inserted { position } => *position,
            Self::Head { .. } | Self::Keys { .. } | Self::Rewritten { .. } => 0,
        }
    }
}
