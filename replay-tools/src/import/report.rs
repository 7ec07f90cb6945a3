//! What an import did, as a table and as a file.

use std::io::Write;
use std::time::Duration;

use anyhow::Result;
use serde_json::{Value, json};
use uuid::Uuid;

use super::source::SourceType;
use super::stream_import::{Counts, Refused};

/// Refusals that are told one by one; beyond it they are counted only, so that a report has a bound.
const TOLD_MAX: usize = 100_000;
/// Of those, how many the table shows.
const SHOWN_MAX: usize = 20;

/// What the source holds of one kind of event, and what is made of it.
pub(super) struct Planned {
    pub(super) source: SourceType,
    pub(super) aggregate_type: String,
    pub(super) event_type: String,
    pub(super) is_known: bool,
}

struct ToldRefusal {
    aggregate_type: String,
    aggregate_id: String,
    sequence: Option<i64>,
    reason: String,
}

#[derive(Default)]
pub(super) struct Report {
    pub(super) planned: Vec<Planned>,
    streams: u64,
    streams_refused: u64,
    /// Whole types that this build does not know, with their events.
    types_refused: u64,
    counts: Counts,
    events_refused: u64,
    refused: Vec<ToldRefusal>,
}

/// What was imported from where to whom.
pub(super) struct Heading<'a> {
    pub(super) source: &'a str,
    pub(super) tenant: Uuid,
    pub(super) dry_run: bool,
    pub(super) took: Duration,
}

impl Report {
    pub(super) fn stream(
        &mut self,
        aggregate_type: &str,
        aggregate_id: &str,
        counts: Counts,
        refused: Option<Refused>,
    ) {
        self.streams += 1;
        self.counts.read += counts.read;
        self.counts.imported += counts.imported;
        self.counts.found += counts.found;
        let Some(refused) = refused else { return };
        self.streams_refused += 1;
        self.events_refused += counts.read.saturating_sub(counts.imported + counts.found);
        self.tell(
            aggregate_type,
            aggregate_id,
            refused.sequence,
            refused.refusal.to_string(),
        );
    }

    /// A type of which nothing was read, because no stream of it can be imported.
    pub(super) fn aggregate_type(&mut self, aggregate_type: &str, events: u64) {
        self.types_refused += 1;
        self.counts.read += events;
        self.events_refused += events;
        let reason = format!(
            "aggregate type {aggregate_type} is unknown to this build, and the mapping does not name another"
        );
        self.tell(aggregate_type, "*", None, reason);
    }

    fn tell(&mut self, aggregate_type: &str, id: &str, sequence: Option<i64>, reason: String) {
        if self.refused.len() < TOLD_MAX {
            self.refused.push(ToldRefusal {
                aggregate_type: aggregate_type.to_owned(),
                aggregate_id: id.to_owned(),
                sequence,
                reason,
            });
        }
    }

    /// Whether everything came in.
    pub(super) fn is_complete(&self) -> bool {
        self.streams_refused == 0 && self.types_refused == 0
    }

    pub(super) fn refusals(&self) -> (u64, u64) {
        (self.types_refused, self.streams_refused)
    }

    pub(super) fn show(&self, heading: &Heading<'_>, out: &mut (dyn Write + Send)) -> Result<()> {
        let imported = if heading.dry_run {
            "would be imported"
        } else {
            "imported"
        };
        let seconds = heading.took.as_secs_f64();
        writeln!(out, "{:<40} {:>12}  becomes", "in the source", "events")?;
        for planned in &self.planned {
            let SourceType {
                aggregate_type,
                event_type,
                event_version,
                events,
            } = &planned.source;
            let becomes = if planned.is_known {
                format!("{} {}", planned.aggregate_type, planned.event_type)
            } else {
                "unknown to this build: refused".to_owned()
            };
            let named = format!("{aggregate_type} {event_type} {event_version}");
            writeln!(out, "{named:<40} {events:>12}  {becomes}")?;
        }
        writeln!(out)?;
        writeln!(out, "{:<20} {:>12} {:>12}", "", "streams", "events")?;
        let taken = self.streams - self.streams_refused;
        writeln!(
            out,
            "{:<20} {:>12} {:>12}",
            "read", self.streams, self.counts.read
        )?;
        writeln!(
            out,
            "{imported:<20} {:>12} {:>12}",
            "", self.counts.imported
        )?;
        writeln!(
            out,
            "{:<20} {:>12} {:>12}",
            "found here already", "", self.counts.found
        )?;
        writeln!(
            out,
            "{:<20} {:>12} {:>12}",
            "refused", self.streams_refused, self.events_refused
        )?;
        let rate = self.counts.read as f64 / seconds.max(f64::EPSILON);
        writeln!(
            out,
            "{taken} streams are whole; {seconds:.1} s, {rate:.0} events/s"
        )?;
        for told in self.refused.iter().take(SHOWN_MAX) {
            let at = told
                .sequence
                .map_or_else(String::new, |sequence| format!(" at sequence {sequence}"));
            writeln!(
                out,
                "refused {} {}{at}: {}",
                told.aggregate_type, told.aggregate_id, told.reason
            )?;
        }
        if self.refused.len() > SHOWN_MAX {
            let more = self.refused.len() - SHOWN_MAX;
            writeln!(out, "and {more} more; --report writes them to a file")?;
        }
        Ok(())
    }

    pub(super) fn document(&self, heading: &Heading<'_>) -> Value {
        let planned = |planned: &Planned| {
            json!({
                "source": {
                    "aggregate_type": planned.source.aggregate_type,
                    "event_type": planned.source.event_type,
                    "event_version": planned.source.event_version,
                },
                "events": planned.source.events,
                "aggregate_type": planned.aggregate_type,
                "event_type": planned.event_type,
                "known": planned.is_known,
            })
        };
        let told = |told: &ToldRefusal| {
            json!({
                "aggregate_type": told.aggregate_type,
                "aggregate_id": told.aggregate_id,
                "sequence": told.sequence,
                "reason": told.reason,
            })
        };
        json!({
            "source": heading.source,
            "tenant": heading.tenant,
            "dry_run": heading.dry_run,
            "duration_seconds": heading.took.as_secs_f64(),
            "streams": { "read": self.streams, "refused": self.streams_refused },
            "events": {
                "read": self.counts.read,
                "imported": self.counts.imported,
                "found": self.counts.found,
                "refused": self.events_refused,
            },
            "types": self.planned.iter().map(planned).collect::<Vec<_>>(),
            "refused": self.refused.iter().map(told).collect::<Vec<_>>(),
        })
    }
}
