//! A command as the lane takes it: personal data sealed, everything in the form that is sent and stored.

use uuid::Uuid;

use super::boundary::{self, TagHash, TagKey};
use super::{Append, Origin};
use crate::bucket::Bucket;
use crate::lane::Access;
use crate::store::StreamId;

pub(crate) struct Sealed {
    pub(super) tenant: Uuid,
    pub(super) stream: StreamId,
    pub(super) bucket: Bucket,
    pub(super) expected: i64,
    pub(super) origin: Origin,
    pub(super) metadata: String,
    pub(super) request_hash: Option<[u8; 32]>,
    pub(super) condition: Option<String>,
    pub(super) events: Vec<SealedEvent>,
    /// Of its condition: nothing else in the call may have one of them.
    excluded: Vec<TagHash>,
}

pub(super) struct SealedEvent {
    pub(super) id: Uuid,
    pub(super) event_type: String,
    pub(super) event_version: String,
    /// Serialised once: the text that is stored.
    pub(super) payload: String,
    pub(super) tags: Vec<TagHash>,
}

/// What a call of the lane has once, or has of one kind only.
#[derive(PartialEq, Eq, Hash)]
pub(crate) enum Key {
    Stream(StreamId),
    Command(Uuid, Uuid),
    Tag(TagHash),
}

impl Sealed {
    /// Personal data in `append` is sealed already.
    pub(super) fn new(append: Append, tags: &TagKey) -> Self {
        let excluded = append
            .excluded
            .iter()
            .flat_map(|excluded| excluded.tags())
            .map(|tag| tags.hash(tag))
            .collect();
        Self {
            tenant: append.tenant,
            bucket: Bucket::of(append.owner),
            expected: append.expected,
            metadata: append.origin.metadata.to_string(),
            request_hash: append.request_hash,
            condition: boundary::encode(&append.excluded, tags),
            events: append
                .events
                .into_iter()
                .map(|event| SealedEvent {
                    id: event.id,
                    payload: event.payload.to_string(),
                    tags: event.tags.iter().map(|tag| tags.hash(tag)).collect(),
                    event_type: event.event_type,
                    event_version: event.event_version,
                })
                .collect(),
            stream: append.stream,
            origin: append.origin,
            excluded,
        }
    }

    /// A condition is checked against what earlier calls appended, so no other command of its call may have its tags.
    pub(super) fn keys(&self) -> Vec<(Key, Access)> {
        let own = [
            Key::Stream(self.stream.clone()),
            Key::Command(self.tenant, self.origin.command_id),
        ];
        // Its own events come after its own condition.
        let carried = self
            .events
            .iter()
            .flat_map(|event| &event.tags)
            .filter(|tag| !self.excluded.contains(tag));
        let mut keys: Vec<_> = own.map(|key| (key, Access::Exclusive)).into();
        keys.extend(distinct(&self.excluded).map(|tag| (Key::Tag(tag), Access::Exclusive)));
        keys.extend(carried.map(|tag| (Key::Tag(*tag), Access::Shared)));
        keys
    }

    /// The bytes of its payloads.
    pub(super) fn weight(&self) -> usize {
        self.events.iter().map(|event| event.payload.len()).sum()
    }

    /// Whether `es.append_one` takes it.
    pub(super) fn is_plain(&self) -> bool {
        self.condition.is_none() && self.events.iter().all(|event| event.tags.is_empty())
    }
}

fn distinct(tags: &[TagHash]) -> impl Iterator<Item = TagHash> {
    tags.iter()
        .copied()
        .collect::<std::collections::BTreeSet<_>>()
        .into_iter()
}
