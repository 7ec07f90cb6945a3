//! The one place where a failed command becomes a problem.

use axum::response::{IntoResponse, Response};
use commands::CommandError;
use domain::{DomainError, ErrorKind};
use platform::problem::{Problem, ProblemKind};

const RETRY_AFTER_CONTENTION_S: u32 = 1;

/// Why a handler failed: a problem already, or a command's error, which becomes one.
#[derive(Debug)]
pub(crate) struct Failure(Problem);

impl Failure {
    pub(crate) fn kind(&self) -> ProblemKind {
        self.0.kind()
    }
}

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

impl From<CommandError> for Failure {
    fn from(error: CommandError) -> Self {
        Self(match error {
            CommandError::Refused(refusal) => refused(&*refusal),
            // Version 0 is that of what is not there, which must look like what is another account's.
            CommandError::NotFound | CommandError::VersionMismatch { actual: 0 } => {
                ProblemKind::NotFound.into()
            }
            CommandError::VersionMismatch { actual } => {
                Problem::new(ProblemKind::PreconditionFailed)
                    .detail(format!("the resource is at version \"v{actual}\""))
            }
            CommandError::KeyReused => ProblemKind::IdempotencyKeyReused.into(),
            CommandError::Taken => ProblemKind::Taken.into(),
            CommandError::SubjectErased => Problem::new(ProblemKind::Conflict)
                .code("subject_erased")
                .detail("the person was erased"),
            CommandError::Contended => Problem::new(ProblemKind::Conflict)
                .code("contended")
                .detail("others keep changing the resource")
                .retry_after_s(RETRY_AFTER_CONTENTION_S),
            CommandError::Overloaded => Problem::new(ProblemKind::Unavailable).code("overloaded"),
            CommandError::Unavailable(_) => Problem::new(ProblemKind::Unavailable).internal(error),
            CommandError::Internal(_) => Problem::new(ProblemKind::Internal).internal(error),
        })
    }
}

/// `NotFound` says nothing more, so that an id that never was and another account's are told apart by nobody.
fn refused(refusal: &dyn DomainError) -> Problem {
    let kind = match refusal.kind() {
        ErrorKind::NotFound => return ProblemKind::NotFound.into(),
        ErrorKind::Conflict => ProblemKind::Conflict,
        ErrorKind::Taken => ProblemKind::Taken,
        ErrorKind::Invalid => ProblemKind::InvalidBody,
    };
    Problem::new(kind)
        .code(refusal.code())
        .detail(refusal.to_string())
}

#[cfg(test)]
mod tests {
    use axum::body::to_bytes;
    use domain::notification::NotificationError;
    use domain::site::SiteError;
    use domain::{InvalidId, activity::ActivityError};
    use serde_json::{Value, json};

    use super::*;

    async fn answer(error: CommandError) -> (u16, Option<String>, Value) {
        let response = Failure::from(error).into_response();
        let retry = response.headers().get("retry-after");
        let retry = retry.map(|value| value.to_str().unwrap().to_owned());
        let status = response.status().as_u16();
        let body = to_bytes(response.into_body(), usize::MAX).await.unwrap();
        (status, retry, serde_json::from_slice(&body).unwrap())
    }

    fn refusal(error: impl DomainError) -> CommandError {
        CommandError::Refused(Box::new(error))
    }

    #[tokio::test]
    async fn every_error_has_its_problem() {
        let down = || "connection to 10.0.0.1 refused".into();
        for (error, status, slug, code, retry) in [
            (
                refusal(NotificationError::Paused),
                409,
                "conflict",
                Some("notification_paused"),
                None,
            ),
            (
                refusal(SiteError::DomainTaken),
                409,
                "taken",
                Some("site_domain_taken"),
                None,
            ),
            (
                refusal(InvalidId),
                422,
                "invalid-body",
                Some("invalid_id"),
                None,
            ),
            (
                CommandError::VersionMismatch { actual: 7 },
                412,
                "precondition-failed",
                None,
                None,
            ),
            (
                CommandError::KeyReused,
                422,
                "idempotency-key-reused",
                None,
                None,
            ),
            (
                CommandError::Contended,
                409,
                "conflict",
                Some("contended"),
                Some("1"),
            ),
            (
                CommandError::Overloaded,
                503,
                "unavailable",
                Some("overloaded"),
                Some("1"),
            ),
            (
                CommandError::Unavailable(down()),
                503,
                "unavailable",
                None,
                Some("1"),
            ),
            (CommandError::Internal(down()), 500, "internal", None, None),
        ] {
            let (actual, retry_after, body) = answer(error).await;
            assert_eq!(actual, status, "{slug}");
            assert_eq!(body["type"], format!("/problems/{slug}"));
            assert_eq!(body.get("code").and_then(Value::as_str), code, "{slug}");
            assert_eq!(retry_after.as_deref(), retry, "{slug}");
            assert!(!body.to_string().contains("10.0.0.1"), "{body}");
        }
    }

    #[tokio::test]
    async fn what_is_not_there_and_what_is_anothers_look_the_same() {
        let nothing = json!({ "type": "/problems/not-found", "title": "Not found", "status": 404 });
        for error in [
            CommandError::NotFound,
            CommandError::VersionMismatch { actual: 0 },
            refusal(SiteError::NotRegistered),
            refusal(NotificationError::NotDrafted),
            refusal(ActivityError::OfAnotherSite),
        ] {
            assert_eq!(answer(error).await, (404, None, nothing.clone()));
        }
    }
}
