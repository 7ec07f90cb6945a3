use chrono::{DateTime, Utc};
use clickhouse::Row;
use domain::NotificationId;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// A row of ClickHouse's table `telemetry`, in the order of its columns.
#[derive(Clone, Debug, Row, Serialize)]
pub struct TelemetryRow {
    pub(super) position: u64,
    #[serde(with = "clickhouse::serde::uuid")]
    pub(super) account_id: Uuid,
    #[serde(with = "clickhouse::serde::uuid")]
    pub(super) site_id: Uuid,
    #[serde(with = "clickhouse::serde::uuid")]
    pub(super) notification_id: Uuid,
    #[serde(with = "clickhouse::serde::uuid")]
    pub(super) event_id: Uuid,
    pub(super) kind: String,
    pub(super) page: String,
    #[serde(with = "clickhouse::serde::chrono::datetime64::micros")]
    pub(super) occurred_at: DateTime<Utc>,
    #[serde(with = "clickhouse::serde::chrono::datetime64::micros")]
    pub(super) received_at: DateTime<Utc>,
}

/// How wide the intervals of an analysis are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interval {
    Hour,
    /// Days of UTC.
    Day,
}

/// What was seen of a site's notifications over a time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Analytics {
    /// In order of time and kind; an interval without events of a kind has no entry.
    pub intervals: Vec<IntervalCount>,
    /// Over the whole time, in order of notification and kind.
    pub totals: Vec<NotificationTotal>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IntervalCount {
    /// The beginning of the interval.
    pub start: DateTime<Utc>,
    /// Stored name, such as `impression`.
    pub kind: String,
    pub events: u64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotificationTotal {
    pub notification_id: NotificationId,
    pub kind: String,
    pub events: u64,
}

#[derive(Row, Deserialize)]
pub(super) struct IntervalCountRow {
    #[serde(with = "clickhouse::serde::chrono::datetime")]
    pub(super) start: DateTime<Utc>,
    pub(super) kind: String,
    pub(super) total: u64,
}

#[derive(Row, Deserialize)]
pub(super) struct NotificationTotalRow {
    #[serde(with = "clickhouse::serde::uuid")]
    pub(super) notification_id: Uuid,
    pub(super) kind: String,
    pub(super) total: u64,
}
