//! The domain log: what it is by itself, and what of it the other checks need.

use std::collections::{BTreeSet, HashMap};

use anyhow::{Context as _, Result};
use chrono::{DateTime, Utc};
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::fold::Folds;
use crate::progress::Progress;
use crate::report::{Check, Report};

const READ_AT_ONCE: i64 = 20_000;
const BUCKETS: u16 = 1024;

/// An event as far as it is kept in memory.
pub(crate) struct Entry {
    pub(crate) position: i64,
    pub(crate) tenant: Uuid,
    /// Index into [`DomainLog::streams`].
    pub(crate) stream: usize,
    pub(crate) sequence: i64,
    pub(crate) event_id: Uuid,
}

pub(crate) struct DomainLog {
    pub(crate) incarnation: Uuid,
    /// In order of positions.
    pub(crate) entries: Vec<Entry>,
    /// `type/id`.
    pub(crate) streams: Vec<String>,
    /// Indices of entries by command, in order. A command id is unique within its tenant.
    pub(crate) commands: HashMap<(Uuid, Uuid), Vec<usize>>,
    /// What the read models must hold.
    pub(crate) folds: Folds,
    /// Whose data stands where.
    pub(crate) subjects: BTreeSet<(Uuid, i64)>,
}

#[derive(sqlx::FromRow)]
pub(crate) struct EventRow {
    pub(crate) position: i64,
    pub(crate) tenant_id: Uuid,
    pub(crate) aggregate_type: String,
    pub(crate) aggregate_id: String,
    pub(crate) sequence: i64,
    pub(crate) bucket: i16,
    pub(crate) event_id: Uuid,
    pub(crate) event_type: String,
    pub(crate) recorded_at: DateTime<Utc>,
    pub(crate) command_id: Uuid,
    pub(crate) payload: String,
}

#[derive(sqlx::FromRow)]
struct StreamRow {
    aggregate_type: String,
    aggregate_id: String,
    tenant_id: Uuid,
    version: i64,
    first_position: i64,
    last_position: i64,
}

/// Where a stream was found to stand.
struct Stream {
    tenant: Uuid,
    version: i64,
    first: i64,
    last: i64,
}

impl DomainLog {
    pub(crate) fn head(&self) -> i64 {
        self.entries.last().map_or(0, |entry| entry.position)
    }

    pub(crate) fn at(&self, position: i64) -> Option<&Entry> {
        self.entries
            .binary_search_by_key(&position, |entry| entry.position)
            .ok()
            .map(|index| &self.entries[index])
    }

    pub(crate) fn of_command(&self, tenant: Uuid, command: Uuid) -> Vec<&Entry> {
        self.commands
            .get(&(tenant, command))
            .into_iter()
            .flatten()
            .map(|index| &self.entries[*index])
            .collect()
    }
}

/// The first two bytes, big-endian, of SHA-256 over the owner's 16 bytes, modulo 1024.
pub(crate) fn bucket(owner: Uuid) -> u16 {
    let digest = Sha256::digest(owner.as_bytes());
    (u16::from(digest[0]) * 256 + u16::from(digest[1])) % BUCKETS
}

pub(crate) async fn read(
    postgres: &mut PgConnection,
    progress: &Progress,
    report: &mut Report,
) -> Result<DomainLog> {
    let incarnation = sqlx::query_scalar("select incarnation from es.log where name = 'events'")
        .fetch_one(&mut *postgres)
        .await
        .context("read es.log")?;
    let mut log = DomainLog {
        incarnation,
        entries: Vec::new(),
        streams: Vec::new(),
        commands: HashMap::new(),
        folds: Folds::new(progress),
        subjects: BTreeSet::new(),
    };
    let mut checks = Checks::new();
    let mut after = 0;
    loop {
        let rows: Vec<EventRow> = sqlx::query_as(
            "select position, tenant_id, aggregate_type, aggregate_id, sequence, bucket, event_id, event_type,
                    recorded_at, command_id, payload::text as payload
             from es.events where position > $1 order by position limit $2",
        )
        .bind(after)
        .bind(READ_AT_ONCE)
        .fetch_all(&mut *postgres)
        .await
        .context("read es.events")?;
        let Some(last) = rows.last() else { break };
        after = last.position;
        for row in rows {
            checks.take(&mut log, row);
        }
    }
    checks.heads(postgres, &log).await?;
    checks.report(report);
    Ok(log)
}

/// What is asked of every event.
struct Checks {
    positions: Check,
    order: Check,
    ids: Check,
    clock: Check,
    bucket: Check,
    commands: Check,
    heads: Check,
    folded: Check,
    domains: Check,
    sites: HashMap<String, i64>,
    recorded_at: Option<DateTime<Utc>>,
    streams: HashMap<String, (usize, Stream)>,
    event_ids: HashMap<Uuid, i64>,
}

impl Checks {
    fn new() -> Self {
        Self {
            positions: Check::new("1", "positions of the domain log are exactly 1..N"),
            order: Check::new(
                "3",
                "in every stream, sequences are 1..v in order of positions",
            ),
            ids: Check::new("1", "event ids occur once"),
            clock: Check::new("1", "recorded_at never steps back"),
            bucket: Check::new("15", "bucket is the hash of the event's owner"),
            commands: Check::new("6 9", "a command's events stand together in one stream"),
            heads: Check::new("4", "es.streams equals the log"),
            folded: Check::new("13", "events can be folded"),
            domains: Check::new("8", "of those who claimed a domain, one site has it"),
            sites: HashMap::new(),
            recorded_at: None,
            streams: HashMap::new(),
            event_ids: HashMap::new(),
        }
    }

    fn take(&mut self, log: &mut DomainLog, row: EventRow) {
        let position = row.position;
        let expected = log.head() + 1;
        self.positions.expect(position == expected, || {
            format!("position {expected} was expected, {position} stands there")
        });
        let (earlier, at) = (self.recorded_at, row.recorded_at);
        self.clock
            .expect(earlier.is_none_or(|earlier| earlier <= at), || {
                format!("position {position} was recorded before the one in front of it")
            });
        self.recorded_at = earlier.max(Some(at));
        if let Some(other) = self.event_ids.insert(row.event_id, position) {
            self.ids.expect(false, || {
                format!(
                    "event {} stands at positions {other} and {position}",
                    row.event_id
                )
            });
        } else {
            self.ids.expect(true, String::new);
        }
        let stream = self.in_stream(log, &row);
        self.in_command(log, &row, stream);
        match serde_json::from_str::<Value>(&row.payload) {
            Ok(payload) => self.in_payload(log, &row, &payload),
            Err(error) => self
                .folded
                .expect(false, || format!("position {position}: {error}")),
        }
        log.entries.push(Entry {
            position,
            tenant: row.tenant_id,
            stream,
            sequence: row.sequence,
            event_id: row.event_id,
        });
    }

    fn in_stream(&mut self, log: &mut DomainLog, row: &EventRow) -> usize {
        let name = format!("{}/{}", row.aggregate_type, row.aggregate_id);
        let (index, stream) = self.streams.entry(name).or_insert_with_key(|name| {
            log.streams.push(name.clone());
            let stream = Stream {
                tenant: row.tenant_id,
                version: 0,
                first: row.position,
                last: row.position,
            };
            (log.streams.len() - 1, stream)
        });
        let expected = stream.version + 1;
        self.order.expect(row.sequence == expected, || {
            format!(
                "{}/{} has sequence {} at position {}, after {}",
                row.aggregate_type, row.aggregate_id, row.sequence, row.position, stream.version
            )
        });
        self.order.expect(row.tenant_id == stream.tenant, || {
            format!(
                "position {} is tenant {}'s in a stream of tenant {}",
                row.position, row.tenant_id, stream.tenant
            )
        });
        stream.version = row.sequence;
        stream.last = row.position;
        *index
    }

    fn in_command(&mut self, log: &mut DomainLog, row: &EventRow, stream: usize) {
        let index = log.entries.len();
        let events = log
            .commands
            .entry((row.tenant_id, row.command_id))
            .or_default();
        if let Some(last) = events.last() {
            let last = &log.entries[*last];
            self.commands.expect(
                last.position + 1 == row.position && last.stream == stream,
                || {
                    format!(
                        "command {} has events at positions {} and {}",
                        row.command_id, last.position, row.position
                    )
                },
            );
        } else {
            self.commands.expect(true, String::new);
        }
        events.push(index);
    }

    fn in_payload(&mut self, log: &mut DomainLog, row: &EventRow, payload: &Value) {
        let position = row.position;
        match owner(row, payload) {
            Some(owner) => {
                let expected = bucket(owner);
                self.bucket
                    .expect(u16::try_from(row.bucket) == Ok(expected), || {
                        format!(
                            "position {position} of owner {owner} has bucket {}, not {expected}",
                            row.bucket
                        )
                    });
            }
            None => self
                .bucket
                .expect(false, || format!("position {position} has no owner")),
        }
        if row.event_type == "site.registered" {
            let domain = payload["domain"].as_str().unwrap_or_default().to_owned();
            let other = self.sites.insert(domain.clone(), position);
            self.domains.expect(other.is_none(), || {
                format!("{domain} was registered at positions {other:?} and {position}")
            });
        }
        collect_subjects(payload, position, &mut log.subjects);
        let folded = log.folds.apply(row, payload);
        self.folded.expect(folded.is_ok(), || {
            format!(
                "position {position}: {:#}",
                folded.err().unwrap_or_else(|| anyhow::anyhow!("no reason"))
            )
        });
    }

    async fn heads(&mut self, postgres: &mut PgConnection, log: &DomainLog) -> Result<()> {
        let rows: Vec<StreamRow> = sqlx::query_as(
            "select aggregate_type, aggregate_id, tenant_id, version, first_position, last_position from es.streams",
        )
        .fetch_all(postgres)
        .await
        .context("read es.streams")?;
        for row in &rows {
            let name = format!("{}/{}", row.aggregate_type, row.aggregate_id);
            let equal = self.streams.get(&name).is_some_and(|(_, stream)| {
                (stream.tenant, stream.version, stream.first, stream.last)
                    == (
                        row.tenant_id,
                        row.version,
                        row.first_position,
                        row.last_position,
                    )
            });
            self.heads.expect(equal, || {
                format!(
                    "{name} stands at version {} and position {}, not so in the log",
                    row.version, row.last_position
                )
            });
        }
        let (found, expected) = (rows.len(), log.streams.len());
        self.heads.expect(found == expected, || {
            format!("es.streams has {found} streams, the log {expected}")
        });
        Ok(())
    }

    fn report(self, report: &mut Report) {
        for check in [
            self.positions,
            self.ids,
            self.clock,
            self.order,
            self.heads,
            self.commands,
            self.domains,
            self.bucket,
            self.folded,
        ] {
            report.add(check);
        }
    }
}

/// The site where there is one, else the account.
fn owner(row: &EventRow, payload: &Value) -> Option<Uuid> {
    match &*row.aggregate_type {
        "account" => Some(row.tenant_id),
        "site" => row.aggregate_id.parse().ok(),
        _ => payload.get("site_id")?.as_str()?.parse().ok(),
    }
}

/// Every `{"$pii": {"subject": …}}`, however deep.
fn collect_subjects(value: &Value, position: i64, subjects: &mut BTreeSet<(Uuid, i64)>) {
    match value {
        Value::Object(members) => {
            if let Some(subject) = members
                .get("$pii")
                .and_then(|envelope| envelope.get("subject")?.as_str()?.parse().ok())
            {
                subjects.insert((subject, position));
            }
            for member in members.values() {
                collect_subjects(member, position, subjects);
            }
        }
        Value::Array(elements) => {
            for element in elements {
                collect_subjects(element, position, subjects);
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// From docs/stored-format.md's contract, worked out by hand with `sha256sum`.
    #[test]
    fn buckets_are_what_the_stored_format_says() {
        let owner = |text: &str| bucket(text.parse().unwrap());
        assert_eq!(owner("00000000-0000-0000-0000-000000000000"), 839);
        assert_eq!(owner("0192f0c1-2345-7abc-8def-0123456789ab"), 1021);
    }
}
