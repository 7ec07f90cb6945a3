//! HTTP in: merchants' commands, shops' webhooks and visitors' telemetry.
//!
//! **Owns** what a request must look like to become a command, and what a command's outcome looks like to its caller: one
//! folder per noun, one file per endpoint. **Must not know** how a decision is made or stored (that is `commands`), nor
//! any read model. Business routes only: `platform::serve::finish` adds what both APIs have in common.
//!
//! - A merchant's command is authenticated by [`platform::auth::Writer`], a shop's delivery by its signature, a
//!   visitor's event by the token that it was served with.
//! - **No** body, token, secret or address reaches a log line or a metric's label.

mod activity;
mod answer;
mod authenticator;
mod collect;
mod command_request;
mod documentation;
mod failure;
mod hook;
mod integration;
mod network_quota;
mod notification;
mod site;
mod state;
mod subject;

use utoipa::OpenApi as _;
use utoipa_axum::router::OpenApiRouter;

pub use authenticator::ApiKeys;
pub use state::{WriteConfig, WriteState};

/// Every route of this API with its documentation, to be merged with other routers and given to
/// [`platform::serve::finish`].
pub fn router(state: WriteState) -> OpenApiRouter {
    routes().with_state(state)
}

fn routes() -> OpenApiRouter<WriteState> {
    let mut routes = OpenApiRouter::with_openapi(documentation::Document::openapi())
        .merge(site::routes())
        .merge(notification::routes())
        .merge(integration::routes())
        .merge(activity::routes())
        .merge(subject::routes())
        .merge(hook::routes())
        .merge(collect::routes());
    documentation::add_headers_of_commands(routes.get_openapi_mut());
    routes
}
