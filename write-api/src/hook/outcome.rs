//! What became of a delivery.

use axum::Json;
use axum::response::{IntoResponse, Response};
use commands::Committed;
use platform::position::position_header;
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

#[derive(Clone, Debug)]
pub(crate) enum Outcome {
    Recorded(Committed),
    Withdrawn(Committed),
    /// All was as wanted before, by this delivery or by another one.
    Duplicate(Committed),
    Ignored(Reason),
}

/// Why a delivery is of no interest. It is acknowledged all the same: a shop system that is refused for long stops
/// delivering.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reason {
    UnknownTopic,
    TestOrder,
    CancelledOrder,
    VoidedOrder,
    RefundedOrder,
}

#[derive(Serialize, ToSchema)]
#[schema(example = json!({
    "status": "recorded",
    "activity_id": "38527203-f181-59e1-a039-be7b37c55516",
    "position": "ZQGbDF57Hnz_nYoLTI0fKhAAAAAAAAAAKg"
}))]
pub(crate) struct HookAnswer {
    /// `recorded`, `withdrawn`, `duplicate` or `ignored`.
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    activity_id: Option<Uuid>,
    #[serde(skip_serializing_if = "Option::is_none")]
    position: Option<String>,
    /// Why it was ignored: `unknown_topic`, `test_order`, `cancelled_order`, `voided_order` or `refunded_order`.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
}

impl Outcome {
    /// Part of the answer and of a metric; never rename.
    pub(crate) fn status(&self) -> &'static str {
        match self {
            Self::Recorded(_) => "recorded",
            Self::Withdrawn(_) => "withdrawn",
            Self::Duplicate(_) => "duplicate",
            Self::Ignored(_) => "ignored",
        }
    }

    pub(crate) fn reason(&self) -> Option<Reason> {
        match self {
            Self::Recorded(_) | Self::Withdrawn(_) | Self::Duplicate(_) => None,
            Self::Ignored(reason) => Some(*reason),
        }
    }

    fn committed(&self) -> Option<&Committed> {
        match self {
            Self::Recorded(committed) | Self::Withdrawn(committed) | Self::Duplicate(committed) => {
                Some(committed)
            }
            Self::Ignored(_) => None,
        }
    }
}

impl Reason {
    /// Part of the answer; never rename.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::UnknownTopic => "unknown_topic",
            Self::TestOrder => "test_order",
            Self::CancelledOrder => "cancelled_order",
            Self::VoidedOrder => "voided_order",
            Self::RefundedOrder => "refunded_order",
        }
    }
}

impl IntoResponse for Outcome {
    fn into_response(self) -> Response {
        let committed = self.committed();
        let answer = HookAnswer {
            status: self.status(),
            activity_id: committed.map(|committed| committed.aggregate_id),
            position: committed.map(|committed| committed.position.to_string()),
            reason: self.reason().map(Reason::as_str),
        };
        match committed {
            Some(committed) => (position_header(committed.position), Json(answer)).into_response(),
            None => Json(answer).into_response(),
        }
    }
}
