//! The one place where a failed read becomes a problem.

use axum::response::{IntoResponse, Response};
use platform::problem::{Problem, ProblemKind};
use projections::{ReadError, StreamError};

const RETRY_AFTER_S: u32 = 1;

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
            | ReadError::Counters(_)
            | ReadError::Analytics(_)
            | ReadError::Account(_)
            | ReadError::Position(_)
            | ReadError::Open(_) => {
                Problem::new(ProblemKind::Unavailable).retry_after_s(RETRY_AFTER_S)
            }
            ReadError::OtherIncarnation | ReadError::Stored { .. } => {
                Problem::new(ProblemKind::Internal)
            }
        };
        Self(problem.internal(error))
    }
}

impl From<StreamError> for Failure {
    fn from(error: StreamError) -> Self {
        let problem = match error {
            StreamError::ReadHead(_) | StreamError::Read(_) | StreamError::Ended => {
                Problem::new(ProblemKind::Unavailable).retry_after_s(RETRY_AFTER_S)
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
