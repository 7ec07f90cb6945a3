//! Browsers that say that nothing of their user is to be sold or shared.

use axum::extract::FromRequestParts;
use axum::http::StatusCode;
use axum::http::request::Parts;

/// The browser did not say `Sec-GPC: 1` (Global Privacy Control, <https://www.w3.org/TR/gpc/#the-sec-gpc-header-field>). Of one
/// that did nothing is read or kept, and it is answered with 204.
pub(crate) struct Collectable;

impl<S: Sync> FromRequestParts<S> for Collectable {
    type Rejection = StatusCode;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, StatusCode> {
        match parts.headers.get("sec-gpc") {
            Some(value) if value == "1" => Err(StatusCode::NO_CONTENT),
            _ => Ok(Self),
        }
    }
}
