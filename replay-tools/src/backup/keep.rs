//! How long backups are kept.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, Datelike as _, Utc};

/// The newest backup of each of so many days, weeks and months on which there is one. The newest of all is always kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keep {
    pub days: usize,
    pub weeks: usize,
    pub months: usize,
}

impl Keep {
    /// Those of the moments whose backups may go.
    pub(super) fn superseded(self, taken_at: &[DateTime<Utc>]) -> BTreeSet<DateTime<Utc>> {
        let newest_first: BTreeSet<_> = taken_at.iter().copied().collect();
        let (mut days, mut weeks, mut months) = Default::default();
        let superseded = newest_first.iter().rev().enumerate();
        let superseded = superseded.filter(|(place, moment)| {
            let (date, week) = (moment.date_naive(), moment.iso_week());
            // Every one of the three counts, so none is left out.
            let kept = [
                is_first_of(&mut days, date, self.days),
                is_first_of(&mut weeks, (week.year(), week.week()), self.weeks),
                is_first_of(&mut months, (moment.year(), moment.month()), self.months),
            ];
            *place > 0 && !kept.contains(&true)
        });
        superseded.map(|(_, moment)| *moment).collect()
    }
}

/// Whether it begins another period, of which there are no more than so many.
fn is_first_of<P: Ord>(seen: &mut BTreeSet<P>, period: P, max: usize) -> bool {
    seen.len() < max && seen.insert(period)
}

impl fmt::Display for Keep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}d,{}w,{}m", self.days, self.weeks, self.months)
    }
}

/// Why a text says nothing of how long to keep backups.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected days, weeks and months such as 7d,4w,12m")]
pub struct KeepError;

impl FromStr for Keep {
    type Err = KeepError;

    fn from_str(text: &str) -> Result<Self, KeepError> {
        let mut keep = Self {
            days: 0,
            weeks: 0,
            months: 0,
        };
        for part in text.split(',') {
            let unit = part.chars().last().ok_or(KeepError)?;
            let count = part.strip_suffix(unit).and_then(|count| count.parse().ok());
            let count = count.ok_or(KeepError)?;
            match unit {
                'd' => keep.days = count,
                'w' => keep.weeks = count,
                'm' => keep.months = count,
                _ => return Err(KeepError),
            }
        }
        Ok(keep)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn superseded(keep: &str, taken_at: &[&str]) -> Vec<String> {
        let moments: Vec<_> = taken_at
            .iter()
            .map(|day| format!("2026-{day}:00:00Z").parse().unwrap())
            .collect();
        let superseded = keep.parse::<Keep>().unwrap().superseded(&moments);
        let text = superseded
            .iter()
            .map(|moment| moment.format("%m-%dT%H").to_string());
        text.collect()
    }

    #[test]
    fn the_newest_of_each_day_week_and_month_is_kept() {
        let taken = ["11-19T01", "11-19T13", "11-20T01", "11-21T01", "11-21T13"];
        assert_eq!(
            superseded("2d", &taken),
            ["11-19T01", "11-19T13", "11-21T01"]
        );
        assert_eq!(superseded("0d", &taken).len(), 4, "the newest stays");
        // 2026-11-16 is a Monday.
        let weekly = ["10-30T01", "11-15T01", "11-16T01", "11-17T01"];
        assert_eq!(superseded("1d,2w", &weekly), ["10-30T01", "11-16T01"]);
        assert_eq!(superseded("1d,2w,2m", &weekly), ["11-16T01"]);
        assert_eq!(superseded("1d", &[]), Vec::<String>::new());
    }

    #[test]
    fn what_is_kept_is_said_in_days_weeks_and_months() {
        let keep: Keep = "7d,4w,12m".parse().unwrap();
        assert_eq!(keep.to_string(), "7d,4w,12m");
        assert_eq!("3w".parse::<Keep>().unwrap().to_string(), "0d,3w,0m");
        for bad in ["", "7", "d", "7y", "7d,", "-1d", "7 d"] {
            assert_eq!(bad.parse::<Keep>(), Err(KeepError), "{bad}");
        }
    }
}
