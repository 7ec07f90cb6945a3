//! From a stored row to an event of the domain.

use cqrs_es::persist::SerializedEvent;
use domain::{DecodeError, Event};
use event_store::RecordedEvent;
use serde_json::Value;

/// Upcasts and decodes; personal data stays sealed. An event that this build does not know is an error, whoever reads
/// it: it may mean something to the reader.
pub fn decode(recorded: &RecordedEvent) -> Result<Event, DecodeError> {
    let payload = recorded
        .payload_value()
        .map_err(|source| DecodeError::Payload {
            event_type: recorded.event_type.clone(),
            source: source.into(),
        })?;
    Event::decode(SerializedEvent {
        aggregate_id: recorded.stream.aggregate_id.clone(),
        sequence: recorded.sequence as usize,
        aggregate_type: recorded.stream.aggregate_type.clone(),
        event_type: recorded.event_type.clone(),
        event_version: recorded.event_version.clone(),
        payload,
        metadata: Value::Null,
    })
}
