use chrono::{DateTime, Utc};
use event_store::TelemetryEvent;

use super::row::TelemetryRow;
use super::{MODEL, ROLLED_UP};
use crate::projection::Projection;
use crate::sink::FactProjector;
use crate::telemetry::Observed;

/// One row of table `telemetry` per event.
pub struct TelemetryFacts;

impl FactProjector for TelemetryFacts {
    const PROJECTION: Projection = MODEL;
    const TABLE: &'static str = "telemetry";
    const ROLLED_UP: &'static str = ROLLED_UP;
    const PRESENT: &'static str = include_str!("../../sql/select_present_telemetry.sql");
    const UNEVEN: &'static str = include_str!("../../sql/select_uneven_hours.sql");

    type Record = TelemetryEvent;
    type Row = TelemetryRow;

    fn row(&self, record: &TelemetryEvent) -> Result<TelemetryRow, serde_json::Error> {
        let Observed {
            notification_id,
            page,
        } = Observed::of(record)?;
        Ok(TelemetryRow {
            position: record.position.cast_unsigned(),
            account_id: record.tenant,
            site_id: record.owner,
            notification_id,
            event_id: record.event_id,
            page: page.unwrap_or_default().into_owned(),
            kind: record.kind.clone(),
            occurred_at: record.occurred_at,
            received_at: record.received_at,
        })
    }

    fn received_at(record: &TelemetryEvent) -> DateTime<Utc> {
        record.received_at
    }
}
