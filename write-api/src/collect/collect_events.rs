use axum::Json;
use axum::extract::State;
use axum::http::{HeaderName, HeaderValue};
use platform::clock;
use platform::position::position_header;
use platform::rate_limit::RateLimitHeaders;
use serde::Serialize;
use utoipa::ToSchema;

use super::batch::{Batch, CollectRequest};
use super::event::RefusedEvent;
use super::opt_out::Collectable;
use crate::documentation::CollectProblems;
use crate::failure::Failure;
use crate::network_quota::{Collect, WithinQuota};
use crate::state::WriteState;

/// What became of a batch, durably.
#[derive(Serialize, ToSchema)]
pub(crate) struct Collected {
    /// How many are counted now.
    #[schema(example = 48)]
    accepted: usize,
    /// How many were counted before, or stand in the batch twice.
    #[schema(example = 1)]
    duplicates: usize,
    /// One entry for each event that is not counted.
    refused: Vec<RefusedEvent>,
    /// Opaque. A read that carries it in `Proofline-Min-Position` sees this batch.
    #[schema(example = "dAGbDF57Hnz_nYoLTI0fKhAAAAAAAAAAKg")]
    position: String,
}

type Answer = (
    RateLimitHeaders,
    RateLimitHeaders,
    [(HeaderName, HeaderValue); 1],
    Json<Collected>,
);

/// Collect what visitors saw and did.
///
/// An event counts where its token was signed by us when its notification was served: for an hour, for a conversion 24
/// hours. The same event counts once, however often it is sent. A body of another shape is refused whole; a wrong value
/// refuses its event only, and where no event is left, the request. `text/plain` is taken for JSON, so that
/// `navigator.sendBeacon` needs no preflight; gzip is accepted. Nothing is kept of a browser that says `Sec-GPC: 1`.
#[utoipa::path(
    post,
    path = "/collect",
    tag = "Telemetry",
    request_body(content((CollectRequest = "application/json"), (CollectRequest = "text/plain")), description = "At most 2 MiB, also after decompression."),
    responses(
        (
            status = OK,
            description = "Durable. What is in `refused` was not counted and never will be.",
            body = Collected,
            headers(
                ("Proofline-Position" = String, description = "The body's `position`."),
                ("RateLimit" = String, description = "What is left of the limits of network and site."),
                ("RateLimit-Policy" = String, description = "These limits.")
            )
        ),
        (status = NO_CONTENT, description = "The browser says `Sec-GPC: 1`: nothing of what it sent is read or kept."),
        CollectProblems
    )
)]
pub(crate) async fn collect_events(
    State(app): State<WriteState>,
    _: Collectable,
    network: WithinQuota<Collect>,
    batch: Batch,
) -> Result<Answer, Failure> {
    let judged = batch.judge(&app.impressions, clock::now())?;
    let site = judged.within(&app.limits.collect_site)?;
    let collected = app.commands.telemetry.collect(judged.observations).await?;
    let body = Collected {
        accepted: collected.accepted,
        duplicates: collected.duplicates,
        refused: judged.refused,
        position: collected.position.to_string(),
    };
    body.count();
    let position = position_header(collected.position);
    Ok((network.headers, site, position, Json(body)))
}

impl Collected {
    fn count(&self) {
        count("accepted", self.accepted);
        count("duplicate", self.duplicates);
    }
}

/// `outcome` is a label; never rename.
pub(super) fn count(outcome: &'static str, events: usize) {
    metrics::counter!("proofline_collect_events_total", "outcome" => outcome)
        .increment(events as u64);
}
