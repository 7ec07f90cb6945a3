//! Valid values, which a test then changes.

use std::future::{self, Future};
use std::pin::pin;
use std::task::Poll;

use event_store::{Append, NewEvent, Origin, StreamId, TagKey};
use serde_json::{Value, json};
use uuid::Uuid;

pub(crate) const TENANT: Uuid = Uuid::from_u128(0x1111);
pub(crate) const OTHER_TENANT: Uuid = Uuid::from_u128(0x2222);

/// Sets aside what a backup of the key database would hold.
pub(crate) const BACK_KEYS_UP: &str = "create schema backup;
     create table backup.subject as table keys.subject;
     create table backup.provider_key as table keys.provider_key;
     create table backup.tree as table keys.tree";
/// Puts it in the place of what is there.
pub(crate) const PUT_KEYS_BACK: &str =
    "truncate keys.subject, keys.provider_key, keys.successor, keys.tree;
     insert into keys.provider_key table backup.provider_key;
     insert into keys.subject table backup.subject;
     insert into keys.tree table backup.tree";

pub(crate) fn stream(id: &str) -> StreamId {
    StreamId {
        aggregate_type: "thing".to_owned(),
        aggregate_id: id.to_owned(),
    }
}

/// One event into a new stream, by a command without a client's key.
pub(crate) fn append(id: &str) -> Append {
    let command_id = Uuid::now_v7();
    Append {
        tenant: TENANT,
        stream: stream(id),
        owner: Uuid::from_u128(0x0123),
        expected: 0,
        origin: Origin {
            command_id,
            correlation_id: command_id,
            causation_id: None,
            actor: "test".to_owned(),
            metadata: json!({ "source": "test" }),
        },
        request_hash: None,
        excluded: Vec::new(),
        events: vec![event(json!({ "n": 1 }))],
    }
}

pub(crate) fn event(payload: Value) -> NewEvent {
    NewEvent {
        id: Uuid::now_v7(),
        event_type: "thing.happened".to_owned(),
        event_version: "1".to_owned(),
        payload,
        tags: Vec::new(),
    }
}

pub(crate) fn tag_key() -> TagKey {
    TagKey::new([3; 32])
}

/// The same command under a client's key.
pub(crate) fn keyed(mut append: Append, key: u128, hash: u8) -> Append {
    append.origin.command_id = Uuid::from_u128(key);
    append.request_hash = Some([hash; 32]);
    append
}

/// The SQLSTATE of an error of the database.
pub(crate) fn code(error: &sqlx::Error) -> String {
    error
        .as_database_error()
        .and_then(|database| database.code())
        .map(Into::into)
        .unwrap_or_default()
}

/// Cuts it off once it was polled so often; `None` where it would have gone on.
pub(crate) async fn cut_after<T>(polls: usize, whole: impl Future<Output = T>) -> Option<T> {
    let (mut whole, mut left) = (pin!(whole), polls);
    future::poll_fn(|context| {
        if left == 0 {
            return Poll::Ready(None);
        }
        left -= 1;
        whole.as_mut().poll(context).map(Some)
    })
    .await
}
