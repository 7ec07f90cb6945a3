//! HTTP out: what dashboards, shop pages and streams read.
//!
//! **Owns** what a read looks like to its caller: resources with their `ETag`, pages, time windows, the embed feed and
//! the event stream; one folder per noun, one file per endpoint. **Must not know** how a read model is built or stored
//! (that is `projections`), nor any command. Business routes only: `platform::serve::finish` adds what both APIs have in
//! common.
//!
//! - A merchant's read is authenticated by [`platform::auth::Reader`], that of who audits an account by
//!   [`platform::auth::Officer`]; a shop page names its site by its embed key.
//! - What belongs to another account looks exactly like what was never there.
//! - **Every** answer of a read says at which position it stands, and a read waits for the position that it is asked for.
//! - **No** name, city, token or address reaches a log line or a metric's label.

mod analytics;
mod answer;
mod audit;
mod authenticator;
mod counters;
mod counts;
mod documentation;
mod failure;
mod feed;
mod graphql;
mod integration;
mod list;
mod min_position;
mod notification;
mod query;
mod site;
mod state;
mod stream;
mod subject;
#[cfg(test)]
mod testing;

use utoipa::OpenApi as _;
use utoipa_axum::router::OpenApiRouter;

pub use authenticator::ApiKeys;
pub use state::{ReadConfig, ReadState};

/// Every route of this API with its documentation, to be merged with other routers and given to
/// [`platform::serve::finish`].
pub fn router(state: ReadState) -> OpenApiRouter {
    routes().with_state(state)
}

fn routes() -> OpenApiRouter<ReadState> {
    let mut routes = OpenApiRouter::with_openapi(documentation::Document::openapi())
        .merge(site::routes())
        .merge(subject::routes())
        .merge(notification::routes())
        .merge(integration::routes())
        .merge(analytics::routes())
        .merge(counters::routes())
        .merge(feed::routes())
        .merge(stream::routes())
        .merge(audit::routes())
        .merge(graphql::routes());
    documentation::add_answer_headers(routes.get_openapi_mut());
    routes
}

#[cfg(test)]
mod tests;
