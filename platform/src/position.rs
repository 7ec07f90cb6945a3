//! How far the log was written, or read, when an answer was made.

use std::fmt::Display;

use axum::http::{HeaderName, HeaderValue};

pub const POSITION: HeaderName = HeaderName::from_static("proofline-position");

/// `Proofline-Position`. A token is visible ASCII.
pub fn position_header(token: impl Display) -> [(HeaderName, HeaderValue); 1] {
    let value = HeaderValue::try_from(token.to_string());
    [(POSITION, value.unwrap_or(HeaderValue::from_static("")))]
}
