//! The one place where a failed read becomes a problem.

use axum::response::{IntoResponse, Response};
use platform::problem::{Problem, ProblemKind};
use projections::audit::AuditError;
use projections::{ReadError, StreamError};

/// Why a handler failed: a problem already, or a read's error, which becomes one.
#[derive(Debug)]
pub(crate) struct Failure(Problem);

impl From<Problem> for Failure {
    fn from(problem: Problem) -> Self {
        Self(problem)
    }
}

impl From<Failure> for Problem {
    fn from(failure: Failure) -> Self {
        failure.0
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        self.0.into_response()
    }
}

impl From<ReadError> for Failure {
    fn from(error: ReadError) -> Self {
        let problem = match error {
            ReadError::Begin { .. }
            | ReadError::Query { .. }
            | ReadError::Held { .. }
            | ReadError::Served { .. }
            | ReadError::Counters(_)
            | ReadError::Analytics(_)
            | ReadError::Account(_)
            | ReadError::Position(_)
            | ReadError::Open(_) => Problem::new(ProblemKind::Unavailable),
            ReadError::OtherIncarnation | ReadError::Stored { .. } => {
                Problem::new(ProblemKind::Internal)
            }
        };
        Self(problem.internal(error))
    }
}

impl From<AuditError> for Failure {
    fn from(error: AuditError) -> Self {
        Self(Problem::new(ProblemKind::Unavailable).internal(error))
    }
}

impl From<StreamError> for Failure {
    fn from(error: StreamError) -> Self {
        let problem = match error {
            StreamError::ReadHead(_) | StreamError::Read(_) | StreamError::Ended => {
                Problem::new(ProblemKind::Unavailable)
            }
            // Whoever subscribes knows which parameter they came from.
            StreamError::Beyond { .. } | StreamError::OtherLog => {
                Problem::new(ProblemKind::InvalidPosition)
            }
            StreamError::Payload { .. } => Problem::new(ProblemKind::Internal),
        };
        Self(problem.internal(error))
    }
}

#[cfg(test)]
mod tests {
    use axum::body::to_bytes;
    use projections::{PositionError, Projection};
    use serde_json::Value;

    use super::*;

    async fn answer(failure: Failure) -> (u16, bool, Value) {
        let response = failure.into_response();
        let retry = response.headers().contains_key("retry-after");
        let status = response.status().as_u16();
        let body = to_bytes(response.into_body(), usize::MAX).await.unwrap();
        (status, retry, serde_json::from_slice(&body).unwrap())
    }

    #[tokio::test]
    async fn what_may_pass_is_a_503_and_what_will_not_is_a_500_and_neither_says_why() {
        let stored = ReadError::Stored {
            model: Projection::SiteList,
            value: "hunter2".to_owned(),
        };
        let payload = StreamError::Payload {
            position: 7,
            source: serde_json::from_str::<()>("hunter2").unwrap_err(),
        };
        for (failure, status, retry) in [
            (Failure::from(stored), 500, false),
            (ReadError::OtherIncarnation.into(), 500, false),
            (
                ReadError::Position(PositionError::OtherIncarnation).into(),
                503,
                true,
            ),
            (payload.into(), 500, false),
            (StreamError::Ended.into(), 503, true),
        ] {
            let (actual, retry_after, body) = answer(failure).await;
            assert_eq!((actual, retry_after), (status, retry));
            assert!(!body.to_string().contains("hunter2"), "{body}");
            assert_eq!(body.get("detail"), None);
        }
    }
}
