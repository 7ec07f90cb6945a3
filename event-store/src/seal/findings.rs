//! What a comparison of the log with its seals finds, put into words and ranges.

use std::collections::BTreeSet;
use std::fmt;

use uuid::Uuid;

use super::leaf;
use super::merkle::Hash;

/// Findings that are listed; the others are counted.
const LISTED_MAX: usize = 1_000;
/// How many vacant places to either side of a row are tried for it.
const TRIED_MAX: usize = 256;
/// How many rows of a stretch are tried in vain before the others are taken for altered.
const HOMELESS_MAX: usize = 1_000;

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

    pub(super) fn add(&mut self, compared: Compared<'_>) {
        for finding in compared.found {
            self.push(finding);
        }
    }

    fn push(&mut self, finding: Finding) {
        use Finding::{Altered, Missing, Moved};
        match (self.listed.last_mut(), &finding) {
            (Some(Altered { to: last, .. }), Altered { from, to })
            | (Some(Missing { to: last, .. }), Missing { from, to })
                if *from == *last + 1 =>
            {
                *last = *to;
            }
            (
                Some(Moved {
                    to: last, by: same, ..
                }),
                Moved { from, to, by },
            ) if *from == *last + 1 && by == same => *last = *to,
            _ => {
                self.count += 1;
                if self.listed.len() < LISTED_MAX {
                    self.listed.push(finding);
                }
            }
        }
    }

    /// Those that are listed, and how many there are.
    pub(super) fn finish(self) -> (Vec<Finding>, u64) {
        (self.listed, self.count)
    }
}

/// A stretch of the log beside the leaves that were signed for.
pub(super) struct Compared<'a> {
    begin: i64,
    expected: &'a [Hash],
    /// The next position that should come.
    next: i64,
    /// Rows that are not what was signed for at their position.
    strays: Vec<(i64, Vec<u8>)>,
    /// Positions whose event was not seen there.
    vacant: BTreeSet<i64>,
    found: Vec<Finding>,
}

impl<'a> Compared<'a> {
    /// Expects the events of these leaves from position `begin` on.
    pub(super) fn new(begin: i64, expected: &'a [Hash]) -> Self {
        Self {
            begin,
            expected,
            next: begin,
            strays: Vec::new(),
            vacant: BTreeSet::new(),
            found: Vec::new(),
        }
    }

    /// Takes the next row in order of positions.
    pub(super) fn row(&mut self, position: i64, leaf: Hash, row: &[u8]) {
        if position < self.next {
            // A position that came already.
            self.strays.push((position, row.to_vec()));
            return;
        }
        self.vacant.extend(self.next..position);
        self.next = position + 1;
        if self.expected(position) != Some(leaf) {
            self.vacant.insert(position);
            self.strays.push((position, row.to_vec()));
        }
    }

    fn expected(&self, position: i64) -> Option<Hash> {
        let index = usize::try_from(position - self.begin).ok()?;
        self.expected.get(index).copied()
    }

    /// Says what became of each event that is not where it was.
    pub(super) fn classify(&mut self) {
        let end = self.begin + self.expected.len() as i64;
        self.vacant.extend(self.next..end);
        let strays = std::mem::take(&mut self.strays);
        let mut by = 0;
        let mut found = Vec::new();
        let mut left: Vec<i64> = Vec::new();
        for (position, row) in &strays {
            let home = match left.len() < HOMELESS_MAX {
                true => self.home(*position, row, by),
                false => None,
            };
            match home {
                Some(home) => {
                    by = position - home;
                    found.push(Finding::Moved {
                        from: *position,
                        to: *position,
                        by,
                    });
                    self.vacant.remove(&home);
                }
                None => left.push(*position),
            }
        }
        // What is left has no place of its own: it took another's, or none.
        for position in left {
            found.push(if self.vacant.remove(&position) {
                Finding::Altered {
                    from: position,
                    to: position,
                }
            } else {
                Finding::Inserted { position }
            });
        }
        let missing = self.vacant.iter().map(|vacant| Finding::Missing {
            from: *vacant,
            to: *vacant,
        });
        found.extend(missing);
        found.sort_by_key(Finding::place);
        self.found = found;
    }

    /// Where a row stood: as far away as the last one that was moved, or else anywhere near.
    fn home(&self, position: i64, row: &[u8], by: i64) -> Option<i64> {
        let stood = |home: &i64| {
            self.expected(*home)
                .is_some_and(|leaf| leaf::hash_at(*home, row) == leaf)
        };
        let as_before = position - by;
        let below = self.vacant.range(..position).rev().take(TRIED_MAX);
        let above = self.vacant.range(position..).take(TRIED_MAX);
        [as_before]
            .into_iter()
            .filter(|home| by != 0 && self.vacant.contains(home))
            .chain(below.chain(above).copied())
            .find(stood)
    }
}

impl Finding {
    /// Where it belongs in the list.
    fn place(&self) -> i64 {
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

#[cfg(test)]
mod tests {
    use super::super::merkle;
    use super::*;

    /// Rows as they were signed for: the position where a row holds it, and one byte that tells them apart.
    fn row(position: i64, content: u8) -> Vec<u8> {
        let mut row = vec![0; 6];
        row.extend(position.to_be_bytes());
        row.push(content);
        row
    }

    fn found(now: &[(i64, u8)]) -> Vec<String> {
        let expected: Vec<Hash> = (1..=8).map(|n| merkle::leaf(&row(n, n as u8))).collect();
        let mut compared = Compared::new(1, &expected);
        for (position, content) in now {
            let row = row(*position, *content);
            compared.row(*position, merkle::leaf(&row), &row);
        }
        compared.classify();
        let mut findings = Findings::default();
        findings.add(compared);
        findings.finish().0.iter().map(Finding::to_string).collect()
    }

    /// Eight events, of which some are not where they were.
    fn rows(change: impl Fn(&mut Vec<(i64, u8)>)) -> Vec<(i64, u8)> {
        let mut rows: Vec<(i64, u8)> = (1..=8).map(|n| (n, n as u8)).collect();
        change(&mut rows);
        rows
    }

    #[test]
    fn a_log_as_it_was_signed_for_is_clean() {
        assert!(found(&rows(|_| {})).is_empty());
    }

    #[test]
    fn each_kind_of_alteration_is_named_with_its_position() {
        assert_eq!(found(&rows(|rows| rows[2].1 = 99)), ["position 3 altered"]);
        assert_eq!(
            found(&rows(|rows| _ = rows.remove(2))),
            ["position 3 missing"]
        );
        assert_eq!(
            found(&rows(|rows| rows.truncate(5))),
            ["positions 6 to 8 missing"]
        );
        assert_eq!(
            found(&rows(|rows| (rows[2].1, rows[5].1) = (6, 3))),
            ["position 3 moved down by 3", "position 6 moved up by 3"]
        );
        assert_eq!(
            found(&rows(|rows| rows.insert(3, (3, 99)))),
            ["position 3 inserted"]
        );
    }

    /// An event put in, and all behind it moved on: as far as the seals reach, the last one is missing.
    #[test]
    fn an_event_that_shifted_the_others_is_told_from_them() {
        let shifted = rows(|rows| {
            rows[2].1 = 99;
            for row in &mut rows[3..] {
                row.1 -= 1;
            }
        });
        assert_eq!(
            found(&shifted),
            [
                "position 3 inserted",
                "positions 4 to 8 moved up by 1",
                "position 8 missing"
            ]
        );
    }
}
