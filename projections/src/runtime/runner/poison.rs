//! What becomes of an event that can't be written: its key is parked, and taken up again when somebody asks.

use std::sync::Arc;

use event_store::{Intent, Leases, Log, ParkedKey, Positioned as _, Reader, Repair, Withheld};

use super::{Runner, read_up_to};
use crate::fold::Place;
use crate::runtime::error::{RunError, SinkError, chain};
use crate::runtime::sink::Sink;

/// How often in a row an event has to fail before its key is parked.
const POISON_ATTEMPTS: u32 = 3;
/// A projection with more parked keys than this has another trouble than a few bad events.
const PARKED_KEYS_MAX: usize = 32;

impl<L: Log, S: Sink<L::Record>> Runner<L, S> {
    /// What is not to be written, whoever holds it.
    pub(super) async fn withheld(&self) -> Result<Arc<Withheld>, RunError> {
        let withheld = match self.sink.ledger() {
            Some(ledger) => ledger.withheld().await.map_err(SinkError::from)?,
            None => Withheld::default(),
        };
        let parked = withheld.parked().len();
        self.meters.parked(parked);
        if parked > PARKED_KEYS_MAX {
            return Err(RunError::TooManyParked {
                parked,
                max: PARKED_KEYS_MAX,
            });
        }
        Ok(Arc::new(withheld))
    }

    /// Whether the event has failed often enough.
    pub(super) fn gives_up(&mut self, place: Place) -> bool {
        let before = self.failing.filter(|(failed, _)| *failed == place);
        let attempts = before.map_or(1, |(_, attempts)| attempts + 1);
        self.failing = Some((place, attempts));
        attempts >= POISON_ATTEMPTS
    }

    /// Parks the event's key, unless the event was discarded meanwhile. Answers whether the rest can go on; where not, it
    /// comes again.
    pub(super) async fn park(&mut self, place: Place, error: &RunError) -> bool {
        let (Some(ledger), Some(lease)) = (self.sink.ledger(), self.held.of(place.bucket)) else {
            return false;
        };
        let text = chain(error);
        let is_parked = match ledger.park(lease, place, &text, POISON_ATTEMPTS).await {
            Ok(is_parked) => is_parked,
            Err(error) => {
                tracing::warn!(error = chain(&error), "could not park a key");
                return false;
            }
        };
        self.failing = None;
        if !is_parked {
            return true;
        }
        let (name, version) = self.sink.identity();
        tracing::error!(
            projector.name = name,
            projector.version = version,
            event.position = place.position,
            event.bucket = place.bucket.as_i16(),
            error = text,
            "an event can't be projected; its key is parked, and the others go on"
        );
        true
    }

    /// Takes up a part of what waits, where an intent of that stands or somebody asked for another try. Answers whether
    /// it did.
    pub(super) async fn repair(
        &mut self,
        leases: &Leases,
        withheld: &Withheld,
        intent: &mut Option<Intent>,
    ) -> Result<bool, RunError> {
        let begun = intent.take_if(|intent| intent.bucket.is_some());
        let is_wanted = |key: &&ParkedKey| match &begun {
            Some(intent) => intent.bucket == Some(key.bucket),
            None => key.retry && intent.is_none(),
        };
        let found = withheld.parked().filter(is_wanted).find_map(|key| {
            let lease = leases.of(key.bucket)?;
            Some((*key, *lease))
        });
        let Some((key, lease)) = found else {
            return Ok(false);
        };
        let (after, end, left_out) = match begun {
            Some(intent) => (intent.from, intent.to, intent.left_out),
            None => {
                let (after, end) = (key.from - 1, lease.checkpoint);
                (after, end, withheld.discarded_within(after, end))
            }
        };
        let discarded = left_out.withheld();
        let mut reader = Reader::after(self.log.clone(), after);
        let mut records = Vec::new();
        while reader.position() < end && records.len() < self.limits.events_max {
            let to = end.min(reader.position() + self.records_max());
            let read = read_up_to(&mut reader, to).await?;
            records.extend(read.into_iter().filter(|record| {
                record.bucket() == key.bucket && !discarded.has_discarded(record.position())
            }));
        }
        let repair = Repair {
            key,
            lease,
            after,
            to: reader.position(),
            left_out,
        };
        self.sink.repair(repair, records).await?;
        self.progress.moved();
        Ok(true)
    }
}
