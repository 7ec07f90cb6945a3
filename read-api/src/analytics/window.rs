//! Which time to count, and in which steps.

use chrono::{DateTime, TimeDelta, Utc};
use platform::problem::{FieldError, Problem, ProblemKind};
use projections::telemetry_facts;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::query::{keep, time};

const HOURS_SPAN_MAX: TimeDelta = TimeDelta::days(31);
const DAYS_SPAN_MAX: TimeDelta = TimeDelta::days(400);

/// As it stands in the query string.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct WindowQuery {
    /// RFC 3339, with `+` written as `%2B`. Rounded down to a whole interval of UTC. Without it, for 24 hours up to `end`;
    /// by day, 30 days.
    #[param(format = DateTime, example = "2026-11-20T00:00:00Z")]
    start: Option<String>,
    /// RFC 3339, exclusive, after `start`. Rounded up to a whole interval of UTC. Without it, now.
    #[param(format = DateTime, example = "2026-11-21T00:00:00Z")]
    end: Option<String>,
    /// `hour`, for at most 31 days, or `day`, for at most 400.
    #[param(inline, value_type = Option<Interval>)]
    interval: Option<String>,
}

/// How wide the counted intervals are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum Interval {
    #[default]
    Hour,
    /// Of UTC.
    Day,
}

/// Whole intervals, the end exclusive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Window {
    pub(super) start: DateTime<Utc>,
    pub(super) end: DateTime<Utc>,
    pub(super) interval: Interval,
}

impl Window {
    /// Names every wrong parameter at once.
    pub(super) fn parse(query: &WindowQuery, now: DateTime<Utc>) -> Result<Self, Problem> {
        let mut errors = Vec::new();
        let start = keep(&mut errors, time("start", query.start.as_deref()));
        let end = keep(&mut errors, time("end", query.end.as_deref()));
        let interval = keep(&mut errors, Interval::parse(query.interval.as_deref()));
        match (start, end, interval) {
            (Some(start), Some(end), Some(interval)) => {
                let end = end.unwrap_or(now);
                let start = start.unwrap_or_else(|| interval.ceil(end) - interval.span_default());
                match Self::checked(start, end, interval) {
                    Ok(window) => return Ok(window),
                    Err(error) => errors.push(error),
                }
            }
            (Some(Some(start)), Some(Some(end)), None) if start >= end => errors.push(inverted()),
            (_, _, _) => {}
        }
        let problem = Problem::new(ProblemKind::InvalidParameter);
        Err(errors.into_iter().fold(problem, Problem::error))
    }

    fn checked(
        start: DateTime<Utc>,
        end: DateTime<Utc>,
        interval: Interval,
    ) -> Result<Self, FieldError> {
        if start >= end {
            return Err(inverted());
        }
        if end - start > interval.span_max() {
            let days = interval.span_max().num_days();
            let detail = format!("at most {days} days after `start` by {}", interval.name());
            return Err(FieldError::parameter("end", "window_too_long", detail));
        }
        Ok(Self {
            start: interval.floor(start),
            end: interval.ceil(end),
            interval,
        })
    }

    /// The beginnings of its intervals.
    pub(super) fn starts(self) -> impl Iterator<Item = DateTime<Utc>> {
        let step = self.interval.width();
        std::iter::successors(Some(self.start), move |start| Some(*start + step))
            .take_while(move |start| *start < self.end)
    }
}

impl Interval {
    fn parse(text: Option<&str>) -> Result<Self, FieldError> {
        match text {
            None => Ok(Self::default()),
            Some("hour") => Ok(Self::Hour),
            Some("day") => Ok(Self::Day),
            Some(_) => {
                let detail = "expected `hour` or `day`";
                Err(FieldError::parameter("interval", "unknown_variant", detail))
            }
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Hour => "hour",
            Self::Day => "day",
        }
    }

    const fn width(self) -> TimeDelta {
        match self {
            Self::Hour => TimeDelta::hours(1),
            Self::Day => TimeDelta::days(1),
        }
    }

    const fn span_default(self) -> TimeDelta {
        match self {
            Self::Hour => TimeDelta::hours(24),
            Self::Day => TimeDelta::days(30),
        }
    }

    const fn span_max(self) -> TimeDelta {
        match self {
            Self::Hour => HOURS_SPAN_MAX,
            Self::Day => DAYS_SPAN_MAX,
        }
    }

    fn floor(self, time: DateTime<Utc>) -> DateTime<Utc> {
        let into = time.timestamp().rem_euclid(self.width().num_seconds());
        let subsecond = TimeDelta::nanoseconds(time.timestamp_subsec_nanos().into());
        time - TimeDelta::seconds(into) - subsecond
    }

    fn ceil(self, time: DateTime<Utc>) -> DateTime<Utc> {
        let floor = self.floor(time);
        if floor == time {
            floor
        } else {
            floor + self.width()
        }
    }
}

impl From<Interval> for telemetry_facts::Interval {
    fn from(interval: Interval) -> Self {
        match interval {
            Interval::Hour => Self::Hour,
            Interval::Day => Self::Day,
        }
    }
}

fn inverted() -> FieldError {
    FieldError::parameter("end", "window_inverted", "must be after `start`")
}

#[cfg(test)]
mod tests;
