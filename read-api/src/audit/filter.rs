//! Which events of the account are wanted.

use async_graphql::InputObject;
use chrono::{DateTime, Utc};
use domain::EVENT_TYPES;
use platform::problem::{FieldError, Problem, ProblemKind};
use projections::audit::{About, AuditFilter, AuditQuery, StreamId};
use serde::Deserialize;
use serde::de::IgnoredAny;
use utoipa::IntoParams;
use uuid::Uuid;

use crate::query::{keep, time};

/// Of an actor and of a text.
const CHARS_MAX: usize = 200;

/// Which entries are wanted: those that are all of it.
#[derive(Debug, Default, Deserialize, IntoParams, InputObject)]
#[into_params(parameter_in = Query)]
#[graphql(name = "AuditFilter")]
// With a filter that is not heard of, everything would look like what was asked for.
#[serde(deny_unknown_fields)]
pub(super) struct FilterQuery {
    /// Who did it, exactly as entries name actors.
    #[param(
        max_length = 200,
        example = "api_key:019a0c5e-7b1e-7cc1-9d8a-0b4c8d1f2a10"
    )]
    actor: Option<String>,
    #[param(example = "site")]
    aggregate_type: Option<String>,
    /// Of an aggregate of that type.
    #[param(format = Uuid)]
    aggregate_id: Option<String>,
    /// The event's type.
    #[param(example = "site.renamed")]
    r#type: Option<String>,
    /// RFC 3339 (in a URL with `+` written as `%2B`): recorded then or later.
    #[param(format = DateTime, example = "2026-11-20T00:00:00Z")]
    from: Option<String>,
    /// RFC 3339: recorded before. After `from`.
    #[param(format = DateTime, example = "2026-11-21T00:00:00Z")]
    until: Option<String>,
    /// A part of the sentence, in whatever case.
    #[param(max_length = 200, example = "renamed")]
    text: Option<String>,
    /// Read by `PageQuery`.
    #[param(ignore)]
    #[serde(default, rename = "limit")]
    #[graphql(skip)]
    _limit: IgnoredAny,
    #[param(ignore)]
    #[serde(default, rename = "cursor")]
    #[graphql(skip)]
    _cursor: IgnoredAny,
    /// Read by `MinPosition`.
    #[param(ignore)]
    #[serde(default, rename = "min_position")]
    #[graphql(skip)]
    _min_position: IgnoredAny,
}

impl FilterQuery {
    /// Names every wrong parameter at once. Nothing recorded before `oldest` is shown.
    pub(super) fn parse(
        self,
        oldest: DateTime<Utc>,
        before: Option<i64>,
        limit: u16,
    ) -> Result<AuditQuery, Problem> {
        let mut errors = Vec::new();
        let (from, until) = window(&mut errors, self.from.as_deref(), self.until.as_deref());
        let actor = keep(&mut errors, short("actor", self.actor)).flatten();
        let text = keep(&mut errors, short("text", self.text)).flatten();
        let event_type = keep(&mut errors, event_type(self.r#type)).flatten();
        let about = about(&mut errors, self.aggregate_type, self.aggregate_id);
        refuse(errors)?;
        Ok(AuditQuery {
            filter: AuditFilter {
                actor,
                event_type,
                about,
            },
            from: Some(from.map_or(oldest, |from| from.max(oldest))),
            until,
            text,
            before,
            limit,
        })
    }
}

/// Names every wrong parameter.
pub(super) fn refuse(errors: Vec<FieldError>) -> Result<(), Problem> {
    if errors.is_empty() {
        return Ok(());
    }
    let problem = Problem::new(ProblemKind::InvalidParameter);
    Err(errors.into_iter().fold(problem, Problem::error))
}

/// From when, and before when.
pub(super) fn window(
    errors: &mut Vec<FieldError>,
    from: Option<&str>,
    until: Option<&str>,
) -> (Option<DateTime<Utc>>, Option<DateTime<Utc>>) {
    let from = keep(errors, time("from", from)).flatten();
    let until = keep(errors, time("until", until)).flatten();
    if from.zip(until).is_some_and(|(from, until)| from >= until) {
        let detail = "must be after `from`";
        errors.push(FieldError::parameter("until", "window_inverted", detail));
    }
    (from, until)
}

pub(super) fn id(parameter: &'static str, text: Option<&str>) -> Result<Option<Uuid>, FieldError> {
    let detail = "must be a UUID";
    let id = text.map(Uuid::parse_str).transpose();
    id.map_err(|_| FieldError::parameter(parameter, "invalid_id", detail))
}

pub(super) fn short(
    parameter: &'static str,
    text: Option<String>,
) -> Result<Option<String>, FieldError> {
    match text {
        Some(text) if text.is_empty() => {
            let detail = "leave the parameter out, or say what is wanted";
            Err(FieldError::parameter(parameter, "empty", detail))
        }
        Some(text) if text.chars().count() > CHARS_MAX => {
            let detail = format!("must be at most {CHARS_MAX} characters");
            Err(FieldError::parameter(parameter, "too_long", detail))
        }
        // Postgres stores no such text, and takes none to compare with.
        Some(text) if text.contains('\0') => {
            let detail = "must not contain the character U+0000";
            Err(FieldError::parameter(
                parameter,
                "invalid_character",
                detail,
            ))
        }
        text => Ok(text),
    }
}

fn event_type(name: Option<String>) -> Result<Option<String>, FieldError> {
    let mut known = EVENT_TYPES.iter().flat_map(|(_, types)| types.iter());
    match name {
        Some(name) if !known.any(|known| *known == name) => {
            let detail = format!("there is no event type {name:?}");
            Err(FieldError::parameter("type", "unknown_variant", detail))
        }
        name => Ok(name),
    }
}

fn about(
    errors: &mut Vec<FieldError>,
    aggregate_type: Option<String>,
    id: Option<String>,
) -> Option<About> {
    let id = keep(errors, self::id("aggregate_id", id.as_deref())).flatten();
    let Some(aggregate_type) = aggregate_type else {
        if id.is_some() {
            let detail = "is needed with an id";
            let error = FieldError::parameter("aggregate_type", "missing_field", detail);
            errors.push(error);
        }
        return None;
    };
    if !EVENT_TYPES
        .iter()
        .any(|(known, _)| *known == aggregate_type)
    {
        let names: Vec<&str> = EVENT_TYPES.iter().map(|(name, _)| *name).collect();
        let detail = format!("expected one of {}", names.join(", "));
        let error = FieldError::parameter("aggregate_type", "unknown_variant", detail);
        errors.push(error);
        return None;
    }
    Some(match id {
        None => About::Any(aggregate_type),
        Some(id) => About::One(StreamId {
            aggregate_type,
            aggregate_id: id.to_string(),
        }),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const OLDEST: &str = "2020-01-01T00:00:00Z";

    fn parse(query: FilterQuery) -> Result<AuditQuery, Problem> {
        query.parse(OLDEST.parse().unwrap(), None, 20)
    }

    fn text(text: &str) -> Option<String> {
        Some(text.to_owned())
    }

    #[test]
    fn without_parameters_everything_is_wanted_that_is_not_too_old() {
        let query = parse(FilterQuery::default()).unwrap();
        assert_eq!(query.filter, AuditFilter::default());
        assert_eq!(query.from, Some(OLDEST.parse().unwrap()));
        let query = parse(FilterQuery {
            from: text("2019-12-31T23:59:59Z"),
            ..FilterQuery::default()
        });
        assert_eq!(query.unwrap().from, Some(OLDEST.parse().unwrap()));
    }

    #[test]
    fn one_aggregate_is_named_by_its_type_and_id() {
        let id = Uuid::from_u128(7);
        let query = parse(FilterQuery {
            aggregate_type: text("site"),
            aggregate_id: Some(id.to_string().to_uppercase()),
            ..FilterQuery::default()
        });
        let stream = StreamId {
            aggregate_type: "site".to_owned(),
            aggregate_id: id.to_string(),
        };
        assert_eq!(query.unwrap().filter.about, Some(About::One(stream)));
    }

    #[test]
    fn every_wrong_parameter_is_named() {
        let query = FilterQuery {
            actor: text(""),
            aggregate_type: text("shop"),
            aggregate_id: text("7"),
            r#type: text("site.vanished"),
            from: text("2026-11-21"),
            until: text("soon"),
            text: Some("ä".repeat(201)),
            ..FilterQuery::default()
        };
        let problem = parse(query).unwrap_err();
        assert_eq!(problem.kind(), ProblemKind::InvalidParameter);
        let named = |error: &FieldError| error.parameter.clone().unwrap();
        let mut found: Vec<String> = problem.errors().iter().map(named).collect();
        found.sort_unstable();
        let all = "actor aggregate_id aggregate_type from text type until";
        assert_eq!(found.join(" "), all);
    }

    #[test]
    fn parameters_that_do_not_fit_together_are_refused() {
        for (query, parameter) in [
            (
                FilterQuery {
                    aggregate_id: Some(Uuid::nil().to_string()),
                    ..FilterQuery::default()
                },
                "aggregate_type",
            ),
            (
                FilterQuery {
                    from: text("2026-11-21T00:00:00Z"),
                    until: text("2026-11-21T00:00:00Z"),
                    ..FilterQuery::default()
                },
                "until",
            ),
        ] {
            let problem = parse(query).unwrap_err();
            let [error] = problem.errors() else {
                panic!("one error: {problem:?}")
            };
            assert_eq!(error.parameter.as_deref(), Some(parameter));
        }
    }
}
