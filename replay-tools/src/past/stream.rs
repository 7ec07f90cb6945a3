//! An aggregate's stream, and what it folds to.

use anyhow::{Context as _, Error, Result, bail};
use chrono::{DateTime, Utc};
use clap::Args;
use domain::{EVENT_TYPES, Event, State};
use event_store::{EventLog, RecordedEvent, StreamId};
use uuid::Uuid;

use crate::told::told;

const EVENTS_PER_READ: i64 = 500;

/// Which aggregate.
#[derive(Debug, Args)]
pub(super) struct Target {
    /// Its type, for instance `site`.
    #[arg(value_parser = aggregate)]
    pub(super) aggregate: &'static str,
    /// Its id, a UUID.
    pub(super) id: Uuid,
}

/// An aggregate as of a position.
pub(super) struct Folded {
    pub(super) account: Uuid,
    pub(super) state: State,
    /// 0 where it was not there yet.
    pub(super) version: i64,
    /// Its last event until then.
    pub(super) changed: Option<Changed>,
}

#[derive(Clone, Copy)]
pub(super) struct Changed {
    pub(super) position: i64,
    pub(super) at: DateTime<Utc>,
}

impl Target {
    /// The stream's events page by page, in order, until `visit` wants no more. Only a page is held.
    pub(super) async fn visit(
        &self,
        log: &EventLog,
        mut visit: impl FnMut(&RecordedEvent) -> Result<Next>,
    ) -> Result<()> {
        let stream = StreamId {
            aggregate_type: self.aggregate.to_owned(),
            aggregate_id: self.id.to_string(),
        };
        let mut sequence = 0;
        loop {
            let page = log.read_stream(&stream, sequence, EVENTS_PER_READ).await;
            let page = page.context("could not read the aggregate's events")?;
            let Some(last) = page.last() else {
                if sequence == 0 {
                    bail!("there is no {} {}", self.aggregate, self.id);
                }
                return Ok(());
            };
            sequence = last.sequence;
            for event in &page {
                if let Next::Enough = visit(event)? {
                    return Ok(());
                }
            }
        }
    }

    pub(super) async fn fold(&self, log: &EventLog, position: i64) -> Result<Folded> {
        let mut folded = Folded {
            account: Uuid::nil(),
            state: State::absent(self.aggregate).context("this build lost an aggregate")?,
            version: 0,
            changed: None,
        };
        self.visit(log, |event| {
            folded.account = event.tenant;
            if event.position > position {
                return Ok(Next::Enough);
            }
            folded.state.apply(decode(event)?)?;
            folded.version = event.sequence;
            folded.changed = Some(Changed {
                position: event.position,
                at: event.recorded_at,
            });
            Ok(Next::More)
        })
        .await?;
        Ok(folded)
    }
}

pub(super) enum Next {
    More,
    Enough,
}

/// The event, or why this build can't read it.
pub(super) fn decode(event: &RecordedEvent) -> Result<Event> {
    projections::decode(event).map_err(|error| {
        Error::msg(told(&error)).context(format!(
            "the event at position {} does not decode",
            event.position
        ))
    })
}

fn aggregate(name: &str) -> Result<&'static str, String> {
    let names = || EVENT_TYPES.iter().map(|(name, _)| *name);
    names().find(|known| *known == name).ok_or_else(|| {
        let names: Vec<_> = names().collect();
        format!("this build knows {}", names.join(", "))
    })
}
