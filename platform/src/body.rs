//! Reading a request body within limits, plain or gzipped.

use std::io::Read;

use axum::{
    Extension,
    body::Bytes,
    extract::{
        FromRequest, Request,
        rejection::{BytesRejection, FailedToBufferBody},
    },
    http::{HeaderMap, header},
};
use flate2::read::MultiGzDecoder;

use crate::problem::{Problem, ProblemKind};

/// The body as it came (after gzip, where the route accepts that): for signatures over raw bytes.
#[derive(Clone, Debug)]
pub struct RawBody(pub Bytes);

impl<S: Send + Sync> FromRequest<S> for RawBody {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let encoding = Encoding::of(request.headers())?;
        let gzip = request.extensions().get::<AcceptGzip>().copied();
        let inflate = match (encoding, gzip) {
            (Encoding::Identity, _) => None,
            (Encoding::Gzip, Some(limit)) => Some(limit),
            (Encoding::Gzip, None) => return Err(unsupported_encoding()),
        };
        let bytes = Bytes::from_request(request, state)
            .await
            .map_err(unreadable)?;
        match inflate {
            None => Ok(Self(bytes)),
            Some(limit) => limit.inflate(&bytes).map(Self),
        }
    }
}

/// Marks a route whose bodies may come with `Content-Encoding: gzip`; see [`accept_gzip`].
#[derive(Clone, Copy, Debug)]
pub struct AcceptGzip {
    inflated_bytes_max: usize,
}

/// A layer for the routes that accept gzip: `router.layer(accept_gzip(4 * 1024 * 1024))`.
///
/// The limit holds for the body *after* decompression, and decompression stops there: a zip bomb costs
/// its limit and no more. The compressed body is under the route's ordinary body limit.
pub fn accept_gzip(inflated_bytes_max: usize) -> Extension<AcceptGzip> {
    Extension(AcceptGzip { inflated_bytes_max })
}

impl AcceptGzip {
    fn inflate(self, compressed: &[u8]) -> Result<Bytes, Problem> {
        let mut inflated = Vec::with_capacity((compressed.len() * 4).min(self.inflated_bytes_max));
        // One byte more than allowed tells "too large" from "exactly full".
        let limit = self.inflated_bytes_max as u64 + 1;
        MultiGzDecoder::new(compressed)
            .take(limit)
            .read_to_end(&mut inflated)
            .map_err(|source| {
                Problem::new(ProblemKind::UnreadableBody)
                    .code("invalid_gzip")
                    .detail(format!("the gzip stream is broken: {source}"))
            })?;
        if inflated.len() > self.inflated_bytes_max {
            return Err(too_large(Some(self.inflated_bytes_max)));
        }
        Ok(inflated.into())
    }
}

enum Encoding {
    Identity,
    Gzip,
}

impl Encoding {
    fn of(headers: &HeaderMap) -> Result<Self, Problem> {
        let Some(value) = headers.get(header::CONTENT_ENCODING) else {
            return Ok(Self::Identity);
        };
        let value = value.as_bytes();
        if value.eq_ignore_ascii_case(b"identity") {
            Ok(Self::Identity)
        } else if value.eq_ignore_ascii_case(b"gzip") || value.eq_ignore_ascii_case(b"x-gzip") {
            Ok(Self::Gzip)
        } else {
            Err(unsupported_encoding())
        }
    }
}

fn unsupported_encoding() -> Problem {
    Problem::new(ProblemKind::UnsupportedMediaType)
        .code("content_encoding")
        .detail("this content encoding is not accepted here")
}

fn too_large(bytes_max: Option<usize>) -> Problem {
    let problem = Problem::new(ProblemKind::BodyTooLarge);
    match bytes_max {
        Some(bytes_max) => problem.detail(format!(
            "at most {bytes_max} bytes after decompression are accepted"
        )),
        None => problem,
    }
}

fn unreadable(rejection: BytesRejection) -> Problem {
    match rejection {
        BytesRejection::FailedToBufferBody(FailedToBufferBody::LengthLimitError(_)) => {
            too_large(None)
        }
        _ => Problem::new(ProblemKind::UnreadableBody)
            .code("incomplete")
            .detail("the body ended before it was complete"),
    }
}

#[cfg(test)]
mod tests;
