use commands::Person;
use domain::{DomainError as _, Email, VisitorId};
use platform::fields::Fields;
use serde::Deserialize;
use utoipa::ToSchema;
use uuid::Uuid;

/// What a person is known by: one of the three.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({ "email": "anna@example.com" }))]
pub(super) struct PersonBody {
    /// In any spelling: capitals do not matter.
    #[schema(max_length = 254)]
    email: Option<String>,
    /// An activity of the account whose buyer it is.
    activity_id: Option<Uuid>,
    /// What the account's pages know a visitor by, such as the value of a cookie of their own. It is not kept.
    #[schema(max_length = 200)]
    visitor_id: Option<String>,
}

impl PersonBody {
    /// `at` is the body's place, for instance `/person`, or nothing.
    pub(super) fn parse(self, at: &str, fields: &mut Fields) -> Option<Person> {
        match (self.email, self.activity_id, self.visitor_id) {
            (Some(email), None, None) => fields
                .take(format!("{at}/email"), Email::parse(&email), |error| {
                    error.code()
                })
                .map(Person::Email),
            (None, Some(activity), None) => Some(Person::BuyerOf(activity.into())),
            (None, None, Some(visitor)) => fields
                .take(
                    format!("{at}/visitor_id"),
                    VisitorId::parse(&visitor),
                    |error| error.code(),
                )
                .map(Person::Visitor),
            _ => {
                fields.refuse(
                    at,
                    "one_of",
                    "Give one of an e-mail address, an activity and a visitor's id.",
                );
                None
            }
        }
    }
}
