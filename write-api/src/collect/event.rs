//! One event, and whether it counts.

use chrono::{DateTime, SubsecRound as _, TimeDelta, Utc};
use commands::Observation;
use domain::Impression;
use platform::problem::FieldError;
use serde::{Deserialize, Serialize, Serializer};
use utoipa::openapi::{RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};
use uuid::{Uuid, Version};

use super::page::{PageError, path_of};

/// How far clocks may be apart.
const SKEW_MAX: TimeDelta = TimeDelta::minutes(5);
/// How long a browser may keep an event, for instance while it is offline.
const AGE_MAX: TimeDelta = TimeDelta::hours(24);

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = TelemetryEvent, example = json!({
    "id": "019a9c1f-5c00-7000-8000-000000000001",
    "type": "impression",
    "token": "AQAAAAAAAAAAAAAAAAAAAAE…",
    "occurred_at": "2026-11-20T09:30:00.250Z",
    "page": "/products/trail-runner"
}))]
pub(crate) struct Event {
    /// UUID v7, made when it happened: at most 24 hours ago. Sent again under the same id, it is the same event.
    #[schema(format = Uuid)]
    id: String,
    #[serde(rename = "type")]
    kind: EventKind,
    /// As it came with the notification in the feed.
    token: String,
    /// RFC 3339, at most 24 hours ago.
    #[schema(format = DateTime)]
    occurred_at: String,
    /// Where it happened. Only the path is kept.
    #[schema(max_length = 512)]
    page: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = TelemetryEventKind)]
pub(crate) enum EventKind {
    Impression,
    Click,
    Dismissal,
    Conversion,
}

/// Why an event does not count. The first reason that is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refusal {
    #[error("an id is a UUID of version 7")]
    NotUuidV7,
    #[error("the id's time is more than 24 hours ago or more than 5 minutes ahead")]
    IdOutOfWindow,
    #[error("the token is not one of ours")]
    InvalidToken,
    #[error("the token is from the future")]
    TokenNotYetValid,
    #[error("the token was served too long ago")]
    TokenExpired,
    #[error("a time is written as in 2026-11-20T09:30:00Z (RFC 3339)")]
    InvalidTime,
    #[error("this is more than 24 hours ago or more than 5 minutes ahead")]
    TimeOutOfWindow,
    #[error("this is before the notification was served")]
    BeforeServed,
    #[error(transparent)]
    Page(#[from] PageError),
}

/// An event of a batch that does not count. In JSON, a field error that points at the member at fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RefusedEvent {
    pub(crate) index: usize,
    pub(crate) refusal: Refusal,
}

impl Event {
    pub(super) fn token(&self) -> &str {
        &self.token
    }

    /// `impression` is what the token says, where it is one of ours.
    pub(super) fn judge(
        &self,
        impression: Option<Impression>,
        now: DateTime<Utc>,
    ) -> Result<Observation, Refusal> {
        let id = parse_id(&self.id, now)?;
        let impression = impression.ok_or(Refusal::InvalidToken)?;
        check_token(&impression, self.kind, now)?;
        let occurred_at = parse_time(&self.occurred_at, &impression, now)?;
        let page = self.page.as_deref().map(path_of).transpose()?;
        Ok(Observation {
            id,
            account: impression.account_id,
            site: impression.site_id,
            notification: impression.notification_id,
            kind: self.kind.as_str(),
            occurred_at,
            page,
        })
    }
}

impl EventKind {
    /// Stored; never rename.
    fn as_str(self) -> &'static str {
        match self {
            Self::Impression => "impression",
            Self::Click => "click",
            Self::Dismissal => "dismissal",
            Self::Conversion => "conversion",
        }
    }

    /// What is seen is seen at once; what is bought is thought over.
    fn token_lifetime(self) -> TimeDelta {
        match self {
            Self::Impression | Self::Click | Self::Dismissal => TimeDelta::hours(1),
            Self::Conversion => TimeDelta::hours(24),
        }
    }
}

impl Refusal {
    /// Part of the answer; never rename.
    pub(crate) fn code(self) -> &'static str {
        match self {
            Self::NotUuidV7 => "not_uuid_v7",
            Self::IdOutOfWindow => "id_out_of_window",
            Self::InvalidToken => "invalid_token",
            Self::TokenNotYetValid => "token_not_yet_valid",
            Self::TokenExpired => "token_expired",
            Self::InvalidTime => "invalid_time",
            Self::TimeOutOfWindow => "time_out_of_window",
            Self::BeforeServed => "before_served",
            Self::Page(error) => error.code(),
        }
    }

    fn member(self) -> &'static str {
        match self {
            Self::NotUuidV7 | Self::IdOutOfWindow => "id",
            Self::InvalidToken | Self::TokenNotYetValid | Self::TokenExpired => "token",
            Self::InvalidTime | Self::TimeOutOfWindow | Self::BeforeServed => "occurred_at",
            Self::Page(_) => "page",
        }
    }
}

impl RefusedEvent {
    pub(crate) fn field_error(&self) -> FieldError {
        let pointer = format!("/events/{}/{}", self.index, self.refusal.member());
        FieldError::pointer(pointer, self.refusal.code(), self.refusal.to_string())
    }
}

impl Serialize for RefusedEvent {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.field_error().serialize(serializer)
    }
}

impl PartialSchema for RefusedEvent {
    fn schema() -> RefOr<Schema> {
        FieldError::schema()
    }
}

impl ToSchema for RefusedEvent {}

fn parse_id(text: &str, now: DateTime<Utc>) -> Result<Uuid, Refusal> {
    let id = Uuid::try_parse(text).map_err(|_| Refusal::NotUuidV7)?;
    if id.get_version() != Some(Version::SortRand) {
        return Err(Refusal::NotUuidV7);
    }
    let (seconds, nanos) = id.get_timestamp().ok_or(Refusal::NotUuidV7)?.to_unix();
    let seconds = i64::try_from(seconds).map_err(|_| Refusal::IdOutOfWindow)?;
    let made_at = DateTime::from_timestamp(seconds, nanos).ok_or(Refusal::IdOutOfWindow)?;
    if within_window(made_at, now) {
        Ok(id)
    } else {
        Err(Refusal::IdOutOfWindow)
    }
}

fn check_token(
    impression: &Impression,
    kind: EventKind,
    now: DateTime<Utc>,
) -> Result<(), Refusal> {
    let age = now - impression.served_at;
    if age < -SKEW_MAX {
        Err(Refusal::TokenNotYetValid)
    } else if age > kind.token_lifetime() {
        Err(Refusal::TokenExpired)
    } else {
        Ok(())
    }
}

fn parse_time(
    text: &str,
    impression: &Impression,
    now: DateTime<Utc>,
) -> Result<DateTime<Utc>, Refusal> {
    let time = DateTime::parse_from_rfc3339(text).map_err(|_| Refusal::InvalidTime)?;
    let time = time.to_utc().trunc_subsecs(6);
    if !within_window(time, now) {
        Err(Refusal::TimeOutOfWindow)
    } else if time < impression.served_at - SKEW_MAX {
        Err(Refusal::BeforeServed)
    } else {
        Ok(time)
    }
}

fn within_window(time: DateTime<Utc>, now: DateTime<Utc>) -> bool {
    (-SKEW_MAX..=AGE_MAX).contains(&(now - time))
}

#[cfg(test)]
mod tests;
