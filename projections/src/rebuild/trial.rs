//! A trial: what this build would make of the log, kept nowhere. Each event is decoded, applied to its aggregate, and folded
//! as every projector into Postgres would.

use std::any::Any;
use std::collections::{BTreeMap, HashMap};
use std::io;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};

use domain::{DecodeError, Event, OtherAggregate, State};
use event_store::vault::{SubjectEvents, VaultError};
use event_store::{EventLog, Log as _, RecordedEvent, StreamId, Withheld};
use uuid::Uuid;

use super::error::RebuildError;
use super::fold::{Sum, fold};
use super::postgres::{RowSum, slot_of};
use super::progress::Tracker;
use crate::decode::decode;
use crate::fold::Change;
use crate::integration_list::IntegrationList;
use crate::notification_list::NotificationList;
use crate::proof_feed::ProofFeed;
use crate::runtime::SinkError;
use crate::sink::PgProjector;
use crate::site_list::SiteList;
use crate::subject_list::SubjectList;

/// What came of a trial.
#[derive(Debug)]
pub struct Verdict {
    /// The last position that was tried.
    pub head: i64,
    /// The first events that break, in order; no more than were asked for.
    pub broken: Vec<Broken>,
    pub broken_count: u64,
    /// Events that come after a broken one in their stream. They were decoded, and not applied or folded: what they would
    /// do rests on the broken one.
    pub behind_count: u64,
}

/// An event that this build can't take.
#[derive(Debug)]
pub struct Broken {
    pub position: i64,
    pub event_id: Uuid,
    pub event_type: String,
    pub event_version: String,
    pub stream: StreamId,
    pub why: Why,
}

/// What this build can't do with an event.
#[derive(Debug, thiserror::Error)]
pub enum Why {
    #[error("does not decode")]
    Decode(#[source] DecodeError),
    #[error("does not apply to its aggregate")]
    Apply(#[source] OtherAggregate),
    #[error("leads to a state that does not serialise")]
    Serialise(#[source] serde_json::Error),
    #[error("does not tell whose personal data it holds")]
    Subjects(#[source] VaultError),
    #[error("does not fold into {projection}")]
    Fold {
        projection: &'static str,
        source: SinkError,
    },
    #[error("makes the code panic: {message}")]
    Panicked { message: String },
}

/// Tries the log up to its present head. States and rows take at most `bytes_max` together: where the whole takes more, the
/// log is read again for the rest of the streams. At most `listed_max` broken events are told one by one.
pub async fn try_out(
    log: &EventLog,
    bytes_max: usize,
    listed_max: usize,
    tracker: &Tracker,
) -> Result<Verdict, RebuildError> {
    let (head, _) = log.head().await.map_err(RebuildError::Head)?;
    let mut broken = BTreeMap::new();
    let (mut broken_count, mut behind_count) = (0, 0);
    fold(
        log,
        head,
        Withheld::default(),
        bytes_max,
        || Trial::new(listed_max),
        tracker,
        async |trials| {
            for trial in trials {
                for tally in trial.tallies.values() {
                    broken_count += tally.broken;
                    behind_count += tally.behind;
                }
                // What an earlier pass left to a later one is found by both.
                let found = trial.broken.into_iter();
                broken.extend(found.map(|broken| (broken.position, broken)));
            }
            Ok(())
        },
    )
    .await?;
    Ok(Verdict {
        head,
        broken: broken.into_values().take(listed_max).collect(),
        broken_count,
        behind_count,
    })
}

/// The streams of some of the slots, and the rows that they lead to.
struct Trial {
    streams: HashMap<StreamId, Stream>,
    states_bytes: usize,
    sites: RowSum<SiteList>,
    notifications: RowSum<NotificationList>,
    integrations: RowSum<IntegrationList>,
    proofs: RowSum<ProofFeed>,
    subjects: RowSum<SubjectList>,
    /// The first that were found, in order.
    broken: Vec<Broken>,
    listed_max: usize,
    /// By slot, so that what is left to a later pass is not counted twice.
    tallies: BTreeMap<u16, Tally>,
}

struct Stream {
    /// `None` once one of its events broke.
    state: Option<State>,
    bytes: usize,
}

#[derive(Clone, Copy, Default)]
struct Tally {
    broken: u64,
    behind: u64,
}

impl Trial {
    fn new(listed_max: usize) -> Self {
        Self {
            streams: HashMap::new(),
            states_bytes: 0,
            sites: RowSum::default(),
            notifications: RowSum::default(),
            integrations: RowSum::default(),
            proofs: RowSum::default(),
            subjects: RowSum::default(),
            broken: Vec::new(),
            listed_max,
            tallies: BTreeMap::new(),
        }
    }

    /// Everything that is to be done with an event, up to what breaks.
    fn take(&mut self, recorded: &RecordedEvent) -> Result<(), Why> {
        let event = decode(recorded).map_err(Why::Decode)?;
        SubjectEvents::subjects_of(recorded).map_err(Why::Subjects)?;
        let known = self.streams.get(&recorded.stream);
        if known.is_some_and(|stream| stream.state.is_none()) {
            self.tally(&recorded.stream).behind += 1;
            return Ok(());
        }
        self.apply(&recorded.stream, event.clone())?;
        add(&mut self.sites, &event, recorded)?;
        add(&mut self.notifications, &event, recorded)?;
        add(&mut self.integrations, &event, recorded)?;
        add(&mut self.proofs, &event, recorded)?;
        add(&mut self.subjects, &event, recorded)
    }

    /// After a failure the stream is gone.
    fn apply(&mut self, id: &StreamId, event: Event) -> Result<(), Why> {
        let known = self.streams.remove_entry(id);
        self.states_bytes -= known.as_ref().map_or(0, |(_, stream)| stream.bytes);
        let (id, state) = match known {
            Some((id, stream)) => (id, stream.state),
            None => (id.clone(), State::absent(&id.aggregate_type)),
        };
        let mut state = state.ok_or(Why::Apply(OtherAggregate))?;
        state.apply(event).map_err(Why::Apply)?;
        let mut texts = Counter(0);
        serde_json::to_writer(&mut texts, &state).map_err(Why::Serialise)?;
        let bytes = place_bytes(&id) + texts.0;
        let state = Some(state);
        self.put(id, Stream { state, bytes });
        Ok(())
    }

    fn put(&mut self, id: StreamId, stream: Stream) {
        self.states_bytes += stream.bytes;
        let before = self.streams.insert(id, stream);
        self.states_bytes -= before.map_or(0, |stream| stream.bytes);
    }

    /// What comes after it in its stream is decoded only.
    fn report(&mut self, recorded: &RecordedEvent, why: Why) {
        self.tally(&recorded.stream).broken += 1;
        let id = recorded.stream.clone();
        let bytes = place_bytes(&id);
        self.put(id, Stream { state: None, bytes });
        if self.broken.len() < self.listed_max {
            self.broken.push(Broken {
                position: recorded.position,
                event_id: recorded.event_id,
                event_type: recorded.event_type.clone(),
                event_version: recorded.event_version.clone(),
                stream: recorded.stream.clone(),
                why,
            });
        }
    }

    fn tally(&mut self, id: &StreamId) -> &mut Tally {
        self.tallies.entry(slot(id).unwrap_or(0)).or_default()
    }
}

impl Sum for Trial {
    type Record = RecordedEvent;

    fn slot(record: &RecordedEvent) -> Option<u16> {
        slot(&record.stream)
    }

    fn add(&mut self, record: &RecordedEvent) -> Result<(), SinkError> {
        let taken = catch_unwind(AssertUnwindSafe(|| self.take(record)));
        let taken = taken.unwrap_or_else(|panic| {
            let message = message(&*panic);
            Err(Why::Panicked { message })
        });
        if let Err(why) = taken {
            self.report(record, why);
        }
        Ok(())
    }

    fn keep(&mut self, slots: &Range<u32>) {
        let has = |slot: Option<u16>| slots.contains(&u32::from(slot.unwrap_or(0)));
        self.streams.retain(|id, _| has(slot(id)));
        self.streams.shrink_to_fit();
        self.tallies.retain(|slot, _| has(Some(*slot)));
        self.states_bytes = self.streams.values().map(|stream| stream.bytes).sum();
        self.sites.keep(slots);
        self.notifications.keep(slots);
        self.integrations.keep(slots);
        self.proofs.keep(slots);
        self.subjects.keep(slots);
    }

    fn size_bytes(&self) -> usize {
        self.states_bytes
            + self.sites.size_bytes()
            + self.notifications.size_bytes()
            + self.integrations.size_bytes()
            + self.proofs.size_bytes()
            + self.subjects.size_bytes()
    }
}

fn add<P: PgProjector>(
    sum: &mut RowSum<P>,
    event: &Event,
    recorded: &RecordedEvent,
) -> Result<(), Why> {
    Change::of_decoded(event.clone(), recorded)
        .and_then(|change| sum.fold(change))
        .map_err(|source| Why::Fold {
            projection: P::PROJECTION.name(),
            source,
        })
}

fn slot(id: &StreamId) -> Option<u16> {
    Uuid::parse_str(&id.aggregate_id).ok().map(slot_of)
}

/// What a stream takes beside its state's texts: in a map that has just grown, every second place is free.
fn place_bytes(id: &StreamId) -> usize {
    2 * size_of::<(StreamId, Stream)>() + id.aggregate_type.len() + id.aggregate_id.len()
}

/// Counts what would be written.
struct Counter(usize);

impl io::Write for Counter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn message(panic: &(dyn Any + Send)) -> String {
    let literal = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    literal
        .or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "it does not say why".to_owned())
}

#[cfg(test)]
mod tests;
