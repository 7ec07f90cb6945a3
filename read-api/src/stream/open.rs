use std::convert::Infallible;

use axum::extract::State;
use axum::http::{HeaderName, HeaderValue, header};
use axum::response::sse::{Event, Sse};
use axum::response::{IntoResponse, Response};
use domain::AccountId;
use domain::account::Scope;
use futures::{Stream, StreamExt as _};
use platform::auth::Reader;
use platform::position::position_header;
use platform::serve::Stopping;
use projections::Token;
use tracing::Span;

use super::filter::TypeFilter;
use super::frame::StreamedEvent;
use super::last_event_id::LastEventId;
use super::subscription::{Streamed, Subscription};
use crate::documentation::StreamProblems;
use crate::failure::Failure;
use crate::state::ReadState;

const X_ACCEL_BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");

/// Follow what happens in the account, each event once and in order.
///
/// Each event has its position token as `id`, its type as `event`, and a JSON object as `data`. A client that connects
/// again with the last `id` it saw misses nothing. Without one, the stream begins now. A comment every 15 seconds keeps
/// the connection alive.
#[utoipa::path(
    get,
    path = "/v1/events/stream",
    tag = "Events",
    params(
        LastEventId,
        (
            "types" = Option<String>,
            Query,
            description = "Event types, separated by commas. Without it, all.",
            example = "activity.recorded,notification.published"
        )
    ),
    responses(
        (
            status = OK,
            description = "Events without end, each with such `data`.",
            content_type = "text/event-stream",
            body = StreamedEvent
        ),
        StreamProblems
    ),
    security(("api_key" = []))
)]
pub(crate) async fn stream_events(
    State(app): State<ReadState>,
    reader: Reader,
    last_event_id: LastEventId,
    filter: TypeFilter,
    stopping: Stopping,
) -> Result<Response, Failure> {
    let slot = app.streams.take(reader.account.into())?;
    let (start, events) = begin(app.clone(), reader.account.into(), last_event_id).await?;
    let subscription = Subscription {
        start,
        filter,
        stopping,
        heartbeat: app.config.stream_heartbeat,
        slot,
        span: span(&reader),
    };
    let frames = subscription.frames(events, move || is_permitted(app.clone(), &reader));
    Ok(answer(start, frames))
}

/// Where the stream begins, and the account's events from there.
async fn begin(
    app: ReadState,
    account: AccountId,
    last_event_id: LastEventId,
) -> Result<(Token, impl Stream<Item = Streamed> + Send + 'static), Failure> {
    let refused = |error| last_event_id.refused(error);
    let events = app.reads.events();
    let start = match last_event_id.token() {
        Some(token) => token,
        None => events.head().await.map_err(refused)?,
    };
    let events = events
        .subscribe(account, Some(start))
        .await
        .map_err(refused)?;
    Ok((start, events))
}

/// The request's own span ends with the answer's head.
fn span(reader: &Reader) -> Span {
    let request_id = &reader.request.request_id;
    tracing::info_span!("event_stream", request.id = %request_id, account.id = %reader.account)
}

/// Whether the key that opened the stream is still good for it. While that can't be found out, it is.
fn is_permitted(app: ReadState, reader: &Reader) -> impl Future<Output = bool> + Send + use<> {
    let (account, key) = (reader.account.into(), reader.key.into());
    async move {
        let key = app.reads.api_key(account, key).await;
        key.map_or(true, |key| {
            key.is_some_and(|key| key.scopes.contains(&Scope::Read))
        })
    }
}

fn answer(start: Token, frames: impl Stream<Item = Event> + Send + 'static) -> Response {
    let mut response = Sse::new(frames.map(Ok::<_, Infallible>)).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_ACCEL_BUFFERING, HeaderValue::from_static("no"));
    headers.extend(position_header(start));
    response
}
