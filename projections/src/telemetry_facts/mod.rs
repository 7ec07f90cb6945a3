//! Every telemetry event as a row of ClickHouse's `telemetry`, rolled up by hour in `telemetry_hourly`.

mod projector;
mod row;

use std::time::Duration;

use chrono::{DateTime, Utc};
use clickhouse::Client;
use clickhouse::query::Query;
use domain::{AccountId, SiteId};

pub use self::projector::TelemetryFacts;
pub use self::row::{Analytics, Interval, IntervalCount, NotificationTotal, TelemetryRow};
use self::row::{IntervalCountRow, NotificationTotalRow};
use crate::projection::Projection;
use crate::read::ReadError;
use crate::sink::table;

const MODEL: Projection = Projection::TelemetryFacts;
/// The roll-up of the first version.
const ROLLED_UP: &str = "telemetry_hourly";
/// ClickHouse's client waits for ever by itself.
const QUERY_DEADLINE: Duration = Duration::from_secs(10);

/// Events of a site from the hour of `start` up to `end`, exclusive, by when they happened. Another account's site has
/// none.
pub(crate) async fn analytics(
    client: &Client,
    version: i32,
    account: AccountId,
    site: SiteId,
    start: DateTime<Utc>,
    end: DateTime<Utc>,
    interval: Interval,
) -> Result<Analytics, ReadError> {
    let bind = |query: Query| {
        query
            .param("table", table(ROLLED_UP, version))
            .param("account", account.to_string())
            .param("site", site.to_string())
            .param("start", start.timestamp())
            .param("end", end.timestamp())
    };
    let by_interval = client.query(match interval {
        Interval::Hour => include_str!("../../sql/count_hours.sql"),
        Interval::Day => include_str!("../../sql/count_days.sql"),
    });
    let by_notification = client.query(include_str!("../../sql/count_notifications.sql"));
    let both = futures::future::try_join(
        bind(by_interval).fetch_all::<IntervalCountRow>(),
        bind(by_notification).fetch_all::<NotificationTotalRow>(),
    );
    let (intervals, totals) = tokio::time::timeout(QUERY_DEADLINE, both)
        .await
        .unwrap_or(Err(clickhouse::error::Error::TimedOut))
        .map_err(ReadError::Analytics)?;
    Ok(Analytics {
        intervals: intervals
            .into_iter()
            .map(|row| IntervalCount {
                start: row.start,
                kind: row.kind,
                events: row.total,
            })
            .collect(),
        totals: totals
            .into_iter()
            .map(|row| NotificationTotal {
                notification_id: row.notification_id.into(),
                kind: row.kind,
                events: row.total,
            })
            .collect(),
    })
}
