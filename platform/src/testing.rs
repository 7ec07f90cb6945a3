//! Sends requests to routers in tests.

use std::io::Write;

use axum::{
    Router,
    body::{Body, to_bytes},
    http::{HeaderMap, Request, StatusCode, request::Builder},
};
use flate2::{Compression, write::GzEncoder};
use serde_json::Value;
use tower::ServiceExt;

use crate::problem::{FieldError, ProblemBody, ProblemKind};

#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
}

pub(crate) fn get(path: &str) -> Builder {
    Request::get(path)
}

pub(crate) fn post_json(path: &str) -> Builder {
    Request::post(path).header("content-type", "application/json")
}

pub(crate) async fn send(router: &Router, request: Request<Body>) -> Answer {
    let response = router.clone().oneshot(request).await.unwrap();
    let (parts, body) = response.into_parts();
    let body = to_bytes(body, usize::MAX).await.unwrap();
    Answer {
        status: parts.status,
        headers: parts.headers,
        body: String::from_utf8(body.into()).unwrap(),
    }
}

impl Answer {
    #[track_caller]
    pub(crate) fn header(&self, name: &str) -> &str {
        match self.headers.get(name) {
            Some(value) => value.to_str().unwrap(),
            None => panic!("no header {name} in {self:?}"),
        }
    }

    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        match serde_json::from_str(&self.body) {
            Ok(value) => value,
            Err(error) => panic!("{error} in {self:?}"),
        }
    }

    /// Checks everything that holds for each problem of a kind.
    #[track_caller]
    pub(crate) fn problem(&self, kind: ProblemKind) -> ProblemBody {
        let body: ProblemBody = match serde_json::from_str(&self.body) {
            Ok(body) => body,
            Err(error) => panic!("not a problem: {error} in {self:?}"),
        };
        assert_eq!(body.type_, format!("/problems/{}", kind.slug()));
        assert_eq!(self.status, kind.status(), "{self:?}");
        assert_eq!(body.status, self.status.as_u16());
        assert_eq!(body.title, kind.title());
        assert_eq!(self.header("content-type"), "application/problem+json");
        assert_eq!(self.header("cache-control"), "no-store");
        body
    }

    /// The only field error of an `invalid-body` problem: pointer and code.
    #[track_caller]
    pub(crate) fn invalid_field(&self) -> (String, String) {
        match &self.problem(ProblemKind::InvalidBody).errors[..] {
            [
                FieldError {
                    pointer: Some(pointer),
                    code,
                    ..
                },
            ] => (pointer.clone(), code.clone()),
            errors => panic!("expected one field error, found {errors:?}"),
        }
    }
}

pub(crate) fn gzip(plain: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(plain).unwrap();
    encoder.finish().unwrap()
}
