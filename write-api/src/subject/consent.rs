use axum::extract::State;
use commands::{NewConsent, Person};
use domain::data_subject::ConsentPurpose;
use domain::{ConsentEvidence, ConsentText, DomainError as _, Label};
use platform::auth::Writer;
use platform::fields::Fields;
use platform::problem::Problem;
use serde::Deserialize;
use utoipa::ToSchema;

use super::person::PersonBody;
use crate::answer::{Answer, CommandAnswer};
use crate::command_request::CommandRequest;
use crate::documentation::{CreateInSiteProblems, IdempotencyHeader};
use crate::failure::Failure;
use crate::state::WriteState;

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({
    "person": { "email": "anna@example.com" },
    "purpose": "display",
    "text_version": "2026-02",
    "text": "I agree that my first name and city are shown to other customers.",
    "evidence": "Checkbox at checkout, order 1001"
}))]
pub(crate) struct GrantConsent {
    person: PersonBody,
    /// `display`, `analytics` or `sharing`.
    purpose: String,
    /// What the shop calls this wording.
    #[schema(max_length = 100)]
    text_version: String,
    /// What the person read, word for word.
    #[schema(max_length = 10000)]
    text: String,
    /// How it was given. Sealed like all personal data.
    #[schema(max_length = 500)]
    evidence: Option<String>,
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({ "person": { "email": "anna@example.com" }, "purpose": "display" }))]
pub(crate) struct WithdrawConsent {
    person: PersonBody,
    /// `display`, `analytics` or `sharing`.
    purpose: String,
}

/// Keep what a person agreed to, as a proof. Agreeing again to the same version changes nothing.
#[utoipa::path(
    post,
    path = "/v1/consents",
    tag = "People",
    params(IdempotencyHeader),
    request_body = GrantConsent,
    responses((status = OK, description = "Kept, now or before. `id` is the person's.", body = CommandAnswer), CreateInSiteProblems),
    security(("api_key" = []))
)]
pub(crate) async fn grant_consent(
    State(app): State<WriteState>,
    writer: Writer,
    request: CommandRequest<GrantConsent>,
) -> Result<Answer, Failure> {
    let call = request.call(&writer);
    let (person, consent) = request.content.parse()?;
    let subjects = &app.commands.subjects;
    Ok(Answer::ok(
        subjects.grant_consent(&call, &person, consent).await?,
    ))
}

/// Note that a person does not agree, or no longer; nobody has to have agreed before. Whoever withdraws `display` or `sharing`
/// is not named on the shop's pages from then on.
#[utoipa::path(
    post,
    path = "/v1/consents/withdraw",
    tag = "People",
    params(IdempotencyHeader),
    request_body = WithdrawConsent,
    responses((status = OK, description = "Withdrawn, now or before. `id` is the person's.", body = CommandAnswer), CreateInSiteProblems),
    security(("api_key" = []))
)]
pub(crate) async fn withdraw_consent(
    State(app): State<WriteState>,
    writer: Writer,
    request: CommandRequest<WithdrawConsent>,
) -> Result<Answer, Failure> {
    let call = request.call(&writer);
    let (person, purpose) = request.content.parse()?;
    let subjects = &app.commands.subjects;
    Ok(Answer::ok(
        subjects.withdraw_consent(&call, &person, purpose).await?,
    ))
}

impl GrantConsent {
    fn parse(self) -> Result<(Person, NewConsent), Problem> {
        let mut fields = Fields::new();
        let person = self.person.parse("/person", &mut fields);
        let purpose = purpose(&self.purpose, &mut fields);
        let version = Label::parse(&self.text_version);
        let version = fields.take("/text_version", version, |error| error.code());
        let text = ConsentText::parse(&self.text);
        let text = fields.take("/text", text, |error| error.code());
        let evidence = self.evidence.as_deref().map(ConsentEvidence::parse);
        let evidence = fields.take_optional("/evidence", evidence, |error| error.code());
        let (person, purpose, text_version, text, evidence) =
            fields.all((person, purpose, version, text, evidence))?;
        let consent = NewConsent {
            purpose,
            text_version,
            text,
            evidence,
        };
        Ok((person, consent))
    }
}

impl WithdrawConsent {
    fn parse(self) -> Result<(Person, ConsentPurpose), Problem> {
        let mut fields = Fields::new();
        let person = self.person.parse("/person", &mut fields);
        let purpose = purpose(&self.purpose, &mut fields);
        fields.all((person, purpose))
    }
}

fn purpose(name: &str, fields: &mut Fields) -> Option<ConsentPurpose> {
    fields.take("/purpose", ConsentPurpose::parse(name), |error| {
        error.code()
    })
}
