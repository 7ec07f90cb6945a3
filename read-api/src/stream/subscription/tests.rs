use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::body::to_bytes;
use axum::response::IntoResponse as _;
use axum::response::sse::Sse;
use futures::stream;
use serde_json::json;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::super::slots::StreamSlots;
use super::*;
use crate::testing::token;

type Events = Vec<Streamed>;

const HEARTBEAT: Duration = Duration::from_secs(15);

fn event(position: i64, event_type: &str) -> Streamed {
    Ok(PublicEvent {
        position: token(position),
        event_type: event_type.to_owned(),
        event_version: "1".to_owned(),
        aggregate_type: "site".to_owned(),
        aggregate_id: Uuid::from_u128(7).to_string(),
        version: 2,
        recorded_at: "2026-11-21T06:00:00.25Z".parse().unwrap(),
        payload: json!({ "name": "a\nb" }),
    })
}

struct Opened {
    stopping: CancellationToken,
    slots: StreamSlots,
    subscription: Subscription,
}

fn open(query: &str) -> Opened {
    let stopping = CancellationToken::new();
    let slots = StreamSlots::new(1);
    let uri = format!("/v1/events/stream{query}").parse().unwrap();
    let subscription = Subscription {
        start: token(5),
        filter: TypeFilter::of(&uri).unwrap(),
        stopping: Stopping(stopping.clone()),
        heartbeat: HEARTBEAT,
        slot: slots.take(Uuid::from_u128(1).into()).unwrap(),
        span: Span::none(),
    };
    Opened {
        stopping,
        slots,
        subscription,
    }
}

fn data(position: i64, event_type: &str) -> String {
    format!(
        r#"{{"position":"{}","event_type":"{event_type}","event_version":"1","aggregate_type":"site","aggregate_id":"00000000-0000-0000-0000-000000000007","version":2,"recorded_at":"2026-11-21T06:00:00.250Z","payload":{{"name":"a\nb"}}}}"#,
        token(position)
    )
}

async fn text(frames: impl Stream<Item = Event> + Send + 'static) -> String {
    let frames = frames.map(Ok::<_, std::convert::Infallible>);
    let body = Sse::new(frames).into_response().into_body();
    String::from_utf8(to_bytes(body, usize::MAX).await.unwrap().into()).unwrap()
}

#[tokio::test]
async fn events_are_framed_with_id_type_and_one_line_of_data() {
    let events: Events = vec![event(6, "site.registered"), event(9, "site.renamed")];
    let frames = open("")
        .subscription
        .frames(stream::iter(events), async || true);
    let framed = |position: i64, event_type: &str| {
        let data = data(position, event_type);
        format!(
            "id: {}\nevent: {event_type}\ndata: {data}\n\n",
            token(position)
        )
    };
    assert_eq!(
        text(frames).await,
        format!("retry: 2000\nid: {}\n\n", token(5))
            + &framed(6, "site.registered")
            + &framed(9, "site.renamed")
    );
}

#[tokio::test(start_paused = true)]
async fn a_heartbeat_says_how_far_the_stream_came_past_unwanted_events() {
    let opened = open("?types=site.registered");
    let events = stream::iter([event(6, "site.renamed")]).chain(stream::pending());
    let permitted = Arc::new(AtomicUsize::new(2));
    let asked = permitted.clone();
    // A key that is revoked before the third heartbeat.
    let is_permitted = move || {
        let left = asked.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| {
            left.checked_sub(1)
        });
        std::future::ready(left.is_ok())
    };
    let began = Instant::now();
    let frames = opened.subscription.frames(events, is_permitted);
    let alive = format!(": alive\nid: {}\n\n", token(6));
    assert_eq!(
        text(frames).await,
        format!("retry: 2000\nid: {}\n\n{alive}{alive}", token(5))
    );
    assert_eq!(began.elapsed(), HEARTBEAT * 3);
}

#[tokio::test]
async fn a_stream_ends_when_the_process_stops_and_gives_its_slot_back() {
    let opened = open("");
    let account = Uuid::from_u128(1).into();
    let mut frames = Box::pin(opened.subscription.frames(stream::pending(), async || true));
    assert!(frames.next().await.is_some());
    assert!(opened.slots.take(account).is_err());
    opened.stopping.cancel();
    assert!(frames.next().await.is_none());
    assert!(opened.slots.take(account).is_ok());
}

#[tokio::test]
async fn a_stream_that_is_dropped_gives_its_slot_back() {
    let opened = open("");
    let mut frames = Box::pin(opened.subscription.frames(stream::pending(), async || true));
    assert!(frames.next().await.is_some());
    drop(frames);
    assert!(opened.slots.take(Uuid::from_u128(1).into()).is_ok());
}

#[tokio::test]
async fn a_stream_that_breaks_off_ends_after_what_came_before() {
    let error = StreamError::Payload {
        position: 7,
        source: serde_json::from_str::<()>("x").unwrap_err(),
    };
    let events: Events = vec![
        event(6, "site.renamed"),
        Err(error),
        event(8, "site.renamed"),
    ];
    let frames = open("")
        .subscription
        .frames(stream::iter(events), async || true);
    let text = text(frames).await;
    assert!(text.contains(&token(6).to_string()), "{text}");
    assert!(!text.contains(&token(8).to_string()), "{text}");
}
