//! Query parameters that extractors of their own read.

use axum::extract::Query;
use axum::http::Uri;
use chrono::{DateTime, Utc};
use platform::problem::FieldError;

/// From 1970 to 2100, which every engine's times hold with room to spare.
const SECONDS: std::ops::Range<i64> = 0..4_102_444_800;

/// Every value of the parameter, decoded.
pub(crate) fn values(uri: &Uri, name: &str) -> Vec<String> {
    // Any query string is a list of pairs.
    let pairs = Query::<Vec<(String, String)>>::try_from_uri(uri).map(|Query(pairs)| pairs);
    let of_name = |(found, value)| (found == name).then_some(value);
    pairs
        .unwrap_or_default()
        .into_iter()
        .filter_map(of_name)
        .collect()
}

/// The value, or `None` with its error kept.
pub(crate) fn keep<T>(errors: &mut Vec<FieldError>, parsed: Result<T, FieldError>) -> Option<T> {
    parsed.map_err(|error| errors.push(error)).ok()
}

/// A time that may be absent.
pub(crate) fn time(
    parameter: &'static str,
    text: Option<&str>,
) -> Result<Option<DateTime<Utc>>, FieldError> {
    let Some(text) = text else {
        return Ok(None);
    };
    let Ok(time) = DateTime::parse_from_rfc3339(text) else {
        let detail = "expected a time such as 2026-11-21T06:00:00Z (RFC 3339; write `+` as `%2B`)";
        return Err(FieldError::parameter(parameter, "invalid_value", detail));
    };
    if !SECONDS.contains(&time.timestamp()) {
        let detail = "expected a time from 1970 to 2099";
        return Err(FieldError::parameter(parameter, "out_of_range", detail));
    }
    Ok(Some(time.to_utc()))
}
