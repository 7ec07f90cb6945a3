//! What stands in the payload of a telemetry event.

use std::borrow::Cow;

use event_store::TelemetryEvent;
use serde::Deserialize;
use uuid::Uuid;

/// The payload as far as projections need it.
#[derive(Deserialize)]
pub(crate) struct Observed<'a> {
    pub(crate) notification_id: Uuid,
    /// A path, without query and fragment.
    #[serde(borrow, default)]
    pub(crate) page: Option<Cow<'a, str>>,
}

impl<'a> Observed<'a> {
    pub(crate) fn of(event: &'a TelemetryEvent) -> Result<Self, serde_json::Error> {
        serde_json::from_str(event.payload.get())
    }
}
