//! Where a subscriber goes on.

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, Uri};
use platform::problem::Problem;
use projections::{StreamError, Token};

use crate::failure::Failure;
use crate::min_position::{self, invalid};
use crate::query;

pub(crate) const HEADER: &str = "Last-Event-ID";
pub(crate) const PARAMETER: &str = "last_event_id";

/// The `id` of the last event that the subscriber saw. The header counts before the parameter, which a browser repeats
/// unchanged when it reconnects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LastEventId(Option<Seen>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Seen {
    token: Token,
    parameter: &'static str,
}

impl<S: Send + Sync> FromRequestParts<S> for LastEventId {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Problem> {
        Self::of(&parts.headers, &parts.uri)
    }
}

impl LastEventId {
    fn of(headers: &HeaderMap, uri: &Uri) -> Result<Self, Problem> {
        let header = headers
            .get(HEADER)
            .map(|value| value.to_str().unwrap_or("?").to_owned());
        let given = match header {
            Some(text) => Some((HEADER, text)),
            None => query::values(uri, PARAMETER)
                .pop()
                .map(|text| (PARAMETER, text)),
        };
        let Some((parameter, text)) = given else {
            return Ok(Self(None));
        };
        let token = min_position::parse(parameter, &text)?;
        Ok(Self(Some(Seen { token, parameter })))
    }

    pub(super) fn token(self) -> Option<Token> {
        self.0.map(|seen| seen.token)
    }

    /// Why the stream can't begin.
    pub(super) fn refused(self, error: StreamError) -> Failure {
        let parameter = self.0.map_or(HEADER, |seen| seen.parameter);
        match error {
            StreamError::Beyond { .. } => invalid(
                parameter,
                "beyond_head",
                "nothing has been written up to there",
            )
            .into(),
            StreamError::OtherLog => invalid(
                parameter,
                "other_incarnation",
                "the position is of another log, or of one that was replaced; begin without it",
            )
            .into(),
            StreamError::ReadHead(_)
            | StreamError::Read(_)
            | StreamError::Payload { .. }
            | StreamError::Ended => error.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use platform::problem::ProblemKind;

    use super::*;
    use crate::testing::{request, token};

    fn seen(uri: &str, header: Option<&str>) -> Result<LastEventId, Problem> {
        let header = header.map(|value| ("last-event-id", value));
        let parts = request(uri, header.as_slice());
        LastEventId::of(&parts.headers, &parts.uri)
    }

    #[test]
    fn the_header_counts_before_the_parameter_that_a_browser_repeats() {
        let (old, new) = (token(3).to_string(), token(9).to_string());
        let uri = format!("/v1/events/stream?last_event_id={old}");
        assert_eq!(seen("/v1/events/stream", None).unwrap().token(), None);
        assert_eq!(seen(&uri, None).unwrap().token(), Some(token(3)));
        assert_eq!(seen(&uri, Some(&new)).unwrap().token(), Some(token(9)));
    }

    #[test]
    fn a_malformed_id_is_refused() {
        for (uri, header) in [
            ("/", Some("7")),
            ("/?last_event_id=7", None),
            ("/?last_event_id=", None),
        ] {
            let problem = seen(uri, header).unwrap_err();
            assert_eq!(problem.kind(), ProblemKind::InvalidPosition);
        }
    }

    #[test]
    fn a_position_of_nowhere_is_the_clients_fault_and_names_its_parameter() {
        let last = seen("/", Some(&token(9).to_string())).unwrap();
        let beyond = StreamError::Beyond {
            position: 9,
            head: 8,
        };
        for error in [beyond, StreamError::OtherLog] {
            let problem = Problem::from(last.refused(error));
            assert_eq!(problem.kind(), ProblemKind::InvalidPosition);
            assert_eq!(problem.errors()[0].parameter.as_deref(), Some(HEADER));
        }
        let problem = Problem::from(last.refused(StreamError::Ended));
        assert_eq!(problem.kind(), ProblemKind::Unavailable);
    }
}
