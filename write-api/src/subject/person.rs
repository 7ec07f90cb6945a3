use commands::Person;
use domain::{DomainError as _, Email};
use platform::fields::Fields;
use serde::Deserialize;
use utoipa::ToSchema;
use uuid::Uuid;

/// What a person is known by: one of the two.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({ "email": "anna@example.com" }))]
pub(super) struct PersonBody {
    /// In any spelling: capitals do not matter.
    #[schema(max_length = 254)]
    email: Option<String>,
    /// An activity of the account whose buyer it is.
    activity_id: Option<Uuid>,
}

impl PersonBody {
    /// `at` is the body's place, for instance `/person`, or nothing.
    pub(super) fn parse(self, at: &str, fields: &mut Fields) -> Option<Person> {
        match (self.email, self.activity_id) {
            (Some(email), None) => fields
                .take(format!("{at}/email"), Email::parse(&email), |error| {
                    error.code()
                })
                .map(Person::Email),
            (None, Some(activity)) => Some(Person::BuyerOf(activity.into())),
            (Some(_), Some(_)) | (None, None) => {
                fields.refuse(
                    at,
                    "one_of",
                    "Give either an e-mail address or an activity.",
                );
                None
            }
        }
    }
}
