//! What a command's caller is told when it is done.

use axum::Json;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use commands::Committed;
use platform::position::position_header;
use platform::request::ETag;
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

const REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");

/// What every command answers with.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct CommandAnswer {
    pub(crate) id: Uuid,
    /// Also the `ETag`, as `"v1"`.
    #[schema(example = 1)]
    pub(crate) version: i64,
    /// Opaque. A read that carries it in `Proofline-Min-Position` sees this command.
    #[schema(example = "ZQGbDF57Hnz_nYoLTI0fKhAAAAAAAAAAKg")]
    pub(crate) position: String,
}

impl From<&Committed> for CommandAnswer {
    fn from(committed: &Committed) -> Self {
        Self {
            id: committed.aggregate_id,
            version: committed.version,
            position: committed.position.to_string(),
        }
    }
}

/// A command's answer with its headers.
#[derive(Debug)]
pub(crate) struct Answer<T = CommandAnswer> {
    status: StatusCode,
    location: Option<String>,
    committed: Committed,
    body: T,
}

impl Answer {
    pub(crate) fn ok(committed: Committed) -> Self {
        Self {
            status: StatusCode::OK,
            location: None,
            body: CommandAnswer::from(&committed),
            committed,
        }
    }
}

impl<T> Answer<T> {
    pub(crate) fn created(location: String, committed: Committed, body: T) -> Self {
        Self {
            status: StatusCode::CREATED,
            location: Some(location),
            committed,
            body,
        }
    }

    /// For what may have been there before.
    pub(crate) fn status(self, status: StatusCode) -> Self {
        Self { status, ..self }
    }
}

impl<T: Serialize> IntoResponse for Answer<T> {
    fn into_response(self) -> Response {
        let etag = ETag::version(u64::try_from(self.committed.version).unwrap_or_default());
        let position = position_header(self.committed.position);
        let mut response = (self.status, etag, position, Json(self.body)).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        // A path of our own ids.
        if let Some(Ok(location)) = self.location.map(HeaderValue::try_from) {
            headers.insert(header::LOCATION, location);
        }
        if self.committed.replayed {
            headers.insert(REPLAYED, HeaderValue::from_static("true"));
        }
        response
    }
}
