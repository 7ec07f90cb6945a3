//! Counts as they are answered: nothing left out because nothing happened.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use domain::{NotificationId, SiteId};
use projections::telemetry_facts::Analytics;
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::window::{Interval, Window};
use crate::counts::{Counts, Totals};

/// What visitors saw and did.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct SiteAnalytics {
    site_id: Uuid,
    /// The beginning of the first interval.
    start: DateTime<Utc>,
    /// The end of the last interval, exclusive.
    end: DateTime<Utc>,
    interval: Interval,
    totals: Totals,
    /// All of them, in order; those without events are zero.
    intervals: Vec<IntervalCounts>,
    /// Those with events.
    notifications: Vec<NotificationCounts>,
}

#[derive(Debug, Serialize, ToSchema)]
struct IntervalCounts {
    start: DateTime<Utc>,
    #[serde(flatten)]
    counts: Counts,
}

#[derive(Debug, Serialize, ToSchema)]
struct NotificationCounts {
    notification_id: Uuid,
    #[serde(flatten)]
    counts: Counts,
    /// Clicks per impression, a decimal with four digits; absent without impressions.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "0.0312")]
    click_rate: Option<String>,
}

impl SiteAnalytics {
    pub(super) fn of(site: SiteId, window: Window, analytics: &Analytics) -> Self {
        let mut intervals: BTreeMap<DateTime<Utc>, Counts> = window
            .starts()
            .map(|start| (start, Counts::default()))
            .collect();
        for row in &analytics.intervals {
            intervals
                .entry(row.start)
                .or_default()
                .add(&row.kind, row.events);
        }
        let mut notifications: BTreeMap<NotificationId, Counts> = BTreeMap::new();
        for row in &analytics.totals {
            let counts = notifications.entry(row.notification_id).or_default();
            counts.add(&row.kind, row.events);
        }
        let total = notifications
            .values()
            .copied()
            .fold(Counts::default(), Counts::plus);
        Self {
            site_id: site.into(),
            start: window.start,
            end: window.end,
            interval: window.interval,
            totals: total.into(),
            intervals: intervals
                .into_iter()
                .map(|(start, counts)| IntervalCounts { start, counts })
                .collect(),
            notifications: notifications
                .into_iter()
                .map(|(id, counts)| NotificationCounts::of(id, counts))
                .collect(),
        }
    }
}

impl NotificationCounts {
    fn of(notification: NotificationId, counts: Counts) -> Self {
        Self {
            notification_id: notification.into(),
            counts,
            click_rate: counts.click_rate(),
        }
    }
}

#[cfg(test)]
mod tests {
    use projections::telemetry_facts::{IntervalCount, NotificationTotal};
    use serde_json::{Value, json};

    use super::*;

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    fn interval(start: &str, kind: &str, events: u64) -> IntervalCount {
        IntervalCount {
            start: at(start),
            kind: kind.to_owned(),
            events,
        }
    }

    fn total(notification: u128, kind: &str, events: u64) -> NotificationTotal {
        NotificationTotal {
            notification_id: Uuid::from_u128(notification).into(),
            kind: kind.to_owned(),
            events,
        }
    }

    fn report(analytics: Analytics) -> Value {
        let window = Window {
            start: at("2026-11-21T05:00:00Z"),
            end: at("2026-11-21T08:00:00Z"),
            interval: Interval::Hour,
        };
        let report = SiteAnalytics::of(Uuid::from_u128(7).into(), window, &analytics);
        serde_json::to_value(report).unwrap()
    }

    #[test]
    fn intervals_without_events_are_filled_with_zeros() {
        let report = report(Analytics {
            intervals: vec![
                interval("2026-11-21T06:00:00Z", "click", 2),
                interval("2026-11-21T06:00:00Z", "impression", 90),
                interval("2026-11-21T07:00:00Z", "impression", 9),
            ],
            totals: vec![
                total(1, "click", 2),
                total(1, "impression", 96),
                total(2, "impression", 3),
            ],
        });
        let hour = |start: &str, impressions: u64, clicks: u64| {
            json!({
                "start": start, "impressions": impressions, "clicks": clicks, "dismissals": 0, "conversions": 0
            })
        };
        assert_eq!(
            report,
            json!({
                "site_id": "00000000-0000-0000-0000-000000000007",
                "start": "2026-11-21T05:00:00Z",
                "end": "2026-11-21T08:00:00Z",
                "interval": "hour",
                "totals": { "impression": 99, "click": 2, "dismissal": 0, "conversion": 0 },
                "intervals": [
                    hour("2026-11-21T05:00:00Z", 0, 0),
                    hour("2026-11-21T06:00:00Z", 90, 2),
                    hour("2026-11-21T07:00:00Z", 9, 0),
                ],
                "notifications": [
                    {
                        "notification_id": "00000000-0000-0000-0000-000000000001", "impressions": 96, "clicks": 2,
                        "dismissals": 0, "conversions": 0, "click_rate": "0.0208"
                    },
                    {
                        "notification_id": "00000000-0000-0000-0000-000000000002", "impressions": 3, "clicks": 0,
                        "dismissals": 0, "conversions": 0, "click_rate": "0.0000"
                    },
                ],
            })
        );
    }

    #[test]
    fn a_site_without_telemetry_has_zeros_and_no_notifications() {
        let report = report(Analytics {
            intervals: Vec::new(),
            totals: vec![total(1, "dismissal", 1)],
        });
        assert_eq!(report["intervals"].as_array().unwrap().len(), 3);
        assert_eq!(report["notifications"][0].get("click_rate"), None);
    }
}
