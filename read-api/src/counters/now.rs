//! Counters as they are answered.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use domain::{NotificationId, SiteId};
use projections::telemetry_counters::{Counters, HourCounts};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::counts::{Counts, Totals};

/// What visitors saw and did, up to this moment.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct SiteCounters {
    site_id: Uuid,
    /// Since the site's first event.
    totals: Totals,
    /// Since the site's first event, those with events.
    notifications: Vec<NotificationCounters>,
    /// The last 24 hours of UTC up to the current one, in order; those without events are zero.
    hours: Vec<HourCounters>,
}

#[derive(Debug, Serialize, ToSchema)]
struct NotificationCounters {
    notification_id: Uuid,
    #[serde(flatten)]
    counts: Counts,
}

#[derive(Debug, Serialize, ToSchema)]
struct HourCounters {
    start: DateTime<Utc>,
    #[serde(flatten)]
    counts: Counts,
    /// Those with events in this hour.
    notifications: Vec<NotificationCounters>,
}

type ByNotification = BTreeMap<NotificationId, BTreeMap<String, u64>>;

impl SiteCounters {
    pub(super) fn of(site: SiteId, counters: &Counters) -> Self {
        let notifications = by_notification(&counters.total);
        Self {
            site_id: site.into(),
            totals: sum(&notifications).into(),
            notifications,
            hours: counters.hours.iter().map(HourCounters::of).collect(),
        }
    }
}

impl HourCounters {
    fn of(hour: &HourCounts) -> Self {
        let notifications = by_notification(&hour.counts);
        Self {
            start: hour.hour,
            counts: sum(&notifications),
            notifications,
        }
    }
}

fn by_notification(counters: &ByNotification) -> Vec<NotificationCounters> {
    counters
        .iter()
        .map(|(id, kinds)| {
            let mut counts = Counts::default();
            kinds
                .iter()
                .for_each(|(kind, events)| counts.add(kind, *events));
            NotificationCounters {
                notification_id: (*id).into(),
                counts,
            }
        })
        .collect()
}

fn sum(notifications: &[NotificationCounters]) -> Counts {
    let counts = notifications.iter().map(|notification| notification.counts);
    counts.fold(Counts::default(), Counts::plus)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn counts(list: &[(u128, &str, u64)]) -> ByNotification {
        let mut counts = ByNotification::new();
        for (notification, kind, events) in list {
            let id = Uuid::from_u128(*notification).into();
            counts
                .entry(id)
                .or_default()
                .insert((*kind).to_owned(), *events);
        }
        counts
    }

    #[test]
    fn counters_are_summed_over_notifications_in_all_and_per_hour() {
        let hour = |hour: &str, list: &[(u128, &str, u64)]| HourCounts {
            hour: hour.parse().unwrap(),
            counts: counts(list),
        };
        let counters = Counters {
            total: counts(&[
                (1, "impression", 90),
                (1, "click", 2),
                (2, "impression", 10),
            ]),
            hours: vec![
                hour("2026-11-21T05:00:00Z", &[]),
                hour(
                    "2026-11-21T06:00:00Z",
                    &[(2, "impression", 4), (1, "conversion", 1)],
                ),
            ],
        };
        let shown =
            serde_json::to_value(SiteCounters::of(Uuid::from_u128(7).into(), &counters)).unwrap();
        let one = |id: &str, impressions: u64, clicks: u64, conversions: u64| {
            json!({
                "notification_id": format!("00000000-0000-0000-0000-00000000000{id}"),
                "impressions": impressions, "clicks": clicks, "dismissals": 0, "conversions": conversions
            })
        };
        assert_eq!(
            shown,
            json!({
                "site_id": "00000000-0000-0000-0000-000000000007",
                "totals": { "impression": 100, "click": 2, "dismissal": 0, "conversion": 0 },
                "notifications": [one("1", 90, 2, 0), one("2", 10, 0, 0)],
                "hours": [
                    {
                        "start": "2026-11-21T05:00:00Z", "impressions": 0, "clicks": 0, "dismissals": 0,
                        "conversions": 0, "notifications": []
                    },
                    {
                        "start": "2026-11-21T06:00:00Z", "impressions": 4, "clicks": 0, "dismissals": 0,
                        "conversions": 1, "notifications": [one("1", 0, 0, 1), one("2", 4, 0, 0)]
                    },
                ],
            })
        );
    }
}
