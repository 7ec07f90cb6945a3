//! An account's events as they happen: one tail per process, and for each subscriber what it missed before.

mod redact;
mod tail;

use std::sync::Arc;

use async_stream::try_stream;
use chrono::{DateTime, Utc};
use cqrs_es::Aggregate as _;
use domain::AccountId;
use domain::data_subject::DataSubject;
use event_store::{EventLog, Log as _, RecordedEvent, Token};
use futures::Stream;
use serde_json::Value;
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;

pub(crate) use self::tail::{Tail, TailSink};

/// How many positions are read at once for a subscriber that is behind.
const WINDOW: i64 = 2_000;

/// An event as whoever may read the account may see it. Personal data is null, sealed or not; what people ask for is for
/// compliance officers alone and is not told.
#[derive(Clone, Debug, PartialEq)]
pub struct PublicEvent {
    /// Resumes the stream after this event.
    pub position: Token,
    /// Stored name, for instance `site.registered`.
    pub event_type: String,
    pub event_version: String,
    pub aggregate_type: String,
    pub aggregate_id: String,
    /// The aggregate's version after the event.
    pub version: i64,
    pub recorded_at: DateTime<Utc>,
    pub payload: Value,
}

/// Why a stream of events ended or could not begin.
#[derive(Debug, thiserror::Error)]
pub enum StreamError {
    #[error("position {position} is beyond the log's head {head}")]
    Beyond { position: i64, head: i64 },
    #[error("the position is not one of this incarnation of the domain log")]
    OtherLog,
    #[error("could not read the head of the domain log")]
    ReadHead(#[source] sqlx::Error),
    #[error("could not read events from the domain log")]
    Read(#[source] sqlx::Error),
    #[error("the payload of event {position} is not JSON")]
    Payload {
        position: i64,
        source: serde_json::Error,
    },
    #[error("the process is stopping")]
    Ended,
}

/// Where subscribers come in. Cheap to clone.
#[derive(Clone)]
pub struct EventStream {
    log: EventLog,
    tail: Tail,
}

impl EventStream {
    pub(crate) fn new(log: EventLog, tail: Tail) -> Self {
        Self { log, tail }
    }

    /// Where a subscriber begins that has no token.
    pub async fn head(&self) -> Result<Token, StreamError> {
        let (head, _) = self.log.head().await.map_err(StreamError::ReadHead)?;
        Ok(self.log.token(head))
    }

    /// The account's events after the token, or from now on, each once and in order, without end. A subscriber that is
    /// slow reads from the log what the tail no longer holds.
    pub async fn subscribe(
        &self,
        account: AccountId,
        after: Option<Token>,
    ) -> Result<impl Stream<Item = Result<PublicEvent, StreamError>> + Send + use<>, StreamError>
    {
        let (head, incarnation) = self.log.head().await.map_err(StreamError::ReadHead)?;
        let after = match after {
            None => head,
            Some(token) if token != self.log.token(token.position) => {
                return Err(StreamError::OtherLog);
            }
            Some(_) if incarnation != self.log.incarnation() => return Err(StreamError::OtherLog),
            Some(token) if token.position > head => {
                return Err(StreamError::Beyond {
                    position: token.position,
                    head,
                });
            }
            Some(token) => token.position,
        };
        Ok(self.clone().follow(account, after, head))
    }

    /// The tail is listened to before anything is read, and `position` says what was yielded or passed over. So an
    /// event comes from the log or from the tail and never from both: the tail's is taken only where it is the very
    /// next, and whatever lies between is read.
    fn follow(
        self,
        account: AccountId,
        after: i64,
        head: i64,
    ) -> impl Stream<Item = Result<PublicEvent, StreamError>> + Send {
        try_stream! {
            let mut live = self.tail.listen();
            let mut position = after;
            let mut read_to = self.tail.position().max(head);
            loop {
                while position < read_to {
                    let to = read_to.min(position + WINDOW);
                    let missed = self
                        .log
                        .read_tenant(account.into(), position, to)
                        .await
                        .map_err(StreamError::Read)?;
                    for event in missed.iter().filter(|event| is_public(event)) {
                        yield self.public(event)?;
                    }
                    position = to;
                }
                let heard = tokio::select! {
                    heard = live.recv() => heard,
                    () = self.tail.ended() => Err(RecvError::Closed),
                };
                match heard {
                    Ok(event) if event.position <= position => {}
                    Ok(event) if event.position == position + 1 => {
                        position = event.position;
                        if event.tenant == *account.as_uuid() && is_public(&event) {
                            yield self.public(&event)?;
                        }
                    }
                    Ok(event) => read_to = event.position,
                    Err(RecvError::Lagged(_)) => read_to = self.tail.position(),
                    Err(RecvError::Closed) => Err(StreamError::Ended)?,
                }
            }
        }
    }

    fn public(&self, event: &RecordedEvent) -> Result<PublicEvent, StreamError> {
        let payload = event
            .payload_value()
            .map_err(|source| StreamError::Payload {
                position: event.position,
                source,
            })?;
        Ok(PublicEvent {
            position: self.log.token(event.position),
            event_type: event.event_type.clone(),
            event_version: event.event_version.clone(),
            aggregate_type: event.stream.aggregate_type.clone(),
            aggregate_id: event.stream.aggregate_id.clone(),
            version: event.sequence,
            recorded_at: event.recorded_at,
            payload: redact::redact(&event.event_type, payload),
        })
    }
}

fn is_public(event: &RecordedEvent) -> bool {
    event.stream.aggregate_type != DataSubject::TYPE
}

type Live = broadcast::Receiver<Arc<RecordedEvent>>;
