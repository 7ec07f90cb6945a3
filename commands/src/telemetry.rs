//! Telemetry: what visitors' browsers report of notifications that they were really shown.

use chrono::{DateTime, Utc};
use domain::{AccountId, NotificationId, SiteId};
use event_store::{Log as _, NewTelemetry, TelemetryLane, TelemetryLog, Token};
use serde_json::json;
use uuid::Uuid;

use crate::error::CommandError;

#[derive(Clone)]
pub struct Telemetry {
    lane: TelemetryLane,
    log: TelemetryLog,
}

/// One thing that a visitor saw or did. Where it belongs comes from a token that we signed, not from the visitor.
#[derive(Clone, Debug)]
pub struct Observation {
    /// UUID v7, made in the browser.
    pub id: Uuid,
    pub account: AccountId,
    pub site: SiteId,
    pub notification: NotificationId,
    /// Stored name: `impression`, `click`, `dismissal` or `conversion`.
    pub kind: &'static str,
    pub occurred_at: DateTime<Utc>,
    /// A path, without query and fragment.
    pub page: Option<String>,
}

/// What became of a batch, durably.
#[derive(Clone, Debug)]
pub struct Collected {
    pub accepted: usize,
    pub duplicates: usize,
    pub position: Token,
}

impl Telemetry {
    pub fn new(lane: TelemetryLane, log: TelemetryLog) -> Self {
        Self { lane, log }
    }

    /// Stores what is new of the batch. Sending it again counts nothing twice.
    pub async fn collect(&self, batch: Vec<Observation>) -> Result<Collected, CommandError> {
        let collected = self
            .lane
            .collect(batch.into_iter().map(new_telemetry).collect())
            .await?;
        let accepted = collected
            .accepted
            .iter()
            .filter(|accepted| **accepted)
            .count();
        let duplicates = collected.accepted.len() - accepted;
        metrics::counter!("proofline_telemetry_events_total", "outcome" => "accepted")
            .increment(accepted as u64);
        metrics::counter!("proofline_telemetry_events_total", "outcome" => "duplicate")
            .increment(duplicates as u64);
        Ok(Collected {
            accepted,
            duplicates,
            position: self.log.token(collected.position),
        })
    }
}

fn new_telemetry(observation: Observation) -> NewTelemetry {
    let mut payload = json!({ "notification_id": observation.notification });
    if let Some(page) = observation.page {
        payload["page"] = page.into();
    }
    NewTelemetry {
        id: observation.id,
        tenant: observation.account.into(),
        owner: observation.site.into(),
        kind: observation.kind.to_owned(),
        occurred_at: observation.occurred_at,
        payload,
    }
}
