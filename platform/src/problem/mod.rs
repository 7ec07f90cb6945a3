//! Every failure that leaves an API is one of these (RFC 9457).
//!
//! A problem has two sides. What the client sees: type, title, detail, code, field errors. What only the
//! log sees: the source given to [`Problem::internal`], written once, with its chain, in the span that
//! carries the request id.

mod body;
mod doc;
mod kind;

use axum::{
    Json,
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};

pub use self::{
    body::{FieldError, ProblemBody},
    doc::description,
    kind::ProblemKind,
};

pub const CONTENT_TYPE: &str = "application/problem+json";

/// A failed request. Build it from its kind, add what is known, return it from a handler.
#[derive(Debug)]
pub struct Problem(Box<Parts>);

#[derive(Debug)]
struct Parts {
    kind: ProblemKind,
    detail: Option<String>,
    code: Option<String>,
    errors: Vec<FieldError>,
    retry_after_s: Option<u32>,
    headers: HeaderMap,
    source: Option<anyhow::Error>,
}

impl Problem {
    #[must_use]
    pub fn new(kind: ProblemKind) -> Self {
        Self(Box::new(Parts {
            kind,
            detail: None,
            code: None,
            errors: Vec::new(),
            retry_after_s: kind.default_retry_after_s(),
            headers: HeaderMap::new(),
            source: None,
        }))
    }

    /// What is special about this occurrence. The client reads it: no internals.
    #[must_use]
    pub fn detail(mut self, detail: impl Into<String>) -> Self {
        self.0.detail = Some(detail.into());
        self
    }

    /// The rule that was broken, for programs.
    #[must_use]
    pub fn code(mut self, code: impl Into<String>) -> Self {
        self.0.code = Some(code.into());
        self
    }

    #[must_use]
    pub fn error(mut self, error: FieldError) -> Self {
        self.0.errors.push(error);
        self
    }

    #[must_use]
    pub fn retry_after_s(mut self, seconds: u32) -> Self {
        self.0.retry_after_s = Some(seconds);
        self
    }

    #[must_use]
    pub fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.0.headers.insert(name, value);
        self
    }

    /// Why it really failed: goes to the log when the problem is answered, never into the body.
    #[must_use]
    pub fn internal(mut self, source: impl Into<anyhow::Error>) -> Self {
        self.0.source = Some(source.into());
        self
    }

    #[must_use]
    pub fn kind(&self) -> ProblemKind {
        self.0.kind
    }

    #[must_use]
    pub fn status(&self) -> StatusCode {
        self.0.kind.status()
    }

    #[must_use]
    pub fn errors(&self) -> &[FieldError] {
        &self.0.errors
    }

    /// What the client sees of it, as a part of an answer of another kind. Logged, as when it is the answer.
    #[must_use]
    pub fn into_body(mut self) -> ProblemBody {
        self.tell()
    }

    fn tell(&mut self) -> ProblemBody {
        self.log();
        ProblemBody {
            type_: format!("/problems/{}", self.0.kind.slug()),
            title: self.0.kind.title().to_owned(),
            status: self.status().as_u16(),
            detail: self.0.detail.take(),
            instance: None,
            request_id: None,
            code: self.0.code.take(),
            errors: std::mem::take(&mut self.0.errors),
        }
    }

    fn log(&self) {
        let Some(source) = &self.0.source else { return };
        let problem = self.0.kind.slug();
        if self.status().is_server_error() {
            tracing::error!(problem, error = format!("{source:#}"), "request failed");
        } else {
            tracing::warn!(problem, error = format!("{source:#}"), "request refused");
        }
    }
}

impl From<ProblemKind> for Problem {
    fn from(kind: ProblemKind) -> Self {
        Self::new(kind)
    }
}

impl IntoResponse for Problem {
    fn into_response(mut self) -> Response {
        let body = self.tell();
        let parts = *self.0;
        let mut response = render(&body, parts.kind.status());
        // The middleware adds what only it knows: see `complete`.
        response.extensions_mut().insert(body);
        let headers = response.headers_mut();
        headers.extend(parts.headers);
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Some(seconds) = parts.retry_after_s {
            headers.insert(header::RETRY_AFTER, seconds.into());
        }
        if let Some(challenge) = parts.kind.challenge() {
            headers.insert(
                header::WWW_AUTHENTICATE,
                HeaderValue::from_static(challenge),
            );
        }
        response
    }
}

/// Write the request's path and id into the body of a problem; other answers pass untouched.
pub(crate) fn complete(mut response: Response, path: &str, request_id: &str) -> Response {
    let Some(mut body) = response.extensions_mut().remove::<ProblemBody>() else {
        return response;
    };
    body.instance = Some(path.to_owned());
    body.request_id = Some(request_id.to_owned());
    let (mut parts, _) = response.into_parts();
    parts.headers.remove(header::CONTENT_LENGTH);
    let body = render(&body, parts.status).into_body();
    Response::from_parts(parts, body)
}

fn render(body: &ProblemBody, status: StatusCode) -> Response {
    let content_type = HeaderValue::from_static(CONTENT_TYPE);
    (status, [(header::CONTENT_TYPE, content_type)], Json(body)).into_response()
}
