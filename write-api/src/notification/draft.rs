use axum::extract::State;
use commands::NewNotification;
use domain::{DomainError as _, MessageTemplate, NotificationName, SiteId};
use platform::auth::Writer;
use platform::fields::Fields;
use platform::json::ApiPath;
use platform::problem::Problem;
use serde::Deserialize;
use utoipa::ToSchema;

use crate::answer::{Answer, CommandAnswer};
use crate::command_request::CommandRequest;
use crate::documentation::{CreateInSiteProblems, IdempotencyHeader};
use crate::failure::Failure;
use crate::state::WriteState;

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({
    "name": "Recent orders",
    "message": "{first_name} from {city} bought the {product}"
}))]
pub(crate) struct DraftNotification {
    /// For the merchant only.
    #[schema(max_length = 100)]
    name: String,
    /// One line. `{first_name}`, `{city}` and `{product}` stand for what happened; a brace for nothing else.
    #[schema(max_length = 280)]
    message: String,
}

/// Draft a notification. It is shown once it is published.
#[utoipa::path(
    post,
    path = "/v1/sites/{site_id}/notifications",
    tag = "Notifications",
    params(("site_id" = Uuid, Path), IdempotencyHeader),
    request_body = DraftNotification,
    responses((status = CREATED, description = "Drafted.", body = CommandAnswer), CreateInSiteProblems),
    security(("api_key" = []))
)]
pub(crate) async fn draft_notification(
    State(app): State<WriteState>,
    writer: Writer,
    ApiPath(site_id): ApiPath<SiteId>,
    request: CommandRequest<DraftNotification>,
) -> Result<Answer, Failure> {
    let call = request.call(&writer);
    let notification = request.content.parse()?;
    let notifications = &app.commands.notifications;
    let committed = notifications.draft(&call, site_id, notification).await?;
    let id = committed.aggregate_id;
    let location = format!("/v1/sites/{site_id}/notifications/{id}");
    let body = CommandAnswer::from(&committed);
    Ok(Answer::created(location, committed, body))
}

impl DraftNotification {
    fn parse(self) -> Result<NewNotification, Problem> {
        let mut fields = Fields::new();
        let name = NotificationName::parse(&self.name);
        let name = fields.take("/name", name, |error| error.code());
        let message = MessageTemplate::parse(&self.message);
        let message = fields.take("/message", message, |error| error.code());
        let (name, message) = fields.all((name, message))?;
        Ok(NewNotification { name, message })
    }
}
