use axum::extract::State;
use axum::response::{IntoResponse as _, Redirect, Response};
use commands::NewSite;
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
    /// Where the site's data has to lie, by the name of one of the platform's regions; by default that of the platform which
    /// is asked.
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
///
/// Each region is a platform of its own, with its own accounts and keys. Where another region is asked for than this one, and
/// this platform knows where that is, the answer leads there.
#[utoipa::path(
    post,
    path = "/v1/sites",
    tag = "Sites",
    params(IdempotencyHeader),
    request_body = RegisterSite,
    responses(
        (status = CREATED, description = "Registered.", body = SiteRegistered),
        (status = TEMPORARY_REDIRECT, description = "Its data has to lie in another region: `Location` is where to register it."),
        CreateProblems
    ),
    security(("api_key" = []))
)]
pub(crate) async fn register_site(
    State(app): State<WriteState>,
    writer: Writer,
    request: CommandRequest<RegisterSite>,
) -> Result<Response, Failure> {
    let call = request.call(&writer);
    let site = request.content.parse()?;
    if let Some(elsewhere) = site
        .data_region
        .as_ref()
        .and_then(|region| app.other_regions.get(region))
    {
        return Ok(Redirect::temporary(&format!("{elsewhere}/v1/sites")).into_response());
    }
    let sites = &app.commands.sites;
    let committed = sites.register(&call, site).await?;
    let body = SiteRegistered {
        command: CommandAnswer::from(&committed),
        embed_key: sites.embed_key(committed.aggregate_id.into()).to_string(),
    };
    let location = format!("/v1/sites/{}", committed.aggregate_id);
    Ok(Answer::created(location, committed, body).into_response())
}

impl RegisterSite {
    fn parse(self) -> Result<NewSite, Problem> {
        let mut fields = Fields::new();
        let name = fields.take("/name", SiteName::parse(&self.name), |error| error.code());
        let domain = fields.take("/domain", Hostname::parse(&self.domain), |error| {
            error.code()
        });
        let data_region = self.data_region.as_deref().map(DataRegion::parse);
        let data_region = fields.take_optional("/data_region", data_region, |error| error.code());
        let (name, domain, data_region) = fields.all((name, domain, data_region))?;
        Ok(NewSite {
            name,
            domain,
            data_region,
        })
    }
}
