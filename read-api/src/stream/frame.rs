//! The bytes of an event stream.

use std::time::Duration;

use axum::response::sse::Event;
use chrono::{DateTime, Utc};
use projections::{PublicEvent, Token};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

/// How long a client waits before it connects again.
const RETRY: Duration = Duration::from_secs(2);

/// What happened, as its `data`.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct StreamedEvent {
    /// Also the `id`. A read that carries it in `Proofline-Min-Position` sees what happened.
    position: String,
    /// Also the `event`.
    #[schema(example = "activity.recorded")]
    event_type: String,
    #[schema(example = "1")]
    event_version: String,
    #[schema(example = "activity")]
    aggregate_type: String,
    aggregate_id: String,
    /// The aggregate's version after the event.
    #[schema(example = 1)]
    version: i64,
    recorded_at: DateTime<Utc>,
    /// As the type says; personal data and secrets are null.
    payload: Value,
}

impl From<PublicEvent> for StreamedEvent {
    fn from(event: PublicEvent) -> Self {
        Self {
            position: event.position.to_string(),
            event_type: event.event_type,
            event_version: event.event_version,
            aggregate_type: event.aggregate_type,
            aggregate_id: event.aggregate_id,
            version: event.version,
            recorded_at: event.recorded_at,
            payload: event.payload,
        }
    }
}

/// Before anything happens: where a client goes on that loses the connection at once. An `id` without data is kept and
/// not dispatched.
pub(super) fn opening(start: Token) -> Event {
    Event::default().retry(RETRY).id(start.to_string())
}

/// `None`, with an error in the log, for what can't be written, which is our fault: nothing is left out silently.
pub(super) fn event(event: PublicEvent) -> Option<Event> {
    let position = event.position.position;
    let streamed = StreamedEvent::from(event);
    let frame = Event::default()
        .id(&streamed.position)
        .event(&streamed.event_type)
        .json_data(&streamed);
    match frame {
        Ok(frame) => Some(frame),
        Err(error) => {
            tracing::error!(event.position = position, error = %error, "an event can't be written");
            None
        }
    }
}

/// A sign of life that also says how far the stream has come, past events that were not wanted.
pub(super) fn heartbeat(position: Token) -> Event {
    Event::default().comment("alive").id(position.to_string())
}
