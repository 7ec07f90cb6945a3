//! Which accesses to personal data are wanted.

use async_graphql::InputObject;
use chrono::{DateTime, Utc};
use platform::problem::Problem;
use projections::audit::AccessFilter;
use serde::Deserialize;
use serde::de::IgnoredAny;
use utoipa::IntoParams;

use super::filter::{id, refuse, short, window};
use crate::query::keep;

/// Which accesses are wanted: those that are all of it.
#[derive(Debug, Default, Deserialize, IntoParams, InputObject)]
#[into_params(parameter_in = Query)]
#[graphql(name = "AuditAccessFilter")]
#[serde(deny_unknown_fields)]
pub(super) struct AccessFilterQuery {
    /// Who opened it, exactly as accesses name actors.
    #[param(
        max_length = 200,
        example = "api_key:019a0c5e-7b1e-7cc1-9d8a-0b4c8d1f2a10"
    )]
    actor: Option<String>,
    /// Why, exactly as accesses name it.
    #[param(max_length = 200, example = "subject_export")]
    purpose: Option<String>,
    /// Among those whose data it was.
    #[param(format = Uuid)]
    subject_id: Option<String>,
    /// RFC 3339 (in a URL with `+` written as `%2B`): opened then or later.
    #[param(format = DateTime, example = "2026-11-20T00:00:00Z")]
    from: Option<String>,
    /// RFC 3339: opened before. After `from`.
    #[param(format = DateTime, example = "2026-11-21T00:00:00Z")]
    until: Option<String>,
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

impl AccessFilterQuery {
    /// Names every wrong parameter at once. Nothing noted before `oldest` is shown.
    pub(super) fn parse(self, oldest: DateTime<Utc>) -> Result<AccessFilter, Problem> {
        let mut errors = Vec::new();
        let actor = keep(&mut errors, short("actor", self.actor)).flatten();
        let purpose = keep(&mut errors, short("purpose", self.purpose)).flatten();
        let subject = id("subject_id", self.subject_id.as_deref());
        let subject = keep(&mut errors, subject).flatten();
        let (from, until) = window(&mut errors, self.from.as_deref(), self.until.as_deref());
        refuse(errors)?;
        Ok(AccessFilter {
            actor,
            purpose,
            subject,
            from: Some(from.map_or(oldest, |from| from.max(oldest))),
            until,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OLDEST: &str = "2020-01-01T00:00:00Z";

    #[test]
    fn every_wrong_parameter_is_named() {
        let query = AccessFilterQuery {
            actor: Some(String::new()),
            purpose: Some("ä".repeat(201)),
            subject_id: Some("7".to_owned()),
            from: Some("2026-11-21T00:00:00Z".to_owned()),
            until: Some("2026-11-21T00:00:00Z".to_owned()),
            ..AccessFilterQuery::default()
        };
        let problem = query.parse(OLDEST.parse().unwrap()).unwrap_err();
        let named = problem.errors().iter().map(|error| &error.parameter);
        let named: Vec<&str> = named.map(|name| name.as_deref().unwrap()).collect();
        assert_eq!(named, ["actor", "purpose", "subject_id", "until"]);
    }

    #[test]
    fn nothing_is_shown_that_is_too_old() {
        let oldest = OLDEST.parse().unwrap();
        let filter = AccessFilterQuery::default().parse(oldest).unwrap();
        assert_eq!(filter.from, Some(oldest));
    }
}
