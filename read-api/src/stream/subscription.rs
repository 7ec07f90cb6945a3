//! One open stream, from its first frame to its last.

use std::pin::{Pin, pin};
use std::time::Duration;

use async_stream::stream;
use axum::response::sse::Event;
use futures::{Stream, StreamExt as _};
use platform::serve::Stopping;
use projections::{PublicEvent, StreamError, Token};
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at};
use tracing::{Instrument as _, Span};

use super::filter::TypeFilter;
use super::frame;
use super::slots::StreamSlot;

pub(super) type Streamed = Result<PublicEvent, StreamError>;

/// What a stream holds on to while it is open.
pub(super) struct Subscription {
    pub(super) start: Token,
    pub(super) filter: TypeFilter,
    pub(super) stopping: Stopping,
    pub(super) heartbeat: Duration,
    pub(super) slot: StreamSlot,
    pub(super) span: Span,
}

/// What comes next.
enum Turn {
    Happened(PublicEvent),
    Heartbeat,
    Over,
}

impl Subscription {
    /// Ends when the process stops, when the events end, and at the first heartbeat at which the caller is not permitted
    /// any more.
    pub(super) fn frames<P>(
        self,
        events: impl Stream<Item = Streamed> + Send,
        is_permitted: impl Fn() -> P + Send,
    ) -> impl Stream<Item = Event> + Send
    where
        P: Future<Output = bool> + Send,
    {
        stream! {
            let mut events = pin!(events);
            let mut heartbeat = heartbeat(self.heartbeat);
            let mut position = self.start;
            yield frame::opening(position);
            loop {
                let turn = turn(&self.stopping, &mut heartbeat, events.as_mut());
                match turn.instrument(self.span.clone()).await {
                    Turn::Happened(event) => {
                        position = event.position;
                        if self.filter.wants(&event.event_type) {
                            let frame = self.span.in_scope(|| frame::event(event));
                            let Some(frame) = frame else { break };
                            yield frame;
                        }
                    }
                    Turn::Heartbeat => {
                        let is_permitted = self.stopping.0.run_until_cancelled(is_permitted());
                        if is_permitted.await != Some(true) { break };
                        yield frame::heartbeat(position);
                    }
                    Turn::Over => break,
                }
            }
            drop(self.slot);
        }
    }
}

fn heartbeat(period: Duration) -> Interval {
    let mut heartbeat = interval_at(Instant::now() + period, period);
    heartbeat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    heartbeat
}

async fn turn(
    Stopping(stopping): &Stopping,
    heartbeat: &mut Interval,
    mut events: Pin<&mut (impl Stream<Item = Streamed> + Send)>,
) -> Turn {
    tokio::select! {
        biased;
        () = stopping.cancelled() => Turn::Over,
        _ = heartbeat.tick() => Turn::Heartbeat,
        next = events.next() => match next {
            Some(Ok(event)) => Turn::Happened(event),
            Some(Err(StreamError::Ended)) | None => Turn::Over,
            Some(Err(error)) => {
                // The client comes back with the last id it saw.
                let error = format!("{:#}", anyhow::Error::from(error));
                tracing::warn!(error, "an event stream broke off");
                Turn::Over
            }
        },
    }
}

#[cfg(test)]
mod tests;
