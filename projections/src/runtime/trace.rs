//! Batches point to the traces of what is in them.

use std::collections::HashSet;

use event_store::Positioned;
use opentelemetry::KeyValue;
use opentelemetry::trace::{SpanContext, SpanId, TraceFlags, TraceId, TraceState};
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

use super::batch::Batch;

/// A batch may hold thousands of events.
const LINKS_MAX: usize = 32;
const LOOKED_AT_MAX: usize = 256;

/// Links the span to the traces that appended the batch's first events, each with the event's position and shard.
pub(super) fn link<R: Positioned>(span: &Span, batch: &Batch<R>) {
    if span.is_disabled() {
        return;
    }
    let mut linked = HashSet::new();
    for record in batch.pending().take(LOOKED_AT_MAX) {
        let Some(context) = record.traceparent().as_deref().and_then(parse) else {
            continue;
        };
        if linked.insert((context.trace_id(), context.span_id())) {
            let attributes = vec![
                KeyValue::new("event.position", record.position()),
                KeyValue::new(
                    "projector.shard",
                    i64::from(record.bucket().shard().as_i16()),
                ),
            ];
            span.add_link_with_attributes(context, attributes);
        }
        if linked.len() == LINKS_MAX {
            break;
        }
    }
}

/// `00-<32 hex trace id>-<16 hex span id>-<2 hex flags>`, as our own writers store it.
fn parse(traceparent: &str) -> Option<SpanContext> {
    let mut fields = traceparent.split('-');
    let (version, trace, span, flags) = (
        fields.next()?,
        fields.next()?,
        fields.next()?,
        fields.next()?,
    );
    let context = SpanContext::new(
        TraceId::from_hex(trace).ok()?,
        SpanId::from_hex(span).ok()?,
        TraceFlags::new(u8::from_str_radix(flags, 16).ok()?),
        true,
        TraceState::NONE,
    );
    (version == "00" && context.is_valid()).then_some(context)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_stored_is_read_back_and_anything_else_is_no_link() {
        let stored = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        let context = parse(stored).unwrap();
        assert_eq!(
            context.trace_id().to_string(),
            "4bf92f3577b34da6a3ce929d0e0e4736"
        );
        assert_eq!(context.span_id().to_string(), "00f067aa0ba902b7");
        assert!(context.is_sampled() && context.is_remote());
        for other in [
            "",
            "00-4bf92f3577b34da6a3ce929d0e0e4736",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-x-y-z",
        ] {
            assert!(parse(other).is_none(), "{other}");
        }
    }
}
