//! What callers were told against what stands in the logs.

use std::collections::HashMap;
use std::ops::Range;

use anyhow::{Context as _, Result};
use sha2::{Digest as _, Sha256};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::journal::{Append, Batch, Journal, Request, Seen};
use crate::log::DomainLog;
use crate::report::{Check, Report};
use crate::telemetry::TelemetryLog;

/// The stored result of a keyed command.
#[derive(Debug, sqlx::FromRow)]
struct Stored {
    tenant_id: Uuid,
    command_id: Uuid,
    aggregate_id: String,
    version: i64,
    event_count: i32,
    last_position: i64,
}

type StoredResults = HashMap<(Uuid, Uuid), Stored>;

pub(crate) async fn check(
    postgres: &mut PgConnection,
    journal: &Journal,
    log: &DomainLog,
    telemetry: &TelemetryLog,
    report: &mut Report,
) -> Result<()> {
    let stored: StoredResults = sqlx::query_as::<_, Stored>(
        "select tenant_id, command_id, aggregate_id, version, event_count, last_position from es.commands",
    )
    .fetch_all(postgres)
    .await
    .context("read es.commands")?
    .into_iter()
    .map(|stored| ((stored.tenant_id, stored.command_id), stored))
    .collect();
    report.add(results(&stored, log));
    appends(journal, log, &stored, report);
    requests(journal, log, &stored, report);
    batches(journal, telemetry, report);
    report.add(seen(journal, log, telemetry));
    Ok(())
}

/// A stored result says what stands in the log.
fn results(stored: &StoredResults, log: &DomainLog) -> Check {
    let mut check = Check::new("7", "a stored result says what stands in the log");
    for stored in stored.values() {
        let events = log.of_command(stored.tenant_id, stored.command_id);
        check.expect(events.len() as i64 == i64::from(stored.event_count), || {
            format!("{stored:?} has {} events in the log", events.len())
        });
        if stored.last_position > 0 {
            let at = log.at(stored.last_position);
            let right = at.is_some_and(|entry| {
                entry.sequence == stored.version
                    && entry.tenant == stored.tenant_id
                    && log.streams[entry.stream].ends_with(&format!("/{}", stored.aggregate_id))
            });
            check.expect(right, || format!("{stored:?} is not what stands there"));
        }
        let ends = events.last().map(|entry| entry.position);
        check.expect(ends.is_none_or(|ends| ends == stored.last_position), || {
            format!("{stored:?} ends at {ends:?} in the log")
        });
    }
    check
}

fn appends(journal: &Journal, log: &DomainLog, stored: &StoredResults, report: &mut Report) {
    let mut present = Check::new(
        "9",
        "an acknowledged append stands in the log as it was told, once",
    );
    let mut whole = Check::new(
        "9",
        "an append that was not acknowledged is absent or whole",
    );
    let mut identical = Check::new("7", "repeats of an append under one key got one reply");
    let mut winners = Check::new("5", "of two appends on one version, one was done");
    let mut won: HashMap<(&str, i64), Uuid> = HashMap::new();
    for ((tenant, command), append) in &journal.appends {
        let events = log.of_command(*tenant, *command);
        let ids: Vec<Uuid> = events.iter().map(|entry| entry.event_id).collect();
        if append.done.is_empty() {
            whole.expect(ids.is_empty() || ids == append.events, || {
                format!(
                    "command {command} has {} of {} events",
                    ids.len(),
                    append.events.len()
                )
            });
            whole.expect(
                append.refused == 0 || append.sent > append.refused || ids.is_empty(),
                || {
                    format!(
                        "command {command} was refused and stands at {:?}",
                        events.first().map(|entry| entry.position)
                    )
                },
            );
        } else {
            acknowledged(append, *tenant, *command, log, stored, &mut present);
            identical.expect(
                append.done.iter().all(|done| *done == append.done[0]),
                || format!("command {command} was answered {:?}", append.done),
            );
        }
        if !ids.is_empty() {
            let other = won.insert((&append.stream, append.expected), *command);
            winners.expect(other.is_none(), || {
                format!(
                    "commands {command} and {other:?} were both done on version {} of {}",
                    append.expected, append.stream
                )
            });
        }
    }
    for check in [present, whole, identical, winners] {
        report.add(check);
    }
}

fn acknowledged(
    append: &Append,
    tenant: Uuid,
    command: Uuid,
    log: &DomainLog,
    stored: &StoredResults,
    check: &mut Check,
) {
    let events = log.of_command(tenant, command);
    let ids: Vec<Uuid> = events.iter().map(|entry| entry.event_id).collect();
    // A repeat under a key carries events of its own, of which the first to arrive stand there.
    let same = if append.keyed {
        ids.len() == append.events.len()
    } else {
        ids == append.events
    };
    check.expect(same, || {
        format!(
            "command {command} has {} of {} events",
            ids.len(),
            append.events.len()
        )
    });
    let (version, position) = append.done[0];
    let last = events
        .last()
        .map(|entry| (entry.sequence, entry.position, &*log.streams[entry.stream]));
    check.expect(last == Some((version, position, &*append.stream)), || {
        format!(
            "command {command} was told version {version} and position {position} of {}, and ends at {last:?}",
            append.stream
        )
    });
    check.expect(
        version == append.expected + append.events.len() as i64,
        || {
            format!(
                "command {command} on version {} was told {version}",
                append.expected
            )
        },
    );
    check.expect(
        stored.contains_key(&(tenant, command)) == append.keyed,
        || format!("command {command} has a stored result, or lacks it"),
    );
}

fn requests(journal: &Journal, log: &DomainLog, stored: &StoredResults, report: &mut Report) {
    let mut present = Check::new(
        "9",
        "an acknowledged command's result is stored as it was told",
    );
    let mut identical = Check::new("7", "repeats of a command under one key got one reply");
    let mut reused = Check::new("7", "another command under a used key is refused");
    let mut absent = Check::new(
        "9",
        "a command that was refused, or never acknowledged, is absent or whole",
    );
    for (command, request) in &journal.requests {
        let result = stored.get(&(request.tenant, *command));
        let events = log.of_command(request.tenant, *command).len();
        reused.expect(request.reused.is_empty(), || {
            format!(
                "key {} was answered {:?} to another request",
                request.key, request.reused
            )
        });
        reused.asked += u64::from(request.reuses);
        if request.done.is_empty() {
            absent.expect(events == 0 || result.is_some(), || {
                format!(
                    "key {} has {events} events and no stored result",
                    request.key
                )
            });
            absent.expect(request.refused.is_empty() || result.is_none(), || {
                format!(
                    "key {} was refused with {:?} and done",
                    request.key, request.refused
                )
            });
            continue;
        }
        identical.expect(
            request.done.iter().all(|done| *done == request.done[0]),
            || format!("key {} was answered {:?}", request.key, request.done),
        );
        present.expect(
            result.is_some_and(|stored| tells(request, stored, log)),
            || {
                format!(
                    "key {} was told {:?}, and stored is {result:?}",
                    request.key, request.done[0]
                )
            },
        );
    }
    for check in [present, identical, reused, absent] {
        report.add(check);
    }
}

fn tells(request: &Request, stored: &Stored, log: &DomainLog) -> bool {
    let told = &request.done[0];
    told.id
        .is_none_or(|id| id.to_string() == stored.aggregate_id)
        && told.version.is_none_or(|version| version == stored.version)
        && told.position.as_ref().is_none_or(|token| {
            (token.log, token.incarnation, token.position)
                == (b'e', log.incarnation, stored.last_position)
        })
}

fn batches(journal: &Journal, telemetry: &TelemetryLog, report: &mut Report) {
    let mut present = Check::new(
        "9",
        "acknowledged telemetry stands in the log, up to its position",
    );
    let mut sums = Check::new("7", "of a batch's events, each was accepted once");
    let mut known = Check::new("9", "all telemetry in the log was sent");
    let mut sent: HashMap<Uuid, &Batch> = HashMap::new();
    for batch in &journal.batches {
        sent.extend(batch.ids.iter().map(|id| (*id, batch)));
        for (accepted, duplicates, position) in &batch.done {
            for id in &batch.ids {
                let at = telemetry.ids.get(&(*id, batch.owner));
                present.expect(at.is_some_and(|at| *at <= position.position), || {
                    format!(
                        "event {id} was acknowledged up to {} and stands at {at:?}",
                        position.position
                    )
                });
            }
            present.expect(
                (position.log, position.incarnation) == (b't', telemetry.incarnation),
                || format!("a batch was told the position of another log: {position:?}"),
            );
            sums.expect(accepted + duplicates == batch.ids.len(), || {
                format!("{accepted} and {duplicates} of {} events", batch.ids.len())
            });
        }
    }
    for event in &telemetry.events {
        let batch = sent.get(&event.event_id);
        known.expect(
            batch.is_some_and(|batch| (batch.owner, batch.tenant) == (event.owner, event.tenant)),
            || {
                format!(
                    "event {} at position {} was not sent",
                    event.event_id, event.position
                )
            },
        );
    }
    for check in [present, sums, known] {
        report.add(check);
    }
}

/// What a reader saw while others wrote is what stands there now.
fn seen(journal: &Journal, log: &DomainLog, telemetry: &TelemetryLog) -> Check {
    let mut check = Check::new(
        "2 12",
        "what a reader saw meanwhile had no gap, and stands there still",
    );
    for seen in &journal.seen {
        let digest = match &*seen.log {
            "events" => {
                let range = seen.range(log.entries.len());
                digest_of(
                    log.entries[range]
                        .iter()
                        .map(|entry| (entry.position, entry.event_id)),
                )
            }
            _ => {
                let range = seen.range(telemetry.events.len());
                digest_of(
                    telemetry.events[range]
                        .iter()
                        .map(|event| (event.position, event.event_id)),
                )
            }
        };
        check.expect(digest == seen.digest, || {
            format!(
                "positions {} to {} of the {} log are not what was seen",
                seen.from, seen.to, seen.log
            )
        });
        check.asked += (seen.to - seen.from).cast_unsigned();
    }
    for anomaly in &journal.anomalies {
        check.expect(false, || anomaly.clone());
    }
    check
}

impl Seen {
    /// The indices of what was seen in a log without a gap.
    fn range(&self, length: usize) -> Range<usize> {
        let end = usize::try_from(self.to).unwrap_or(0).min(length);
        usize::try_from(self.from - 1).unwrap_or(0).min(end)..end
    }
}

pub(crate) fn digest_of(events: impl Iterator<Item = (i64, Uuid)>) -> String {
    let mut hash = Sha256::new();
    for (position, id) in events {
        hash.update(position.to_be_bytes());
        hash.update(id.as_bytes());
    }
    hash.finalize()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}
