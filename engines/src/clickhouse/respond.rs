//! From a plan's events to a response.

use std::io::Read as _;
use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use bytes::{Bytes, BytesMut};
use futures::{Stream, StreamExt as _, stream};
use tokio::sync::mpsc;
use tokio::task::block_in_place;
use tokio::time::timeout;

use super::blocks;
use super::connection::Flushes;
use super::engine::Event;
use super::exception::Exception;
use super::ffi::Counts;
use super::http::{Abandoned, Server};
use super::request::Options;
use super::spool::Spool;

const QUERY_ID: HeaderName = HeaderName::from_static("x-clickhouse-query-id");
const FORMAT: HeaderName = HeaderName::from_static("x-clickhouse-format");
const SUMMARY: HeaderName = HeaderName::from_static("x-clickhouse-summary");
const EXCEPTION_CODE: HeaderName = HeaderName::from_static("x-clickhouse-exception-code");
const EXCEPTION_TAG: HeaderName = HeaderName::from_static("x-clickhouse-exception-tag");
/// How long a client may take to read up to a late exception before the connection is broken without it.
const LATE_EXCEPTION_WITHIN: Duration = Duration::from_secs(30);
const REPLAY_BYTES: usize = 1 << 20;
const HOLD_BYTES: usize = 1 << 20;

/// How one request wants to be answered.
pub(crate) struct Answer {
    query_id: String,
    compress: bool,
    wait_end: bool,
    /// By which a client tells a late exception from data that looks like one.
    tag: String,
}

impl Answer {
    pub(crate) fn new(options: &Options) -> Self {
        Self {
            query_id: options.query_id.clone(),
            compress: options.compress,
            wait_end: options.wait_end_of_query,
            tag: uuid::Uuid::new_v4().simple().to_string()[..16].to_owned(),
        }
    }

    /// Holds back the first mebibyte of a result, as ClickHouse does: what fails within it, or ends within it, is
    /// answered with its true status and its final counts.
    pub(crate) async fn respond(
        self,
        mut events: mpsc::Receiver<Event>,
        mut guard: Abandoned,
        server: &Server,
        flushes: Flushes,
    ) -> Result<Response, Exception> {
        let held = match self.hold(&mut events).await {
            Ok(held) => held,
            Err(exception) => {
                guard.disarm();
                return Err(exception);
            }
        };
        let mut counts = held.counts;
        let body = if held.complete {
            guard.disarm();
            Body::from(held.bytes)
        } else if self.wait_end {
            let mut spool = Spool::new(&server.engine.temporary);
            block_in_place(|| spool.push(&held.bytes))?;
            counts = self.collect(&mut events, &mut spool).await?;
            guard.disarm();
            replay(spool)?
        } else {
            let state = Streaming {
                events,
                guard,
                compress: self.compress,
                tag: self.tag.clone(),
                broken: false,
                flushes,
            };
            let rest = stream_events(state, server.engine.version.clone());
            let first = stream::once(std::future::ready(Ok(held.bytes)));
            Body::from_stream(first.chain(rest))
        };
        let mut response = body.into_response();
        let headers = response.headers_mut();
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static(content_type(&held.format)),
        );
        put(headers, FORMAT, &held.format);
        put(headers, QUERY_ID, &self.query_id);
        put(headers, SUMMARY, &summary(counts));
        put(headers, EXCEPTION_TAG, &self.tag);
        Ok(response)
    }

    async fn hold(&self, events: &mut mpsc::Receiver<Event>) -> Result<Held, Exception> {
        let mut held = Held::default();
        let mut bytes = BytesMut::new();
        while bytes.len() < HOLD_BYTES {
            match events.recv().await {
                Some(Event::Started { format, counts }) => {
                    held.format = format;
                    held.counts = counts;
                }
                Some(Event::Data(piece)) => bytes.extend_from_slice(&self.pack(piece)),
                Some(Event::Ended(counts)) => {
                    held.counts = counts;
                    held.complete = true;
                    break;
                }
                Some(Event::Failed(exception)) => return Err(exception),
                None => return Err(thread_gone()),
            }
        }
        held.bytes = bytes.freeze();
        Ok(held)
    }

    fn pack(&self, piece: Bytes) -> Bytes {
        if self.compress {
            block_in_place(|| blocks::encode(&piece))
        } else {
            piece
        }
    }

    /// With `wait_end_of_query` nothing is answered before everything is known.
    async fn collect(
        &self,
        events: &mut mpsc::Receiver<Event>,
        spool: &mut Spool,
    ) -> Result<Counts, Exception> {
        while let Some(event) = events.recv().await {
            match event {
                Event::Data(piece) => {
                    let piece = self.pack(piece);
                    block_in_place(|| spool.push(&piece))?;
                }
                Event::Ended(counts) => return Ok(counts),
                Event::Failed(exception) => return Err(exception),
                Event::Started { .. } => {}
            }
        }
        Err(thread_gone())
    }
}

/// The beginning of a result, perhaps all of it.
#[derive(Default)]
struct Held {
    format: String,
    counts: Counts,
    bytes: Bytes,
    complete: bool,
}

fn thread_gone() -> Exception {
    Exception::internal("the engine's thread ended without an answer")
}

struct Streaming {
    events: mpsc::Receiver<Event>,
    guard: Abandoned,
    compress: bool,
    tag: String,
    broken: bool,
    flushes: Flushes,
}

/// The pieces of the body. A late exception is the last piece and then breaks the transfer, as ClickHouse does it: a
/// client that reads on without looking sees an incomplete body, not a short result.
fn stream_events(
    state: Streaming,
    version: String,
) -> impl Stream<Item = Result<Bytes, std::io::Error>> {
    stream::unfold((state, version), |(mut state, version)| async move {
        if state.broken {
            // The exception is in the connection's buffer now; a client that does not read may not hold us for ever.
            timeout(LATE_EXCEPTION_WITHIN, state.flushes.next())
                .await
                .ok();
            let error = std::io::Error::other("the query failed after its result had begun");
            // The server drops the body at the first error.
            return Some((Err(error), (state, version)));
        }
        let piece = match state.events.recv().await {
            Some(Event::Data(bytes)) => bytes,
            Some(Event::Failed(exception)) => {
                state.broken = true;
                state.guard.disarm();
                late_exception(&exception.text(&version), &state.tag)
            }
            Some(Event::Started { .. }) => Bytes::new(),
            Some(Event::Ended(_)) | None => {
                state.guard.disarm();
                return None;
            }
        };
        let piece = if state.compress {
            blocks::encode(&piece)
        } else {
            piece
        };
        Some((Ok(piece), (state, version)))
    })
}

/// `\r\n__exception__\r\n<tag>\r\n<text><length of text> <tag>\r\n__exception__\r\n`
fn late_exception(text: &str, tag: &str) -> Bytes {
    let mut out = BytesMut::new();
    for part in [
        "\r\n__exception__\r\n",
        tag,
        "\r\n",
        text,
        &text.len().to_string(),
        " ",
        tag,
        "\r\n__exception__\r\n",
    ] {
        out.extend_from_slice(part.as_bytes());
    }
    out.freeze()
}

fn replay(spool: Spool) -> Result<Body, Exception> {
    let reader = spool.into_reader()?;
    let pieces = stream::unfold(reader, |mut reader| async move {
        let mut buffer = vec![0; REPLAY_BYTES];
        match block_in_place(|| reader.read(&mut buffer)) {
            Ok(0) => None,
            Ok(read) => {
                buffer.truncate(read);
                Some((Ok(Bytes::from(buffer)), reader))
            }
            Err(error) => Some((Err(error), reader)),
        }
    });
    Ok(Body::from_stream(pieces))
}

/// An exception before anything was answered: its status, its number, its text.
pub(crate) fn failed(exception: &Exception, version: &str, query_id: &str) -> Response {
    tracing::debug!(
        query.id = query_id,
        exception.code = exception.code,
        "statement failed"
    );
    let mut response = (exception.status(), exception.text(version)).into_response();
    let headers = response.headers_mut();
    put(headers, EXCEPTION_CODE, &exception.code.to_string());
    put(headers, QUERY_ID, query_id);
    if response.status() == StatusCode::UNAUTHORIZED {
        put(
            response.headers_mut(),
            header::WWW_AUTHENTICATE,
            "Basic realm=\"ClickHouse\"",
        );
    }
    response
}

/// Leaves out what can't be a header, such as a query id with a line break.
fn put(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value)
        && !value.is_empty()
    {
        headers.insert(name, value);
    }
}

/// ClickHouse writes the numbers as strings. For a result that is streamed on they are those of its
/// beginning.
fn summary(counts: Counts) -> String {
    serde_json::json!({
        "read_rows": counts.read_rows.to_string(),
        "read_bytes": counts.read_bytes.to_string(),
        "written_rows": counts.written_rows.to_string(),
        "written_bytes": counts.written_bytes.to_string(),
        "total_rows_to_read": "0",
        "result_rows": counts.written_rows.to_string(),
        "result_bytes": counts.written_bytes.to_string(),
    })
    .to_string()
}

fn content_type(format: &str) -> &'static str {
    match format {
        "JSONEachRow" | "JSONCompactEachRow" | "JSONStringsEachRow" => {
            "application/x-ndjson; charset=UTF-8"
        }
        _ if format.starts_with("JSON") => "application/json; charset=UTF-8",
        "CSV" => "text/csv; charset=UTF-8; header=absent",
        "CSVWithNames" | "CSVWithNamesAndTypes" => "text/csv; charset=UTF-8; header=present",
        _ if format.starts_with("TabSeparated") || format.starts_with("TSV") => {
            "text/tab-separated-values; charset=UTF-8"
        }
        "Native"
        | "RowBinary"
        | "RowBinaryWithNames"
        | "RowBinaryWithNamesAndTypes"
        | "Parquet"
        | "Arrow"
        | "ArrowStream" => "application/octet-stream",
        "XML" => "application/xml; charset=UTF-8",
        _ => "text/plain; charset=UTF-8",
    }
}
