use axum::extract::State;
use commands::{Call, CommandError, Committed, Sites};
use domain::site::{SiteSettings, SiteSettingsError};
use domain::{DomainError as _, SiteId, SiteName};
use platform::auth::Writer;
use platform::fields::Fields;
use platform::json::ApiPath;
use platform::problem::Problem;
use platform::request::IfMatch;
use serde::Deserialize;
use utoipa::ToSchema;

use crate::answer::{Answer, CommandAnswer};
use crate::command_request::CommandRequest;
use crate::documentation::{ChangeProblems, IdempotencyHeader, IfMatchHeader};
use crate::failure::Failure;
use crate::state::WriteState;

/// At least one member. What is left out stays as it is.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({ "settings": { "feed_items_max": 20 } }))]
pub(crate) struct ChangeSite {
    #[schema(max_length = 100)]
    name: Option<String>,
    settings: Option<ChangeSettings>,
}

/// At least one member. What is left out stays as it is.
#[derive(Clone, Copy, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ChangeSettings {
    /// How many activities the feed shows at most.
    #[schema(minimum = 1, maximum = 50)]
    feed_items_max: Option<u32>,
    /// How old, in hours, an activity in the feed may be.
    #[schema(minimum = 1, maximum = 720)]
    feed_age_hours_max: Option<u32>,
}

/// A change whose values are right.
struct SiteChange {
    name: Option<SiteName>,
    settings: Option<ChangeSettings>,
}

/// Change a site's name, or some of its settings.
#[utoipa::path(
    patch,
    path = "/v1/sites/{site_id}",
    tag = "Sites",
    params(("site_id" = Uuid, Path), IdempotencyHeader, IfMatchHeader),
    request_body = ChangeSite,
    responses((status = OK, description = "Changed.", body = CommandAnswer), ChangeProblems),
    security(("api_key" = []))
)]
pub(crate) async fn change_site(
    State(app): State<WriteState>,
    writer: Writer,
    ApiPath(site_id): ApiPath<SiteId>,
    if_match: IfMatch,
    request: CommandRequest<ChangeSite>,
) -> Result<Answer, Failure> {
    let call = request.call_if(&writer, if_match);
    let change = request.content.parse()?;
    let committed = change.make(&app.commands.sites, &call, site_id).await?;
    Ok(Answer::ok(committed))
}

impl ChangeSite {
    fn parse(self) -> Result<SiteChange, Problem> {
        let mut fields = Fields::new();
        let name = self.name.as_deref().map(SiteName::parse);
        let name = fields.take_optional("/name", name, |error| error.code());
        if self.name.is_none() && self.settings.is_none() {
            fields.refuse("", "empty", "Give a name or settings.");
        }
        if let Some(settings) = self.settings {
            settings.check(&mut fields);
        }
        let (name,) = fields.all((name,))?;
        Ok(SiteChange {
            name,
            settings: self.settings,
        })
    }
}

impl ChangeSettings {
    /// Every limit stands by itself, so that what is right here is right with any other settings too.
    fn check(self, fields: &mut Fields) {
        if self.feed_items_max.is_none() && self.feed_age_hours_max.is_none() {
            fields.refuse("/settings", "empty", "Give at least one setting.");
        }
        for error in self.onto(SiteSettings::default()).err().unwrap_or_default() {
            let pointer = format!("/settings/{}", error.field());
            fields.refuse(pointer, error.code(), error.to_string());
        }
    }

    fn onto(self, current: SiteSettings) -> Result<SiteSettings, Vec<SiteSettingsError>> {
        SiteSettings::try_new(
            self.feed_items_max
                .unwrap_or_else(|| current.feed_items_max().into()),
            self.feed_age_hours_max
                .unwrap_or_else(|| current.feed_age_hours_max().into()),
        )
    }
}

impl SiteChange {
    async fn make(self, sites: &Sites, call: &Call, id: SiteId) -> Result<Committed, CommandError> {
        match self.settings {
            None => sites.change(call, id, self.name, None).await,
            Some(settings) => {
                // Checked by `parse`.
                let merge = |current| settings.onto(current).unwrap_or(current);
                sites.change_settings(call, id, self.name, merge).await
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use platform::json;

    use super::*;

    #[track_caller]
    fn errors(body: &str) -> Vec<(String, String)> {
        let change: ChangeSite = json::parse(body.as_bytes()).unwrap();
        let Err(problem) = change.parse() else {
            return Vec::new();
        };
        let error = |error: &platform::problem::FieldError| {
            (error.pointer.clone().unwrap(), error.code.clone())
        };
        problem.errors().iter().map(error).collect()
    }

    #[test]
    fn every_wrong_value_is_named_at_once() {
        let body = r#"{"name":" ","settings":{"feed_items_max":51,"feed_age_hours_max":0}}"#;
        let expected = [
            ("#/name", "empty"),
            ("#/settings/feed_items_max", "feed_items_out_of_range"),
            ("#/settings/feed_age_hours_max", "feed_age_out_of_range"),
        ];
        let expected = expected.map(|(pointer, code)| (pointer.to_owned(), code.to_owned()));
        assert_eq!(errors(body), expected);
    }

    #[test]
    fn a_change_of_nothing_is_refused() {
        let empty = |pointer: &str| vec![(pointer.to_owned(), "empty".to_owned())];
        assert_eq!(errors("{}"), empty("#"));
        assert_eq!(errors(r#"{"settings":{}}"#), empty("#/settings"));
        assert_eq!(errors(r#"{"name":"A","settings":{}}"#), empty("#/settings"));
        assert_eq!(errors(r#"{"name":"A"}"#), []);
    }

    #[test]
    fn settings_that_are_left_out_stay() {
        let change: ChangeSite = json::parse(br#"{"settings":{"feed_items_max":20}}"#).unwrap();
        let merged = change
            .settings
            .unwrap()
            .onto(SiteSettings::try_new(5, 7).unwrap());
        assert_eq!(merged, SiteSettings::try_new(20, 7));
    }
}
