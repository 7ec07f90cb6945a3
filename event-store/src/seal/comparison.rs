//! The log beside the leaves that were signed for: which events are not where they were.

use std::collections::BTreeMap;

use super::findings::{Finding, LISTED_MAX};
use super::leaf;
use super::merkle::Hash;

/// How many vacant places to either side of a row are tried for it.
const TRIED_MAX: usize = 256;
/// How many rows are tried in vain before others are taken for altered.
const HOMELESS_MAX: usize = 1_000;
/// How many findings are kept until there are enough that come first.
const FOUND_MAX: usize = 100_000;
/// How many vacant places may still be somebody's.
const VACANT_MAX: usize = 100_000;

fn join(found: &mut Vec<Finding>, next: Finding) {
    let last = found.last_mut();
    if !last.is_some_and(|last| last.takes(&next)) {
        found.push(next);
    }
}

/// The log beside the leaves that were signed for, one stretch after the other.
pub(super) struct Comparison {
    /// The next position that should come.
    next: i64,
    /// Rows that are not what was signed for at their position, in order, as long as their own may still be found.
    strays: Vec<(i64, Vec<u8>)>,
    /// Positions whose event was not seen, with its leaf.
    vacant: BTreeMap<i64, Hash>,
    /// By how much the last row was moved.
    by: i64,
    found: Vec<Finding>,
    /// How many more there are than are kept.
    unlisted: u64,
}

impl Comparison {
    /// Of the log from a position on.
    pub(super) fn new(from: i64) -> Self {
        Self {
            next: from,
            strays: Vec::new(),
            vacant: BTreeMap::new(),
            by: 0,
            found: Vec::new(),
            unlisted: 0,
        }
    }

    /// Expects the events of these leaves, from position `begin` on.
    pub(super) fn stretch<'a>(&'a mut self, begin: i64, expected: &'a [Hash]) -> Stretch<'a> {
        Stretch {
            tried: self.strays.len(),
            log: self,
            begin,
            expected,
        }
    }

    /// What was found, in order, and how much more.
    pub(super) fn finish(mut self) -> (Vec<Finding>, u64) {
        for (position, _) in std::mem::take(&mut self.strays) {
            self.settle(position);
        }
        for position in std::mem::take(&mut self.vacant).into_keys() {
            join(&mut self.found, Finding::missing(position));
        }
        self.found.sort_by_key(Finding::place);
        (self.found, self.unlisted)
    }

    /// Where a row stood: as far away as the last one that was moved, or else anywhere near. Only positions from `from` on are
    /// tried.
    fn home(&self, position: i64, row: &[u8], from: i64) -> Option<i64> {
        let stood =
            |(home, leaf): (&i64, &Hash)| (leaf::hash_at(*home, row) == *leaf).then_some(*home);
        let as_before = match self.by {
            0 => None,
            by => self.vacant.get_key_value(&(position - by)),
        };
        let below = self.vacant.range(from.min(position)..position).rev();
        let above = self.vacant.range(from.max(position)..);
        let near = below.take(TRIED_MAX).chain(above.take(TRIED_MAX));
        as_before.into_iter().chain(near).find_map(stood)
    }

    fn moved(&mut self, position: i64, home: i64) {
        self.vacant.remove(&home);
        if position == home {
            return; // another row had come there first
        }
        self.by = position - home;
        let moved = Finding::Moved {
            from: position,
            to: position,
            by: self.by,
        };
        join(&mut self.found, moved);
    }

    /// A row that has no place of its own took another's, or none.
    fn settle(&mut self, position: i64) {
        let found = match self.vacant.remove(&position) {
            Some(_) => Finding::Altered {
                from: position,
                to: position,
            },
            None => Finding::Inserted { position },
        };
        join(&mut self.found, found);
    }

    /// What is kept in mind does not grow with the log.
    fn forget(&mut self) {
        if self.found.len() > FOUND_MAX {
            self.found.sort_by_key(Finding::place);
            self.unlisted += self.found.drain(LISTED_MAX..).count() as u64;
        }
        let many = self.strays.len().saturating_sub(HOMELESS_MAX);
        let settled: Vec<_> = self.strays.drain(..many).collect();
        for (position, _) in settled {
            self.settle(position);
        }
        while self.vacant.len() > VACANT_MAX
            && let Some((position, _)) = self.vacant.first_key_value()
        {
            let position = *position;
            match self
                .strays
                .binary_search_by_key(&position, |(stray, _)| *stray)
            {
                Ok(stray) => {
                    self.strays.remove(stray);
                    self.settle(position);
                }
                Err(_) => {
                    self.vacant.remove(&position);
                    let missing = Finding::missing(position);
                    join(&mut self.found, missing);
                }
            }
        }
    }
}

/// A part of the log that is compared.
pub(super) struct Stretch<'a> {
    log: &'a mut Comparison,
    /// How many strays are of earlier ones.
    tried: usize,
    begin: i64,
    expected: &'a [Hash],
}

impl Stretch<'_> {
    /// Takes the next row in order of positions.
    pub(super) fn row(&mut self, position: i64, leaf: Hash, row: &[u8]) {
        if position < self.log.next {
            // A position that came already.
            self.log.strays.push((position, row.to_vec()));
            return;
        }
        self.skip_to(position);
        self.log.next = position + 1;
        let expected = self.expected(position);
        if expected != Some(leaf) {
            self.log
                .vacant
                .extend(expected.map(|leaf| (position, leaf)));
            self.log.strays.push((position, row.to_vec()));
        }
    }

    /// Finds out where each event stood that is not where it was.
    pub(super) fn end(mut self) {
        self.skip_to(self.begin + self.expected.len() as i64);
        let mut in_vain = 0;
        for (at, (position, row)) in std::mem::take(&mut self.log.strays).into_iter().enumerate() {
            // Where an earlier stretch was vacant, those of earlier ones were tried already.
            let from = if at < self.tried {
                self.begin
            } else {
                i64::MIN
            };
            let home = match in_vain < HOMELESS_MAX {
                true => self.log.home(position, &row, from),
                false => None,
            };
            match home {
                Some(home) => self.log.moved(position, home),
                None => {
                    in_vain += usize::from(at >= self.tried);
                    self.log.strays.push((position, row));
                }
            }
        }
        self.log.forget();
    }

    /// Nothing stands at the positions before this one.
    fn skip_to(&mut self, position: i64) {
        for vacant in self.log.next..position {
            self.log
                .vacant
                .extend(self.expected(vacant).map(|leaf| (vacant, leaf)));
        }
        self.log.next = self.log.next.max(position);
    }

    fn expected(&self, position: i64) -> Option<Hash> {
        let index = usize::try_from(position - self.begin).ok()?;
        self.expected.get(index).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::super::findings::Findings;
    use super::super::merkle;
    use super::*;

    /// Rows as they were signed for: the position where a row holds it, and one byte that tells them apart.
    fn row(position: i64, content: u8) -> Vec<u8> {
        let mut row = vec![0; 6];
        row.extend(position.to_be_bytes());
        row.push(content);
        row
    }

    /// Whether they are compared at once or in stretches is the same.
    fn found(now: &[(i64, u8)]) -> Vec<String> {
        let at_once = found_in(8, now);
        for stretch in 1..8 {
            assert_eq!(found_in(stretch, now), at_once, "in stretches of {stretch}");
        }
        at_once
    }

    fn found_in(stretch: usize, now: &[(i64, u8)]) -> Vec<String> {
        let expected: Vec<Hash> = (1..=8).map(|n| merkle::leaf(&row(n, n as u8))).collect();
        let mut log = Comparison::new(1);
        for (index, expected) in expected.chunks(stretch).enumerate() {
            let begin = (index * stretch) as i64 + 1;
            let end = begin + expected.len() as i64;
            let mut compared = log.stretch(begin, expected);
            let within = now
                .iter()
                .filter(|(position, _)| (begin..end).contains(position));
            for (position, content) in within {
                let row = row(*position, *content);
                compared.row(*position, merkle::leaf(&row), &row);
            }
            compared.end();
        }
        let mut findings = Findings::default();
        findings.add(log.finish());
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

    /// More than are kept in mind, and a few behind them that changed places.
    #[test]
    fn what_is_kept_in_mind_is_bounded_and_forgets_no_finding() {
        let count = 2 * VACANT_MAX as i64;
        let expected: Vec<Hash> = (1..=count).map(|n| merkle::leaf(&row(n, 0))).collect();
        let mut log = Comparison::new(1);
        for (index, expected) in expected.chunks(60_000).enumerate() {
            let begin = index as i64 * 60_000 + 1;
            let mut compared = log.stretch(begin, expected);
            for position in begin..begin + expected.len() as i64 {
                // Altered at the beginning, and nothing until shortly before the end.
                let content = match position {
                    1..=1_500 => 1,
                    _ if position > count - 10 => 0,
                    _ => continue,
                };
                let row = row(position, content);
                compared.row(position, merkle::leaf(&row), &row);
            }
            compared.end();
            assert!(log.strays.len() <= HOMELESS_MAX && log.vacant.len() <= VACANT_MAX);
        }
        let mut findings = Findings::default();
        findings.add(log.finish());
        let found: Vec<String> = findings.finish().0.iter().map(Finding::to_string).collect();
        assert_eq!(
            found,
            [
                "positions 1 to 1500 altered".to_owned(),
                format!("positions 1501 to {} missing", count - 10)
            ]
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
