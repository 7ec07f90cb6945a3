//! A place in the log, by position or by time.

use std::fmt;
use std::str::FromStr;

use anyhow::{Context as _, Result, bail};
use chrono::{DateTime, Utc};
use clap::Args;
use event_store::{EventLog, Log as _};

/// When.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Moment {
    /// After the event there; 0 is before the first.
    Position(i64),
    /// After what was appended then or before.
    Time(DateTime<Utc>),
}

#[derive(Debug, Args)]
pub(super) struct MomentArgs {
    /// After the event at this position; 0 is before the first. By default the log's last.
    #[arg(long, conflicts_with = "time", value_parser = position)]
    position: Option<Moment>,
    /// After what was appended then or before, for instance 2026-11-21T12:00:00Z.
    #[arg(long, value_parser = time)]
    time: Option<Moment>,
}

impl MomentArgs {
    pub(super) fn moment(&self) -> Option<Moment> {
        self.position.or(self.time)
    }
}

/// The position after which things stood as at the moment; now where there is none.
pub(super) async fn resolve(log: &EventLog, moment: Option<Moment>) -> Result<i64> {
    let (head, _) = log.head().await.context("could not read the log's head")?;
    match moment {
        None => Ok(head),
        Some(Moment::Position(position)) if position > head => {
            bail!("position {position} is beyond the log, which ends at {head}")
        }
        Some(Moment::Position(position)) => Ok(position),
        Some(Moment::Time(time)) => log
            .position_at(time)
            .await
            .context("could not find the position that the log had reached at that time")?
            .with_context(|| format!("{time} is yet to come")),
    }
}

fn position(text: &str) -> Result<Moment, String> {
    match text.parse() {
        Ok(position) if position >= 0 => Ok(Moment::Position(position)),
        _ => Err("this is not a position such as 4711".to_owned()),
    }
}

fn time(text: &str) -> Result<Moment, String> {
    match DateTime::parse_from_rfc3339(text) {
        Ok(time) => Ok(Moment::Time(time.to_utc())),
        Err(_) => Err("this is not a time such as 2026-11-21T12:00:00Z".to_owned()),
    }
}

impl FromStr for Moment {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        position(text).or_else(|_| time(text)).map_err(|_| {
            "this is neither a position such as 4711 nor a time such as 2026-11-21T12:00:00Z"
                .to_owned()
        })
    }
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Position(position) => write!(f, "position {position}"),
            Self::Time(time) => write!(f, "{time}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_a_position_or_a_time_with_its_zone() {
        let noon = "2026-11-21T12:00:00Z".parse().unwrap();
        for (text, moment) in [
            ("0", Some(Moment::Position(0))),
            ("4711", Some(Moment::Position(4711))),
            ("2026-11-21T12:00:00Z", Some(Moment::Time(noon))),
            ("2026-11-21T13:00:00+01:00", Some(Moment::Time(noon))),
            ("2026-11-21T12:00:00", None),
            ("2026-11-21", None),
            ("-1", None),
            ("yesterday", None),
            ("9223372036854775808", None),
        ] {
            assert_eq!(text.parse().ok(), moment, "{text}");
        }
    }
}
