//! A batch of events: its shape, and which of them count.

use std::collections::HashMap;
use std::num::NonZeroU32;

use axum::extract::{FromRequest, Request};
use chrono::{DateTime, Utc};
use commands::Observation;
use domain::{Impression, SiteId};
use platform::fields::Fields;
use platform::json;
use platform::problem::{Problem, ProblemKind};
use platform::rate_limit::{RateLimit, RateLimitHeaders};
use platform::request::RawBody;
use platform::signed::Signer;
use serde::Deserialize;
use utoipa::ToSchema;

use super::collect_events::count;
use super::event::{Event, Refusal, RefusedEvent};

pub(super) const EVENTS_MAX: usize = 1_000;
/// JSON, and what a browser sends without asking first.
const MEDIA_TYPES: [&str; 2] = ["application/json", "text/plain"];

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct CollectRequest {
    #[schema(min_items = 1, max_items = 1000)]
    events: Vec<Event>,
}

/// 1 to 1,000 events of the right shape.
pub(crate) struct Batch(Vec<Event>);

/// What of a batch counts, at least one event, and what does not.
#[derive(Debug)]
pub(crate) struct Judged {
    pub(crate) observations: Vec<Observation>,
    pub(crate) refused: Vec<RefusedEvent>,
}

impl<S: Send + Sync> FromRequest<S> for Batch {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        if !MEDIA_TYPES.contains(&&*json::media_type(request.headers())) {
            return Err(Problem::new(ProblemKind::UnsupportedMediaType)
                .code("content_type")
                .detail("send the body as application/json or text/plain"));
        }
        let RawBody(body) = RawBody::from_request(request, state).await?;
        Self::parse(&body)
    }
}

impl Batch {
    fn parse(body: &[u8]) -> Result<Self, Problem> {
        let CollectRequest { events } = json::parse(body)?;
        let mut fields = Fields::new();
        match events.len() {
            0 => fields.refuse("/events", "empty", "Send at least one event."),
            1..=EVENTS_MAX => {}
            _ => {
                let detail = format!("Send at most {EVENTS_MAX} events at once.");
                fields.refuse("/events", "too_many", detail);
            }
        }
        fields.finish()?;
        Ok(Self(events))
    }

    /// Each event by itself. Many share a token, which is verified once.
    pub(crate) fn judge(self, signer: &Signer, now: DateTime<Utc>) -> Result<Judged, Problem> {
        let Self(events) = self;
        let mut tokens: HashMap<&str, Option<Impression>> = HashMap::new();
        let mut judged = Judged {
            observations: Vec::with_capacity(events.len()),
            refused: Vec::new(),
        };
        for (index, event) in events.iter().enumerate() {
            let impression = *tokens
                .entry(event.token())
                .or_insert_with(|| Impression::from_bytes(&signer.verify(event.token())?));
            match event.judge(impression, now) {
                Ok(observation) => judged.observations.push(observation),
                Err(refusal) => judged.refused.push(RefusedEvent { index, refusal }),
            }
        }
        count("refused", judged.refused.len());
        if judged.observations.is_empty() {
            return Err(all_refused(&judged.refused));
        }
        Ok(judged)
    }
}

impl Judged {
    /// Counts the events against their sites' limits: nearly always one site, whose headers are answered.
    pub(crate) fn within(&self, limit: &RateLimit) -> Result<RateLimitHeaders, Problem> {
        let mut sites: HashMap<SiteId, u32> = HashMap::new();
        for observation in &self.observations {
            *sites.entry(observation.site).or_default() += 1;
        }
        let mut headers = None;
        for (site, events) in sites {
            let events = NonZeroU32::new(events).unwrap_or(NonZeroU32::MIN);
            let checked = limit.check_n(site, events);
            headers = Some(checked.inspect_err(|_| count("limited", self.observations.len()))?);
        }
        headers.ok_or_else(|| Problem::new(ProblemKind::Internal).internal(NoEvents))
    }
}

#[derive(Debug, thiserror::Error)]
#[error("a batch without events was judged")]
struct NoEvents;

/// One problem for all: about the token where that alone is wrong, else about the body.
fn all_refused(refused: &[RefusedEvent]) -> Problem {
    let all = |refusals: &[Refusal]| {
        refused
            .iter()
            .all(|event| refusals.contains(&event.refusal))
    };
    let kind = if all(&[Refusal::TokenExpired]) {
        ProblemKind::TokenExpired
    } else if all(&[Refusal::InvalidToken, Refusal::TokenNotYetValid]) {
        ProblemKind::InvalidToken
    } else {
        ProblemKind::InvalidBody
    };
    let errors = refused.iter().map(RefusedEvent::field_error);
    errors.fold(Problem::new(kind), Problem::error)
}

#[cfg(test)]
mod tests;
