//! A new version of counters in Redis: added up in memory, then written into keys that nobody reads yet.

use std::collections::HashMap;
use std::ops::Range;

use event_store::{Positioned as _, Shard, TelemetryEvent};
use redis::aio::ConnectionManager;
use redis::{AsyncIter, Pipeline};
use uuid::Uuid;

use super::error::RebuildError;
use super::fold::Sum;
use super::postgres::slot_of;
use crate::fold::Place;
use crate::projection::Projection;
use crate::runtime::SinkError;
use crate::sink::{CounterProjector, state_key, tag};

/// Fields, or keys, per trip.
const TRIP: usize = 1_000;
const SCAN_COUNT: usize = 1_000;
/// Stands where a checkpoint will: a version whose Redis lost the end of the loading is never taken for a whole one.
const LOADING: &str = "loading";

/// The counters of some of the owners.
pub(super) struct CounterSum<P: CounterProjector> {
    projector: P,
    counts: HashMap<(i16, P::Counter), Counted>,
    bytes: usize,
}

struct Counted {
    slot: u16,
    count: u64,
}

impl<P: CounterProjector<Record = TelemetryEvent>> CounterSum<P> {
    /// In a map that has just grown, every second place is free; a counter's kind is a text of its own.
    const COUNTER_BYTES: usize = 2 * size_of::<((i16, P::Counter), Counted)>() + 32;

    pub(super) fn new(projector: P) -> Self {
        Self {
            projector,
            counts: HashMap::new(),
            bytes: 0,
        }
    }
}

impl<P: CounterProjector<Record = TelemetryEvent>> Sum for CounterSum<P> {
    type Record = TelemetryEvent;

    fn slot(record: &TelemetryEvent) -> Option<u16> {
        Some(slot_of(record.owner))
    }

    fn add(&mut self, record: &TelemetryEvent) -> Result<(), SinkError> {
        let counters = self
            .projector
            .counters(record)
            .map_err(|source| SinkError::Telemetry {
                place: Place::of(record),
                source,
            })?;
        let shard = record.bucket().shard().as_i16();
        for counter in counters {
            let counted = self.counts.entry((shard, counter)).or_insert_with(|| {
                self.bytes += Self::COUNTER_BYTES;
                Counted {
                    slot: slot_of(record.owner),
                    count: 0,
                }
            });
            counted.count += 1;
        }
        Ok(())
    }

    fn keep(&mut self, slots: &Range<u32>) {
        self.counts
            .retain(|_, counted| slots.contains(&u32::from(counted.slot)));
        self.counts.shrink_to_fit();
        self.bytes = self.counts.len() * Self::COUNTER_BYTES;
    }

    fn size_bytes(&self) -> usize {
        self.bytes
    }
}

/// A version of a projection's counters.
#[derive(Clone)]
pub(super) struct Keys {
    pub(super) connection: ConnectionManager,
    pub(super) prefix: String,
    pub(super) projection: Projection,
    pub(super) version: i32,
}

/// What differs between two versions: a key, and a field of it.
pub(super) type Difference = (String, Option<String>);

impl Keys {
    /// Says that the version is not whole yet.
    pub(super) async fn begin(&self, incarnation: Uuid) -> Result<(), RebuildError> {
        self.set_states(incarnation, LOADING).await
    }

    /// Says that the version is whole up to the position.
    pub(super) async fn finish(
        &self,
        incarnation: Uuid,
        position: i64,
    ) -> Result<(), RebuildError> {
        self.set_states(incarnation, &position.to_string()).await
    }

    async fn set_states(&self, incarnation: Uuid, checkpoint: &str) -> Result<(), RebuildError> {
        let mut pipeline = Pipeline::new();
        for shard in Shard::all() {
            pipeline
                .hset_multiple(
                    state_key(&self.tag(shard.as_i16())),
                    &[
                        ("incarnation", &*incarnation.to_string()),
                        ("checkpoint", checkpoint),
                    ],
                )
                .ignore();
        }
        self.run(&pipeline).await
    }

    /// Writes counters that no other call writes.
    pub(super) async fn load<P: CounterProjector<Record = TelemetryEvent>>(
        &self,
        sum: CounterSum<P>,
    ) -> Result<(), RebuildError> {
        let mut counts: Vec<((i16, P::Counter), Counted)> = sum.counts.into_iter().collect();
        // So that the fields of a hash come one after the other.
        counts.sort_unstable_by(|(one, _), (other, _)| one.cmp(other));
        for counts in counts.chunks(TRIP) {
            let mut pipeline = Pipeline::new();
            let mut hash: Option<(String, Option<i64>)> = None;
            let mut fields: Vec<(String, u64)> = Vec::new();
            for ((shard, counter), counted) in counts {
                let key = P::key(counter, &self.tag(*shard));
                if hash.as_ref() != Some(&key) {
                    write(&mut pipeline, hash.replace(key), &mut fields);
                }
                fields.push((P::field(counter), counted.count));
            }
            write(&mut pipeline, hash, &mut fields);
            self.run(&pipeline).await?;
        }
        Ok(())
    }

    /// Removes every key of the version.
    pub(super) async fn wipe(&self) -> Result<(), RebuildError> {
        let mut scanning = self.connection.clone();
        let mut keys = self.scan(&mut scanning).await?;
        loop {
            let page = page(&mut keys).await?;
            if page.is_empty() {
                return Ok(());
            }
            let mut pipeline = Pipeline::new();
            pipeline.unlink(page).ignore();
            self.run(&pipeline).await?;
        }
    }

    /// The first difference that is met, while neither version moves.
    pub(super) async fn compare(&self, other: &Self) -> Result<Option<Difference>, RebuildError> {
        for (one, two) in [(self, other), (other, self)] {
            let mut scanning = self.connection.clone();
            let mut keys = one.scan(&mut scanning).await?;
            loop {
                let page = page(&mut keys).await?;
                if page.is_empty() {
                    break;
                }
                if let Some(difference) = one.compare_hashes(two, page).await? {
                    return Ok(Some(difference));
                }
            }
        }
        Ok(None)
    }

    async fn compare_hashes(
        &self,
        other: &Self,
        keys: Vec<String>,
    ) -> Result<Option<Difference>, RebuildError> {
        let keys: Vec<String> = keys
            .into_iter()
            .filter(|key| !key.ends_with("}:state"))
            .collect();
        let mut pipeline = Pipeline::new();
        // At one moment, so that an hour does not expire in between.
        pipeline.atomic();
        for key in &keys {
            pipeline.hgetall(key);
            pipeline.hgetall(self.key_in(key, other));
        }
        let hashes: Vec<HashMap<String, u64>> = pipeline
            .query_async(&mut self.connection.clone())
            .await
            .map_err(RebuildError::Redis)?;
        for (key, pair) in keys.into_iter().zip(hashes.chunks(2)) {
            let [one, two] = pair else { continue };
            if one == two {
                continue;
            }
            let mut differing: Vec<&String> = one
                .keys()
                .chain(two.keys())
                .filter(|field| one.get(*field) != two.get(*field))
                .collect();
            differing.sort_unstable();
            let field = differing.first().map(|field| (*field).clone());
            return Ok(Some((key, field)));
        }
        Ok(None)
    }

    /// The same key of another version.
    fn key_in(&self, key: &str, other: &Self) -> String {
        let rest = key.strip_prefix(&self.begins()).unwrap_or(key);
        format!("{}{rest}", other.begins())
    }

    /// What all keys of the version begin with.
    fn begins(&self) -> String {
        let tag = self.tag(0);
        tag[..tag.len() - "0}".len()].to_owned()
    }

    fn tag(&self, shard: i16) -> String {
        tag(&self.prefix, self.projection.name(), self.version, shard)
    }

    async fn scan<'a>(
        &self,
        connection: &'a mut ConnectionManager,
    ) -> Result<AsyncIter<'a, String>, RebuildError> {
        let pattern = format!("{}*", escape(&self.begins()));
        let mut scan = redis::cmd("SCAN");
        scan.cursor_arg(0)
            .arg("MATCH")
            .arg(pattern)
            .arg("COUNT")
            .arg(SCAN_COUNT);
        scan.iter_async(connection)
            .await
            .map_err(RebuildError::Redis)
    }

    async fn run(&self, pipeline: &Pipeline) -> Result<(), RebuildError> {
        if pipeline.is_empty() {
            return Ok(());
        }
        pipeline
            .exec_async(&mut self.connection.clone())
            .await
            .map_err(RebuildError::Redis)
    }
}

fn write(
    pipeline: &mut Pipeline,
    hash: Option<(String, Option<i64>)>,
    fields: &mut Vec<(String, u64)>,
) {
    let Some((key, expires_at)) = hash else {
        return;
    };
    pipeline.hset_multiple(&key, fields).ignore();
    if let Some(expires_at) = expires_at {
        pipeline.expire_at(&key, expires_at).ignore();
    }
    fields.clear();
}

async fn page(keys: &mut AsyncIter<'_, String>) -> Result<Vec<String>, RebuildError> {
    let mut page = Vec::new();
    while page.len() < TRIP
        && let Some(key) = keys.next_item().await
    {
        page.push(key.map_err(RebuildError::Redis)?);
    }
    Ok(page)
}

/// Taken literally by `MATCH`.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        if matches!(character, '*' | '?' | '[' | ']' | '\\' | '^') {
            escaped.push('\\');
        }
        escaped.push(character);
    }
    escaped
}
