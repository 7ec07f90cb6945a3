//! What several tests need.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use projections::Token;
use uuid::Uuid;

/// A position of the domain log. What a token looks like is the event store's matter; here it is only passed on.
pub(crate) fn token(position: i64) -> Token {
    let bytes = [&[b'e'][..], Uuid::nil().as_bytes(), &position.to_be_bytes()].concat();
    URL_SAFE_NO_PAD.encode(bytes).parse().unwrap()
}

/// The parts of a GET request.
pub(crate) fn request(uri: &str, headers: &[(&'static str, &str)]) -> axum::http::request::Parts {
    let mut request = axum::http::Request::get(uri);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(()).unwrap().into_parts().0
}
