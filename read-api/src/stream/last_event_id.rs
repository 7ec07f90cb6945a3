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
