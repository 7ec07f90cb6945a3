use axum::extract::State;
use commands::NewSite;
use domain::site::SiteError;
use domain::{DataRegion, DomainError as _, Hostname, SiteName};
use platform::auth::Writer;
use platform::fields::Fields;
use platform::problem::Problem;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::answer::{Answer, CommandAnswer};
use crate::command_request::CommandRequest;
use crate::documentation::{CreateProblems, IdempotencyHeader};
use crate::failure::Failure;
use crate::state::WriteState;

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({ "name": "Trail Shop", "domain": "shop.example.com" }))]
pub(crate) struct RegisterSite {
    #[schema(max_length = 100)]
    name: String,
    /// Where the shop is, without scheme and port.
    #[schema(max_length = 253)]
    domain: String,
    /// Where the site's data has to lie, by the name of a region; by default that of this platform. Each region is a platform of
    /// its own, with accounts and keys of its own: where another one is demanded, the problem says where it is, if that is known.
    #[schema(example = "eu", max_length = 32)]
    data_region: Option<String>,
}

#[derive(Serialize, ToSchema)]
pub(crate) struct SiteRegistered {
    #[serde(flatten)]
    command: CommandAnswer,
    /// Public: names the site in the shop's pages.
    #[schema(example = "pk_0123456789abcdef0123456789abcdef")]
    embed_key: String,
}

/// Register a site.
#[utoipa::path(
    post,
    path = "/v1/sites",
    tag = "Sites",
    params(IdempotencyHeader),
    request_body = RegisterSite,
    responses((status = CREATED, description = "Registered.", body = SiteRegistered), CreateProblems),
    security(("api_key" = []))
)]
pub(crate) async fn register_site(
    State(app): State<WriteState>,
    writer: Writer,
    request: CommandRequest<RegisterSite>,
) -> Result<Answer<SiteRegistered>, Failure> {
    let call = request.call(&writer);
    let site = request.content.parse(&app)?;
    let sites = &app.commands.sites;
    let committed = sites.register(&call, site).await?;
    let body = SiteRegistered {
        command: CommandAnswer::from(&committed),
        embed_key: sites.embed_key(committed.aggregate_id.into()).to_string(),
    };
    let location = format!("/v1/sites/{}", committed.aggregate_id);
    Ok(Answer::created(location, committed, body))
}

impl RegisterSite {
    fn parse(self, app: &WriteState) -> Result<NewSite, Problem> {
        let mut fields = Fields::new();
        let name = fields.take("/name", SiteName::parse(&self.name), |error| error.code());
        let domain = fields.take("/domain", Hostname::parse(&self.domain), |error| {
            error.code()
        });
        let data_region = self.data_region.as_deref().map(DataRegion::parse);
        if let Some(Ok(region)) = &data_region
            && app.commands.sites.region() != Some(region.as_str())
        {
            let detail = match app.other_regions.get(region) {
                Some(url) => format!("Sites of this region are registered at {url}."),
                None => SiteError::UnknownRegion.to_string(),
            };
            fields.refuse("/data_region", SiteError::UnknownRegion.code(), detail);
        }
        let data_region = fields.take_optional("/data_region", data_region, |error| error.code());
        let (name, domain, data_region) = fields.all((name, domain, data_region))?;
        Ok(NewSite {
            name,
            domain,
            data_region,
        })
    }
}
