//! People: what they agreed to, as a shop reports it, and what they ask for, as a compliance officer enters it.

mod consent;
mod export;
mod legal_hold;
mod link;
mod person;
mod register;
mod request;

use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::state::WriteState;

pub(crate) fn routes() -> OpenApiRouter<WriteState> {
    OpenApiRouter::new()
        .routes(routes!(consent::grant_consent))
        .routes(routes!(consent::withdraw_consent))
        .routes(routes!(register::register_subject))
        .routes(routes!(link::link_identity))
        .routes(routes!(link::unlink_identity))
        .routes(routes!(request::request_access))
        .routes(routes!(export::hand_out_export))
        .routes(routes!(request::request_erasure))
        .routes(routes!(request::withdraw_erasure_request))
        .routes(routes!(legal_hold::place_legal_hold))
        .routes(routes!(legal_hold::release_legal_hold))
}
