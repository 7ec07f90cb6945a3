//! Reading one's own writes: a read may name the position that it must have reached.

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, Uri};
use platform::problem::{FieldError, Problem, ProblemKind};
use projections::{PositionError, Projection, Token, Waited};
use tracing::Instrument as _;

use crate::failure::Failure;
use crate::query;
use crate::state::Shared;

pub(crate) const HEADER: &str = "Proofline-Min-Position";
pub(crate) const PARAMETER: &str = "min_position";

/// The position that a read waits for, from a header or a query parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct MinPosition(Option<Asked>);

/// A position, and where it stood in the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Asked {
    token: Token,
    parameter: &'static str,
}

impl<S: Send + Sync> FromRequestParts<S> for MinPosition {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Problem> {
        Self::of(&parts.headers, &parts.uri).inspect_err(|_| count("malformed"))
    }
}

impl MinPosition {
    fn of(headers: &HeaderMap, uri: &Uri) -> Result<Self, Problem> {
        let mut asked = Vec::new();
        for value in headers.get_all(HEADER) {
            asked.push(Asked::parse(HEADER, value.to_str().unwrap_or_default())?);
        }
        for value in query::values(uri, PARAMETER) {
            asked.push(Asked::parse(PARAMETER, &value)?);
        }
        match asked[..] {
            [] => Ok(Self(None)),
            [one] => Ok(Self(Some(one))),
            [first, ..] => Err(invalid(first.parameter, "repeated", "send one position")),
        }
    }

    /// Waits, for as long as is configured, until all the models have reached the position. Those that are built from
    /// the other log than the position's have nothing to wait for.
    pub(crate) async fn reached(self, app: &Shared, models: &[Projection]) -> Result<(), Failure> {
        let Some(Asked { token, parameter }) = self.0 else {
            return Ok(());
        };
        let limit = app.config.position_wait_max;
        let span = tracing::debug_span!("position_wait", event.position = token.position);
        let wait = app.reads.positions().wait_for(models, token, limit);
        let waited = wait.instrument(span).await;
        count(outcome(&waited));
        match waited {
            Ok(Waited::Reached) => Ok(()),
            Ok(Waited::NotReached) => Err(Problem::new(ProblemKind::PositionNotReached).into()),
            Err(error) => Err(refused(error, parameter).into()),
        }
    }
}

impl Asked {
    fn parse(parameter: &'static str, text: &str) -> Result<Self, Problem> {
        let token = parse(parameter, text)?;
        Ok(Self { token, parameter })
    }
}

/// A position token from a header or parameter.
pub(crate) fn parse(parameter: &'static str, text: &str) -> Result<Token, Problem> {
    let detail = "expected a position as it stood in an answer of ours";
    let token = text.trim().parse();
    token.map_err(|_| invalid(parameter, "malformed", detail))
}

fn refused(error: PositionError, parameter: &'static str) -> Problem {
    match error {
        PositionError::Beyond { .. } => invalid(
            parameter,
            "beyond_head",
            "nothing has been written up to there",
        ),
        PositionError::OtherIncarnation => invalid(
            parameter,
            "other_incarnation",
            "the position is of a log that was replaced; read again without it",
        ),
        PositionError::ReadHead { .. } | PositionError::ReadCheckpoints(_) => {
            Problem::new(ProblemKind::Unavailable).internal(error)
        }
    }
}

/// A position that no read can wait for.
pub(crate) fn invalid(
    parameter: &'static str,
    code: &'static str,
    detail: &'static str,
) -> Problem {
    Problem::new(ProblemKind::InvalidPosition)
        .code(code)
        .error(FieldError::parameter(parameter, code, detail))
}

fn outcome(waited: &Result<Waited, PositionError>) -> &'static str {
    match waited {
        Ok(Waited::Reached) => "reached",
        Ok(Waited::NotReached) => "not_reached",
        Err(PositionError::Beyond { .. }) => "beyond_head",
        Err(PositionError::OtherIncarnation) => "other_incarnation",
        Err(PositionError::ReadHead { .. } | PositionError::ReadCheckpoints(_)) => "unavailable",
    }
}

fn count(outcome: &'static str) {
    metrics::counter!("proofline_position_waits_total", "outcome" => outcome).increment(1);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{request, token};

    fn asked(uri: &str, headers: &[(&'static str, &str)]) -> Result<Option<Token>, Problem> {
        let parts = request(uri, headers);
        let MinPosition(asked) = MinPosition::of(&parts.headers, &parts.uri)?;
        Ok(asked.map(|asked| asked.token))
    }

    #[test]
    fn a_position_comes_from_the_header_or_the_parameter() {
        let text = token(7).to_string();
        assert_eq!(asked("/?limit=5", &[]).unwrap(), None);
        let in_header = [("proofline-min-position", text.as_str())];
        assert_eq!(asked("/", &in_header).unwrap(), Some(token(7)));
        let in_query = format!("/?limit=5&min_position={text}");
        assert_eq!(asked(&in_query, &[]).unwrap(), Some(token(7)));
    }

    #[test]
    fn what_is_not_one_token_is_refused_by_name() {
        let text = token(7).to_string();
        let twice = format!("/?min_position={text}");
        for (uri, header, parameter, code) in [
            ("/", Some("42"), HEADER, "malformed"),
            ("/", Some(""), HEADER, "malformed"),
            ("/?min_position=", None, PARAMETER, "malformed"),
            ("/?min_position=%FF", None, PARAMETER, "malformed"),
            (&twice, Some(text.as_str()), HEADER, "repeated"),
        ] {
            let header = header.map(|value| ("proofline-min-position", value));
            let problem = asked(uri, header.as_slice()).unwrap_err();
            assert_eq!(problem.kind(), ProblemKind::InvalidPosition);
            let [error] = problem.errors() else {
                panic!("{problem:?}")
            };
            assert_eq!(error.parameter.as_deref(), Some(parameter), "{uri}");
            assert_eq!(error.code, code, "{uri}");
        }
    }

    #[test]
    fn a_position_that_can_never_be_reached_is_refused_and_an_engine_that_is_down_is_not() {
        let beyond = PositionError::Beyond {
            position: 9,
            head: 8,
        };
        assert_eq!(refused(beyond, HEADER).kind(), ProblemKind::InvalidPosition);
        let replaced = refused(PositionError::OtherIncarnation, PARAMETER);
        assert_eq!(replaced.kind(), ProblemKind::InvalidPosition);
        assert_eq!(replaced.errors()[0].parameter.as_deref(), Some(PARAMETER));
    }
}
