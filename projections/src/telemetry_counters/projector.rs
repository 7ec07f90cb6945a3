use event_store::TelemetryEvent;

use super::MODEL;
use super::keys::{self, Counter};
use crate::projection::Projection;
use crate::sink::CounterProjector;
use crate::telemetry::Observed;

/// Counts telemetry per site, notification and kind, in all and per hour.
pub struct TelemetryCounters;

impl CounterProjector for TelemetryCounters {
    const PROJECTION: Projection = MODEL;

    type Record = TelemetryEvent;
    type Counter = Counter;

    fn counters(
        &self,
        record: &TelemetryEvent,
    ) -> Result<impl IntoIterator<Item = Counter>, serde_json::Error> {
        let Observed {
            notification_id, ..
        } = Observed::of(record)?;
        let total = Counter {
            site: record.owner,
            hour: None,
            notification: notification_id,
            kind: record.kind.clone(),
        };
        let hour = Counter {
            hour: Some(keys::hour_of(record.occurred_at)),
            ..total.clone()
        };
        Ok([total, hour])
    }

    fn key(counter: &Counter, tag: &str) -> (String, Option<i64>) {
        match counter.hour {
            None => (keys::total(tag, counter.site), None),
            Some(hour) => (
                keys::hour(tag, counter.site, hour),
                Some(keys::hour_expires_at(hour)),
            ),
        }
    }

    fn field(counter: &Counter) -> String {
        keys::field(counter.notification, &counter.kind)
    }
}
