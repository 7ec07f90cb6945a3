//! One stream: checked from end to end before its first event enters, compared with what stands here, and appended.

use std::collections::HashMap;
use std::time::Duration;

use anyhow::{Context as _, Result};
use event_store::{
    Append, AppendError, Excluded, NewEvent, Origin, RecordedEvent, Store, StreamHead, StreamId,
};
use serde_json::{Value, json};
use tokio::sync::Mutex;
use uuid::Uuid;

use super::admit::{Owner, admit};
use super::mapping::{Mapping, Subjects};
use super::refusal::Refusal;
use super::source::{Source, SourceEvent, SourceStream};

/// Events that one command may hold: enough for a long stream to come in quickly.
const COMMAND_EVENTS_MAX: i64 = 64;
/// How often in a row an append is tried that the database did not take for no fault of the event's, and the pause.
const ATTEMPTS_MAX: u32 = 60;
const PAUSE: Duration = Duration::from_millis(500);
/// Stored as the actor and the source of every imported event; never rename.
const ACTOR: &str = "import";
const SOURCE: &str = "postgres-es";

/// Brings streams in. Shared by all that are under way.
pub(super) struct Importer {
    pub(super) store: Store,
    pub(super) source: Source,
    pub(super) source_name: String,
    pub(super) mapping: Mapping,
    pub(super) subjects: Subjects,
    pub(super) tenant: Uuid,
    pub(super) dry_run: bool,
    /// Whether a site is the tenant's.
    pub(super) sites: Mutex<HashMap<Uuid, bool>>,
}

/// What became of a stream's events.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    /// Read from the source.
    pub(super) read: u64,
    pub(super) imported: u64,
    pub(super) found: u64,
}

/// A stream that was refused, and where.
#[derive(Debug)]
pub(super) struct Refused {
    pub(super) sequence: Option<i64>,
    pub(super) refusal: Refusal,
}

/// A stream on its way.
struct Target {
    source_type: String,
    id: StreamId,
    owner: Uuid,
    standing: Vec<RecordedEvent>,
}

struct Ready {
    sequence: i64,
    event: NewEvent,
    owner: Owner,
    excluded: Vec<Excluded>,
    metadata: Value,
}

impl From<Refusal> for Refused {
    fn from(refusal: Refusal) -> Self {
        Self {
            sequence: None,
            refusal,
        }
    }
}

fn at(sequence: i64) -> impl Fn(Refusal) -> Refused {
    move |refusal| Refused {
        sequence: Some(sequence),
        refusal,
    }
}

impl Importer {
    /// `head` is where the stream of that name stands here. An error ends the whole import; a refusal, this stream.
    pub(super) async fn bring_in(
        &self,
        source_type: &str,
        stream: &SourceStream,
        head: Option<StreamHead>,
        counts: &mut Counts,
    ) -> Result<Result<(), Refused>> {
        let id = stream.aggregate_id();
        let uuid = Uuid::parse_str(id)
            .ok()
            .filter(|uuid| uuid.to_string() == id);
        let Some(uuid) = uuid else {
            counts.read += self.count(source_type, stream).await?;
            return Ok(Err(Refusal::IdNotOurs.into()));
        };
        if head.is_some_and(|head| head.tenant != self.tenant) {
            counts.read += self.count(source_type, stream).await?;
            return Ok(Err(Refusal::ForeignStream.into()));
        }
        let owner = match self.check(source_type, stream, uuid, counts).await? {
            Ok(owner) => owner,
            Err(refused) => return Ok(Err(refused)),
        };
        let id = StreamId {
            aggregate_type: self.mapping.aggregate_type(source_type).to_owned(),
            aggregate_id: id.to_owned(),
        };
        let standing = match head {
            Some(_) => self.standing(&id).await?,
            None => Vec::new(),
        };
        let mut target = Target {
            source_type: source_type.to_owned(),
            id,
            owner,
            standing,
        };
        let brought = match stream {
            SourceStream::Held(events) => self.bring_page(&mut target, events, counts).await?,
            SourceStream::Long(_) => self.bring_long(&mut target, counts).await?,
        };
        if brought.is_ok() && target.owner == uuid {
            self.sites.lock().await.insert(uuid, true);
        }
        Ok(brought)
    }

    /// Goes through all events before the first one enters, so that a stream comes in whole or not at all. Answers with
    /// the owner.
    async fn check(
        &self,
        source_type: &str,
        stream: &SourceStream,
        uuid: Uuid,
        counts: &mut Counts,
    ) -> Result<Result<Uuid, Refused>> {
        let mut checked = Checked::default();
        let mut refused = None;
        match stream {
            SourceStream::Held(events) => {
                counts.read += events.len() as u64;
                refused = self.check_page(source_type, events, &mut checked).err();
            }
            SourceStream::Long(id) => {
                let mut after = i64::MIN;
                loop {
                    let page = self.source.events_after(source_type, id, after).await?;
                    let Some(last) = page.last() else { break };
                    after = last.sequence;
                    counts.read += page.len() as u64;
                    if refused.is_none() {
                        refused = self.check_page(source_type, &page, &mut checked).err();
                    }
                }
            }
        }
        if let Some(refused) = refused {
            return Ok(Err(refused));
        }
        Ok(match checked.owner {
            None | Some(Owner::Account) => Ok(self.tenant),
            Some(Owner::Site) => Ok(uuid),
            Some(Owner::OfSite(site)) if self.owns(site).await? => Ok(site),
            Some(Owner::OfSite(site)) => Err(Refusal::ForeignSite { site }.into()),
        })
    }

    fn check_page(
        &self,
        source_type: &str,
        events: &[SourceEvent],
        checked: &mut Checked,
    ) -> Result<(), Refused> {
        for event in events {
            let expected = checked.sequence + 1;
            if event.sequence != expected {
                let found = event.sequence;
                return Err(Refusal::Gap { expected, found }.into());
            }
            checked.sequence = expected;
            let ready = self.ready(source_type, event).map_err(at(expected))?;
            let owner = *checked.owner.get_or_insert(ready.owner);
            if owner != ready.owner {
                return Err(at(expected)(Refusal::OtherSite));
            }
        }
        Ok(())
    }

    fn ready(&self, source_type: &str, event: &SourceEvent) -> Result<Ready, Refusal> {
        let metadata = self.mapping.metadata(event)?;
        let mapped = self.mapping.map(source_type, event, &self.subjects)?;
        let mut admitted = admit(
            self.tenant,
            self.store.region(),
            self.mapping.aggregate_type(source_type),
            &event.aggregate_id,
            event.sequence,
            mapped,
        )?;
        admitted.event.tags = admitted.claim.tags;
        admitted.event.id =
            self.derived_id("event", source_type, &event.aggregate_id, event.sequence);
        Ok(Ready {
            sequence: event.sequence,
            event: admitted.event,
            owner: admitted.owner,
            excluded: admitted.claim.excluded,
            metadata: json!({
                "source": SOURCE,
                "imported": { "from": self.source_name, "metadata": metadata },
            }),
        })
    }

    /// The same for the same event of the same source, whoever imports it when. Stored; never change.
    fn derived_id(&self, what: &str, source_type: &str, aggregate_id: &str, sequence: i64) -> Uuid {
        let name = format!("{what}/{source_type}/{aggregate_id}/{sequence}");
        Uuid::new_v5(&self.correlation(), name.as_bytes())
    }

    /// All that comes from one source for one tenant belongs together.
    fn correlation(&self) -> Uuid {
        let name = format!("{SOURCE}/{}", self.source_name);
        Uuid::new_v5(&self.tenant, name.as_bytes())
    }

    async fn owns(&self, site: Uuid) -> Result<bool> {
        if let Some(known) = self.sites.lock().await.get(&site) {
            return Ok(*known);
        }
        let stream = StreamId {
            aggregate_type: "site".to_owned(),
            aggregate_id: site.to_string(),
        };
        let head = self.store.streams().head(&stream).await?;
        let owns = head.is_some_and(|head| head.tenant == self.tenant);
        self.sites.lock().await.insert(site, owns);
        Ok(owns)
    }

    async fn count(&self, source_type: &str, stream: &SourceStream) -> Result<u64> {
        let id = match stream {
            SourceStream::Held(events) => return Ok(events.len() as u64),
            SourceStream::Long(id) => id,
        };
        self.source.count(source_type, id).await
    }

    async fn standing(&self, id: &StreamId) -> Result<Vec<RecordedEvent>> {
        Ok(self.store.streams().events_after(id, 0).await?)
    }

    async fn bring_long(
        &self,
        target: &mut Target,
        counts: &mut Counts,
    ) -> Result<Result<(), Refused>> {
        let mut after = 0;
        loop {
            let page = self
                .source
                .events_after(&target.source_type, &target.id.aggregate_id, after)
                .await?;
            let Some(last) = page.last() else {
                return Ok(Ok(()));
            };
            after = last.sequence;
            if let Err(refused) = self.bring_page(target, &page, counts).await? {
                return Ok(Err(refused));
            }
        }
    }

    async fn bring_page(
        &self,
        target: &mut Target,
        events: &[SourceEvent],
        counts: &mut Counts,
    ) -> Result<Result<(), Refused>> {
        let ready: Result<Vec<Ready>, Refused> = events
            .iter()
            .map(|event| {
                self.ready(&target.source_type, event)
                    .map_err(at(event.sequence))
            })
            .collect();
        let ready = match ready {
            Ok(ready) => ready,
            Err(refused) => return Ok(Err(refused)),
        };
        let mut rest = &ready[..];
        let mut attempts = 0;
        while let Some(first) = rest.first() {
            let sequence = first.sequence;
            if let Some(there) = target.standing.get((sequence - 1) as usize) {
                if !self.is_the_same(there, &first.event).await? {
                    return Ok(Err(at(sequence)(Refusal::OtherContent)));
                }
                counts.found += 1;
                rest = &rest[1..];
                continue;
            }
            let command = command(rest);
            if self.dry_run {
                counts.imported += command.len() as u64;
                rest = &rest[command.len()..];
                continue;
            }
            match self.store.append(self.append(target, command)).await {
                Ok(_) => {
                    counts.imported += command.len() as u64;
                    rest = &rest[command.len()..];
                    attempts = 0;
                }
                Err(error) if passes(&error) && attempts < ATTEMPTS_MAX => {
                    attempts += 1;
                    if !matches!(error, AppendError::Conflict { .. }) {
                        tokio::time::sleep(PAUSE).await;
                    }
                    // Somebody else appended, or this very append was done and its answer lost.
                    target.standing = self.standing(&target.id).await?;
                }
                Err(
                    error @ (AppendError::Unavailable(_)
                    | AppendError::Overloaded
                    | AppendError::Ended),
                ) => {
                    return Err(error).context("the database does not take appends");
                }
                Err(AppendError::ConditionFailed { position }) => {
                    return Ok(Err(at(sequence)(Refusal::Taken { position })));
                }
                Err(AppendError::NotFound) => return Ok(Err(Refusal::ForeignStream.into())),
                Err(error) => {
                    let told = format!("{:#}", anyhow::Error::new(error));
                    return Ok(Err(at(sequence)(Refusal::NotTaken(told))));
                }
            }
        }
        Ok(Ok(()))
    }

    fn append(&self, target: &Target, command: &[Ready]) -> Append {
        let first = &command[0];
        Append {
            tenant: self.tenant,
            stream: target.id.clone(),
            owner: target.owner,
            expected: first.sequence - 1,
            origin: Origin {
                command_id: self.derived_id(
                    "command",
                    &target.source_type,
                    &target.id.aggregate_id,
                    first.sequence,
                ),
                correlation_id: self.correlation(),
                causation_id: None,
                actor: ACTOR.to_owned(),
                metadata: first.metadata.clone(),
            },
            request_hash: None,
            excluded: command
                .iter()
                .flat_map(|ready| ready.excluded.clone())
                .collect(),
            events: command.iter().map(|ready| ready.event.clone()).collect(),
        }
    }

    /// Whether the event that stands here is the source's. Who it was about may have been erased since.
    async fn is_the_same(&self, there: &RecordedEvent, ours: &NewEvent) -> Result<bool> {
        if there.event_id != ours.id
            || there.event_type != ours.event_type
            || there.event_version != ours.event_version
        {
            return Ok(false);
        }
        let mut payload = there.payload_value()?;
        self.store
            .streams()
            .vault()
            .open(there.tenant, there.event_id, &mut payload)
            .await?;
        Ok(is_equal(&payload, &ours.payload))
    }
}

#[derive(Default)]
struct Checked {
    sequence: i64,
    owner: Option<Owner>,
}

/// The next events with the same metadata, which the source may have stored by one command.
fn command(ready: &[Ready]) -> &[Ready] {
    let joined = ready
        .iter()
        .skip(1)
        .take_while(|next| {
            (next.sequence - 1) % COMMAND_EVENTS_MAX != 0 && next.metadata == ready[0].metadata
        })
        .count();
    &ready[..=joined]
}

/// Whether another attempt may succeed.
fn passes(error: &AppendError) -> bool {
    match error {
        AppendError::Conflict { .. } | AppendError::Overloaded | AppendError::Unavailable(_) => {
            true
        }
        AppendError::Seal(vault) => vault.is_transient(),
        AppendError::KeyReused
        | AppendError::NotFound
        | AppendError::Closed
        | AppendError::ConditionFailed { .. }
        | AppendError::Rejected(_)
        | AppendError::Ended => false,
    }
}

fn is_equal(there: &Value, ours: &Value) -> bool {
    match (there, ours) {
        (Value::Object(there), Value::Object(ours)) => {
            if let (Some(there), Some(ours)) = (there.get("$pii"), ours.get("$pii")) {
                return there["subject"] == ours["subject"]
                    && there
                        .get("value")
                        .is_none_or(|value| value == &ours["value"]);
            }
            there.len() == ours.len()
                && there
                    .iter()
                    .all(|(key, value)| ours.get(key).is_some_and(|ours| is_equal(value, ours)))
        }
        (Value::Array(there), Value::Array(ours)) => {
            there.len() == ours.len() && there.iter().zip(ours).all(|(a, b)| is_equal(a, b))
        }
        _ => there == ours,
    }
}
