//! What happens in an account, as server-sent events.

mod filter;
mod frame;
mod last_event_id;
mod open;
mod slots;
mod subscription;

use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub(crate) use self::last_event_id::{HEADER, LastEventId, PARAMETER};
pub(crate) use self::slots::StreamSlots;
use crate::state::ReadState;

pub(crate) fn routes() -> OpenApiRouter<ReadState> {
    OpenApiRouter::new().routes(routes!(open::stream_events))
}
