//! Extractors that answer with problems: JSON bodies, path and query parameters.

mod faults;
mod params;

use axum::{
    extract::{FromRequest, Request},
    http::{HeaderMap, header},
};
use serde::de::DeserializeOwned;
use serde_json::error::Category;

pub use self::params::{ApiPath, ApiQuery};
use crate::{
    body::RawBody,
    problem::{FieldError, Problem, ProblemKind},
};

/// A JSON body. `T` should be `#[serde(deny_unknown_fields)]`: a misspelt field is an error, not a default.
///
/// Reports syntax errors with line and column, and wrong types, unknown and missing fields with a JSON
/// pointer. Values are for the handler to parse, all at once, with [`crate::fields::Fields`].
#[derive(Clone, Copy, Debug)]
pub struct ApiJson<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for ApiJson<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        if !is_json(&media_type(request.headers())) {
            return Err(Problem::new(ProblemKind::UnsupportedMediaType)
                .code("content_type")
                .detail("send the body as application/json"));
        }
        let RawBody(bytes) = RawBody::from_request(request, state).await?;
        parse(&bytes).map(Self)
    }
}

/// Parse bytes that were read with [`RawBody`], with the same problems as [`ApiJson`].
pub fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let value = serde_path_to_error::deserialize(&mut deserializer).map_err(refused)?;
    deserializer.end().map_err(|error| malformed(&error))?;
    Ok(value)
}

fn refused(error: serde_path_to_error::Error<serde_json::Error>) -> Problem {
    match error.inner().classify() {
        Category::Syntax | Category::Eof | Category::Io => malformed(error.inner()),
        Category::Data => {
            let fault = faults::Fault::read(&error.inner().to_string());
            let pointer = faults::pointer(error.path(), &fault);
            Problem::new(ProblemKind::InvalidBody).error(FieldError::pointer(
                pointer,
                fault.code,
                fault.detail,
            ))
        }
    }
}

/// serde_json's text ends in line and column, which is all a client needs to find the place.
fn malformed(error: &serde_json::Error) -> Problem {
    Problem::new(ProblemKind::MalformedJson).detail(error.to_string())
}

/// The content type in lower case, without parameters. Empty where there is none.
#[must_use]
pub fn media_type(headers: &HeaderMap) -> String {
    let content_type = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    let essence = content_type.split(';').next().unwrap_or_default().trim();
    essence.to_ascii_lowercase()
}

fn is_json(media_type: &str) -> bool {
    media_type == "application/json"
        || (media_type.starts_with("application/") && media_type.ends_with("+json"))
}

#[cfg(test)]
mod tests;
