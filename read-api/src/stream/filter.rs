//! Which events a subscriber wants.

use axum::extract::FromRequestParts;
use axum::http::Uri;
use axum::http::request::Parts;
use domain::EVENT_TYPES;
use platform::problem::{FieldError, Problem, ProblemKind};

use crate::query;

const PARAMETER: &str = "types";

/// Event types by their stored names, or all of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct TypeFilter(Option<Vec<&'static str>>);

impl<S: Send + Sync> FromRequestParts<S> for TypeFilter {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Problem> {
        Self::of(&parts.uri)
    }
}

impl TypeFilter {
    /// Names every unknown type at once.
    pub(super) fn of(uri: &Uri) -> Result<Self, Problem> {
        let given = query::values(uri, PARAMETER);
        if given.is_empty() {
            return Ok(Self(None));
        }
        let (mut wanted, mut unknown) = (Vec::new(), Vec::new());
        for name in given.iter().flat_map(|list| list.split(',')).map(str::trim) {
            match known(name) {
                Some(name) => wanted.push(name),
                None => unknown.push(name),
            }
        }
        match unknown[..] {
            [] => Ok(Self(Some(wanted))),
            _ => Err(refused(&unknown)),
        }
    }

    pub(super) fn wants(&self, event_type: &str) -> bool {
        self.0
            .as_ref()
            .is_none_or(|wanted| wanted.contains(&event_type))
    }
}

fn known(name: &str) -> Option<&'static str> {
    let mut all = EVENT_TYPES.iter().flat_map(|(_, types)| types.iter());
    all.find(|known| **known == name).copied()
}

fn refused(unknown: &[&str]) -> Problem {
    let problem = Problem::new(ProblemKind::InvalidParameter);
    unknown.iter().fold(problem, |problem, name| {
        let detail = format!("there is no event type {name:?}");
        problem.error(FieldError::parameter(PARAMETER, "unknown_variant", detail))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filter(query: &str) -> Result<TypeFilter, Problem> {
        TypeFilter::of(&format!("/v1/events/stream{query}").parse().unwrap())
    }

    #[test]
    fn without_the_parameter_every_type_is_wanted() {
        assert!(filter("?last_event_id=x").unwrap().wants("site.renamed"));
    }

    #[test]
    fn only_the_types_of_the_lists_are_wanted() {
        let filter =
            filter("?types=site.renamed,%20activity.recorded&types=account.opened").unwrap();
        for wanted in ["site.renamed", "activity.recorded", "account.opened"] {
            assert!(filter.wants(wanted), "{wanted}");
        }
        assert!(!filter.wants("site.registered"));
    }

    #[test]
    fn every_unknown_type_is_named() {
        for (query, count) in [
            ("?types=", 1),
            ("?types=site.renamed,", 1),
            ("?types=Site.renamed,x,site.renamed", 2),
        ] {
            let problem = filter(query).unwrap_err();
            assert_eq!(problem.kind(), ProblemKind::InvalidParameter);
            assert_eq!(problem.errors().len(), count, "{query}");
            assert!(
                problem
                    .errors()
                    .iter()
                    .all(|error| error.parameter.as_deref() == Some("types"))
            );
        }
    }
}
