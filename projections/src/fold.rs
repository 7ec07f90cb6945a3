//! What events mean for the rows of a Postgres read model, as a pure function: following the log, building a table anew
//! and checking it are the same fold.

use std::collections::HashMap;

use chrono::{DateTime, SubsecRound as _, Utc};
use domain::Event;
use event_store::{Bucket, Positioned, RecordedEvent};
use uuid::Uuid;

use crate::decode::decode;
use crate::projection::Projection;
use crate::runtime::SinkError;

/// A read model with one row per aggregate.
pub trait Rows: Send + Sync + 'static {
    const PROJECTION: Projection;

    /// Of the aggregate that the rows stand for.
    type Event: Send;
    /// The columns of the table.
    type Row: Send + Sync;

    /// The event, where it is of that aggregate.
    fn own(event: Event) -> Option<Self::Event>;

    /// The aggregate's row after the event; `None` where it has none. Events come in order, each once.
    fn apply(
        row: Option<Self::Row>,
        event: Self::Event,
        stored: Stored<'_>,
    ) -> Result<Option<Self::Row>, ProjectError>;

    fn key(row: &Self::Row) -> Uuid;

    /// What the row takes beside its own columns: the texts.
    fn heap_bytes(row: &Self::Row) -> usize;
}

/// An event as it stands in the log.
#[derive(Clone, Copy, Debug)]
pub struct Stored<'a> {
    /// The stream's id, which is the key of its row.
    pub key: Uuid,
    /// Holds the payload as stored, personal data sealed.
    pub recorded: &'a RecordedEvent,
}

/// Why an event could not be projected.
#[derive(Debug, thiserror::Error)]
pub enum ProjectError {
    #[error("the stream's id is not a UUID")]
    AggregateId(#[source] uuid::Error),
    #[error("the payload is not of its shape")]
    Payload(#[source] serde_json::Error),
    #[error("the row's record is not of its shape")]
    Record(#[source] serde_json::Error),
    #[error("the event changes a row that an earlier event should have made")]
    MissingRow,
    #[error("the event makes a row that stands already")]
    RowStands,
    #[error("could not store the row that the event leads to")]
    Store(#[source] sqlx::Error),
}

/// Where a record stands in its log, and what orders it among others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    pub position: i64,
    pub bucket: Bucket,
}

impl Place {
    pub(crate) fn of(record: &impl Positioned) -> Self {
        Self {
            position: record.position(),
            bucket: record.bucket(),
        }
    }
}

/// An event that concerns a row.
pub(crate) struct Change<'a, P: Rows> {
    event: P::Event,
    stored: Stored<'a>,
}

impl<'a, P: Rows> Change<'a, P> {
    /// `None` where the event concerns no row. Every event is decoded nevertheless: one that this build does not know
    /// may mean something.
    pub(crate) fn of(recorded: &'a RecordedEvent) -> Result<Option<Self>, SinkError> {
        let place = Place::of(recorded);
        let event = decode(recorded).map_err(|source| SinkError::Decode { place, source })?;
        Self::of_decoded(event, recorded)
    }

    /// The same where the event is decoded already.
    pub(crate) fn of_decoded(
        event: Event,
        recorded: &'a RecordedEvent,
    ) -> Result<Option<Self>, SinkError> {
        let place = Place::of(recorded);
        let Some(event) = P::own(event) else {
            return Ok(None);
        };
        let key = Uuid::parse_str(&recorded.stream.aggregate_id).map_err(|source| {
            let source = ProjectError::AggregateId(source);
            SinkError::Project { place, source }
        })?;
        let stored = Stored { key, recorded };
        Ok(Some(Self { event, stored }))
    }

    pub(crate) fn key(&self) -> Uuid {
        self.stored.key
    }

    /// The row after the event.
    pub(crate) fn apply(self, row: Option<P::Row>) -> Result<Option<P::Row>, SinkError> {
        let place = Place::of(self.stored.recorded);
        P::apply(row, self.event, self.stored)
            .map_err(|source| SinkError::Project { place, source })
    }
}

/// Rows, as the events so far left them.
pub(crate) struct Fold<P: Rows> {
    rows: HashMap<Uuid, Folded<P::Row>>,
}

/// A row, `None` where it was removed, and the first event that changed it.
pub(crate) struct Folded<R> {
    pub(crate) row: Option<R>,
    pub(crate) place: Place,
}

impl<P: Rows> Default for Fold<P> {
    fn default() -> Self {
        let rows = HashMap::new();
        Self { rows }
    }
}

impl<P: Rows> Fold<P> {
    /// Folds one event. `before` is the row before the first event of its key that this fold sees.
    pub(crate) fn apply(
        &mut self,
        change: Change<'_, P>,
        before: impl FnOnce(Uuid) -> Option<P::Row>,
    ) -> Result<(), SinkError> {
        let (key, place) = (change.key(), Place::of(change.stored.recorded));
        let (row, first) = match self.rows.remove(&key) {
            Some(folded) => (folded.row, folded.place),
            None => (before(key), place),
        };
        let row = change.apply(row)?;
        self.rows.insert(key, Folded { row, place: first });
        Ok(())
    }

    pub(crate) fn into_rows(self) -> HashMap<Uuid, Folded<P::Row>> {
        self.rows
    }
}

/// The row that an earlier event made.
pub(crate) fn standing<R>(row: Option<R>) -> Result<R, ProjectError> {
    row.ok_or(ProjectError::MissingRow)
}

/// No earlier event has made a row.
pub(crate) fn none_standing<R>(row: Option<R>) -> Result<(), ProjectError> {
    match row {
        None => Ok(()),
        Some(_) => Err(ProjectError::RowStands),
    }
}

/// A time as Postgres keeps it, so that a row in memory equals the row that is read back.
pub(crate) fn to_micros(time: DateTime<Utc>) -> DateTime<Utc> {
    time.trunc_subsecs(6)
}
