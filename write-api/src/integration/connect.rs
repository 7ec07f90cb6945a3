use axum::extract::State;
use commands::NewShop;
use domain::integration::Platform;
use domain::{DomainError as _, Hostname, SiteId, WebhookSecret};
use platform::auth::Writer;
use platform::fields::Fields;
use platform::json::ApiPath;
use platform::problem::Problem;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};
use utoipa::ToSchema;

use crate::answer::{Answer, CommandAnswer};
use crate::command_request::CommandRequest;
use crate::documentation::{CreateInSiteProblems, IdempotencyHeader};
use crate::failure::Failure;
use crate::state::WriteState;

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({
    "platform": "shopify",
    "shop_domain": "trail-shop.myshopify.com",
    "webhook_secret": "shpss_0123456789abcdef"
}))]
pub(crate) struct ConnectIntegration {
    /// `shopify`.
    platform: String,
    /// As the shop system names the shop in its deliveries.
    #[schema(max_length = 253)]
    shop_domain: String,
    /// What the shop signs its deliveries with: of a Shopify app, its client secret. Never shown again.
    #[schema(max_length = 256, write_only)]
    #[serde(deserialize_with = "without_echo")]
    webhook_secret: String,
}

#[derive(Serialize, ToSchema)]
pub(crate) struct IntegrationConnected {
    #[serde(flatten)]
    command: CommandAnswer,
    /// The path on this host that the shop's webhooks go to.
    #[schema(example = "/hooks/0198c0de-0000-7000-8000-000000000001")]
    webhook_url: String,
}

/// Connect a shop to a site.
#[utoipa::path(
    post,
    path = "/v1/sites/{site_id}/integrations",
    tag = "Integrations",
    params(("site_id" = Uuid, Path), IdempotencyHeader),
    request_body = ConnectIntegration,
    responses((status = CREATED, description = "Connected.", body = IntegrationConnected), CreateInSiteProblems),
    security(("api_key" = []))
)]
pub(crate) async fn connect_integration(
    State(app): State<WriteState>,
    writer: Writer,
    ApiPath(site_id): ApiPath<SiteId>,
    request: CommandRequest<ConnectIntegration>,
) -> Result<Answer<IntegrationConnected>, Failure> {
    let call = request.call(&writer);
    let shop = request.content.parse()?;
    let committed = app
        .commands
        .integrations
        .connect(&call, site_id, shop)
        .await?;
    let id = committed.aggregate_id;
    let body = IntegrationConnected {
        command: CommandAnswer::from(&committed),
        webhook_url: format!("/hooks/{id}"),
    };
    let location = format!("/v1/sites/{site_id}/integrations/{id}");
    Ok(Answer::created(location, committed, body))
}

impl ConnectIntegration {
    fn parse(self) -> Result<NewShop, Problem> {
        let mut fields = Fields::new();
        let platform = Platform::parse(&self.platform);
        let platform = fields.take("/platform", platform, |error| error.code());
        let domain = Hostname::parse(&self.shop_domain);
        let domain = fields.take("/shop_domain", domain, |error| error.code());
        let secret = WebhookSecret::parse(&self.webhook_secret);
        let secret = fields.take("/webhook_secret", secret, |error| error.code());
        let (platform, shop_domain, webhook_secret) = fields.all((platform, domain, secret))?;
        Ok(NewShop {
            platform,
            shop_domain,
            webhook_secret,
        })
    }
}

/// serde's own error would quote what was sent in the secret's place, for instance its digits as a number.
fn without_echo<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    String::deserialize(deserializer).map_err(|_| D::Error::custom("expected a string"))
}

#[cfg(test)]
mod tests {
    use platform::json;

    use super::*;

    #[test]
    fn a_secret_of_the_wrong_type_is_not_quoted() {
        let body = br#"{"platform":"shopify","shop_domain":"a.example","webhook_secret":271828}"#;
        let Err(problem) = json::parse::<ConnectIntegration>(body) else {
            panic!("a number is no secret");
        };
        let [error] = problem.errors() else {
            panic!("expected one error in {problem:?}");
        };
        assert_eq!(error.pointer.as_deref(), Some("#/webhook_secret"));
        assert!(!format!("{problem:?}").contains("271828"), "{problem:?}");
    }

    #[test]
    fn every_wrong_value_is_named_at_once() {
        let body = br#"{"platform":"myspace","shop_domain":"shop","webhook_secret":""}"#;
        let request: ConnectIntegration = json::parse(body).unwrap();
        let problem = request.parse().unwrap_err();
        let codes: Vec<&str> = problem.errors().iter().map(|error| &*error.code).collect();
        assert_eq!(codes, ["unknown_name", "hostname_no_dot", "empty"]);
    }
}
