use event_store::TelemetryEvent;

use super::MODEL;
use super::row::TelemetryRow;
use crate::projection::Projection;
use crate::sink::FactProjector;
use crate::telemetry::Observed;

/// One row of table `telemetry` per event.
pub struct TelemetryFacts;

impl FactProjector for TelemetryFacts {
    const PROJECTION: Projection = MODEL;
    const TABLE: &'static str = "telemetry";

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
}
