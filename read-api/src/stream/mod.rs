//! The event stream.

mod slots;

use utoipa_axum::router::OpenApiRouter;

pub(crate) use self::slots::StreamSlots;
use crate::state::ReadState;

pub(crate) fn routes() -> OpenApiRouter<ReadState> {
    OpenApiRouter::new()
}
