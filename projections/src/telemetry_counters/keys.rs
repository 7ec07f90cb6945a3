//! The layout in Redis. Stored; a change is a new version of the projection.

use chrono::{DateTime, TimeDelta, Timelike as _, Utc};
use uuid::Uuid;

const HOUR_KEPT: TimeDelta = TimeDelta::days(90);

/// One field of one hash.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Counter {
    pub(super) site: Uuid,
    /// The beginning of the hour; `None` for the total.
    pub(super) hour: Option<DateTime<Utc>>,
    pub(super) notification: Uuid,
    pub(super) kind: String,
}

/// The hash of a site's totals.
pub(super) fn total(tag: &str, site: Uuid) -> String {
    format!("{tag}:site:{site}:total")
}

/// The hash of a site's hour, by when things happened, in UTC.
pub(super) fn hour(tag: &str, site: Uuid, hour: DateTime<Utc>) -> String {
    format!("{tag}:site:{site}:{}", hour.format("%Y%m%d%H"))
}

/// The Unix second at which an hour's hash expires: 90 days after the hour ended.
pub(super) fn hour_expires_at(hour: DateTime<Utc>) -> i64 {
    (hour + TimeDelta::hours(1) + HOUR_KEPT).timestamp()
}

pub(super) fn field(notification: Uuid, kind: &str) -> String {
    format!("{notification}:{kind}")
}

/// What [`field`] was made of.
pub(super) fn parse_field(field: &str) -> Option<(Uuid, &str)> {
    let (notification, kind) = field.split_once(':')?;
    Some((Uuid::parse_str(notification).ok()?, kind))
}

/// The beginning of the hour.
pub(super) fn hour_of(time: DateTime<Utc>) -> DateTime<Utc> {
    let seconds = i64::from(time.minute() * 60 + time.second());
    let nanoseconds = i64::from(time.nanosecond());
    time - TimeDelta::seconds(seconds) - TimeDelta::nanoseconds(nanoseconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn time() -> DateTime<Utc> {
        "2026-11-21T06:59:59.999999Z".parse().unwrap()
    }

    #[test]
    fn keys_stay_what_they_are() {
        let site = Uuid::from_u128(7);
        let tag = "{p:telemetry_counters:v1:3}";
        assert_eq!(
            total(tag, site),
            "{p:telemetry_counters:v1:3}:site:00000000-0000-0000-0000-000000000007:total"
        );
        assert_eq!(
            hour(tag, site, hour_of(time())),
            "{p:telemetry_counters:v1:3}:site:00000000-0000-0000-0000-000000000007:2026112106"
        );
        assert_eq!(
            field(site, "click"),
            "00000000-0000-0000-0000-000000000007:click"
        );
        assert_eq!(parse_field(&field(site, "click")), Some((site, "click")));
        assert_eq!(parse_field("click"), None);
    }

    #[test]
    fn an_hour_expires_ninety_days_after_its_end_whenever_it_is_counted() {
        let hour = hour_of(time());
        assert_eq!(hour.to_rfc3339(), "2026-11-21T06:00:00+00:00");
        let expires = DateTime::from_timestamp(hour_expires_at(hour), 0).unwrap();
        assert_eq!(expires.to_rfc3339(), "2027-02-19T07:00:00+00:00");
    }
}
