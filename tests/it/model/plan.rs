use std::collections::BTreeSet;

use event_store::{Append, Excluded, NewEvent, Tag};
use proptest::collection::{btree_set, vec};
use proptest::prelude::*;
use serde_json::json;
use uuid::Uuid;

use super::reference::Reference;
use crate::support::{append, event, stream};

const TENANTS: u128 = 2;
pub(super) const STREAMS: u8 = 3;
const KEYS: u8 = 4;
const TAGS: u8 = 3;
const KINDS: u8 = 2;

/// A command as a test case has it. Which version and position it means depends on where the log stands.
#[derive(Clone, Debug)]
pub(super) struct Planned {
    tenant: u128,
    stream: u8,
    /// The expected version beside the stream's own.
    off: i64,
    /// A client's key, and which request comes with it.
    key: Option<(u8, u8)>,
    events: Vec<PlannedEvent>,
    excluded: Vec<PlannedExcluded>,
}

#[derive(Clone, Debug)]
struct PlannedEvent {
    kind: u8,
    tags: BTreeSet<u8>,
}

#[derive(Clone, Debug)]
struct PlannedExcluded {
    tags: BTreeSet<u8>,
    kinds: BTreeSet<u8>,
    /// How many of the last events it leaves; `None` for what looks at all of them.
    unseen: Option<i64>,
}

/// Commands that are sent one batch after the other, those of a batch at once.
pub(super) fn batches() -> impl Strategy<Value = Vec<Vec<Planned>>> {
    vec(vec(planned(), 1..=6), 1..12)
}

fn planned() -> impl Strategy<Value = Planned> {
    let off = prop_oneof![4 => Just(0), 1 => -1..=1i64];
    let request = prop_oneof![5 => Just(1), 1 => Just(2u8)];
    let key = proptest::option::of((0..KEYS, request));
    let event = (0..KINDS, btree_set(0..TAGS, 0..=2));
    let event = event.prop_map(|(kind, tags)| PlannedEvent { kind, tags });
    let excluded = (
        btree_set(0..TAGS, 1..=2),
        btree_set(0..KINDS, 0..=1),
        proptest::option::of(0..4i64),
    );
    let excluded = excluded.prop_map(|(tags, kinds, unseen)| PlannedExcluded {
        tags,
        kinds,
        unseen,
    });
    let excluded = prop_oneof![2 => Just(Vec::new()), 1 => vec(excluded, 1..=2)];
    let all = (
        1..=TENANTS,
        0..STREAMS,
        off,
        key,
        vec(event, 0..4),
        excluded,
    );
    all.prop_map(|(tenant, stream, off, key, events, excluded)| Planned {
        tenant,
        stream,
        off,
        key,
        events,
        excluded,
    })
}

pub(super) fn stream_name(case: Uuid, stream: u8) -> String {
    format!("{case}-{stream}")
}

/// Tenants and the commands that their keys stand for.
pub(super) fn keyed_commands(case: Uuid) -> impl Iterator<Item = (Uuid, Uuid)> {
    (1..=TENANTS).flat_map(move |tenant| {
        (0..KEYS).map(move |key| (Uuid::from_u128(tenant), keyed_command(case, key)))
    })
}

/// Tenants share the ids, so that their keys are seen to be apart.
fn keyed_command(case: Uuid, key: u8) -> Uuid {
    Uuid::new_v5(&case, &[key])
}

fn kind_name(kind: u8) -> String {
    format!("thing.kind_{kind}")
}

fn tags(case: Uuid, tags: &BTreeSet<u8>) -> Vec<Tag> {
    tags.iter()
        .map(|tag| Tag::new(&case.to_string(), &tag.to_string()))
        .collect()
}

impl Planned {
    /// As the store takes it where the log stands. Streams, tags and keys are the case's own.
    pub(super) fn at(&self, case: Uuid, log: &Reference) -> Append {
        let name = stream_name(case, self.stream);
        let actual = log.last_of(&name).map_or(0, |last| last.sequence);
        let mut append = Append {
            tenant: Uuid::from_u128(self.tenant),
            stream: stream(&name),
            expected: actual + self.off,
            request_hash: self.key.map(|(_, request)| [request; 32]),
            excluded: self
                .excluded
                .iter()
                .map(|excluded| excluded.at(case, log.head()))
                .collect(),
            events: self.events.iter().map(|event| event.of(case)).collect(),
            ..append("")
        };
        if let Some((key, _)) = self.key {
            append.origin.command_id = keyed_command(case, key);
        }
        append
    }
}

impl PlannedEvent {
    fn of(&self, case: Uuid) -> NewEvent {
        NewEvent {
            event_type: kind_name(self.kind),
            tags: tags(case, &self.tags),
            ..event(json!({ "kind": self.kind }))
        }
    }
}

impl PlannedExcluded {
    fn at(&self, case: Uuid, head: i64) -> Excluded {
        let mut tags = tags(case, &self.tags);
        Excluded {
            tag: tags.remove(0),
            also: tags,
            types: self.kinds.iter().map(|kind| kind_name(*kind)).collect(),
            after: self.unseen.map_or(0, |unseen| (head - unseen).max(0)),
        }
    }
}
