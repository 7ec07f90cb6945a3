//! `replay audit list` and `replay audit accesses`.

use std::io::Write;

use anyhow::{Result, ensure};
use chrono::{DateTime, Utc};
use clap::Args;
use domain::EVENT_TYPES;
use event_store::{Role, connect};
use projections::audit::{
    self, About, AccessFilter, AuditEntry, AuditFilter, AuditQuery, NotedAccess, StreamId,
};
use serde_json::{Value, json};
use sqlx::PgPool;
use uuid::Uuid;

use super::CONNECTIONS;

const PAGE: u16 = 100;
const NOTHING: &str = "nothing";

/// Everything that is given has to fit.
#[derive(Debug, Args)]
pub(crate) struct ListArgs {
    account: Uuid,
    /// Who did it, for instance `api_key:` and its id.
    #[arg(long)]
    actor: Option<String>,
    /// The type of what it was done to, for instance `site`.
    #[arg(long, value_parser = aggregate)]
    aggregate: Option<String>,
    /// The id of what it was done to.
    #[arg(long, requires = "aggregate")]
    id: Option<Uuid>,
    /// The event's type, for instance `site.renamed`.
    #[arg(long = "type", value_parser = event_type)]
    event_type: Option<String>,
    /// Recorded then or later, for instance 2026-11-21T12:00:00Z.
    #[arg(long, value_parser = time)]
    from: Option<DateTime<Utc>>,
    /// Recorded before.
    #[arg(long, value_parser = time)]
    until: Option<DateTime<Utc>>,
    /// A part of the sentence, in whatever case.
    #[arg(long)]
    text: Option<String>,
    /// At most so many, the newest.
    #[arg(long, default_value_t = 50)]
    limit: usize,
    /// A JSON document a line instead of words.
    #[arg(long)]
    json: bool,
}

/// Everything that is given has to fit.
#[derive(Debug, Args)]
pub(crate) struct AccessesArgs {
    account: Uuid,
    /// Who opened it, for instance `api_key:` and its id.
    #[arg(long)]
    actor: Option<String>,
    /// Why, for instance `subject_export`.
    #[arg(long)]
    purpose: Option<String>,
    /// Whose data it was.
    #[arg(long)]
    subject: Option<Uuid>,
    /// Opened then or later, for instance 2026-11-21T12:00:00Z.
    #[arg(long, value_parser = time)]
    from: Option<DateTime<Utc>>,
    /// Opened before.
    #[arg(long, value_parser = time)]
    until: Option<DateTime<Utc>>,
    /// At most so many, the newest.
    #[arg(long, default_value_t = 50)]
    limit: usize,
    /// A JSON document a line instead of words.
    #[arg(long)]
    json: bool,
}

/// Newest first, as they are found.
pub(crate) async fn list(
    args: ListArgs,
    pool: &PgPool,
    out: &mut (dyn Write + Send),
) -> Result<()> {
    let (account, json) = (args.account.into(), args.json);
    let mut left = args.limit;
    let mut query = args.query()?;
    while left > 0 {
        query.limit = u16::try_from(left).unwrap_or(PAGE).min(PAGE);
        let page = audit::page(pool, account, &query).await?.value;
        left -= page.entries.len();
        for entry in &page.entries {
            if json {
                writeln!(out, "{}", document(entry))?;
            } else {
                tell(entry, out)?;
            }
        }
        query.before = page.next;
        if query.before.is_none() {
            break;
        }
    }
    Ok(())
}

/// Newest first.
pub(crate) async fn accesses(
    args: AccessesArgs,
    pool: &PgPool,
    out: &mut (dyn Write + Send),
) -> Result<()> {
    let (account, json) = (args.account.into(), args.json);
    let (mut left, mut before) = (args.limit, None);
    let filter = args.filter()?;
    while left > 0 {
        let limit = u16::try_from(left).unwrap_or(PAGE).min(PAGE);
        let page = audit::accesses(pool, account, &filter, before, limit).await?;
        left -= page.value.rows.len();
        for noted in &page.value.rows {
            if json {
                writeln!(out, "{}", access_document(noted))?;
            } else {
                tell_access(noted, out)?;
            }
        }
        before = page.value.rows.last().map(|noted| noted.id);
        if !page.value.has_more {
            break;
        }
    }
    Ok(())
}

/// As the role that sees one account.
pub(super) fn pool(database_url: &str) -> Result<PgPool> {
    Ok(connect(database_url, Role::Compliance, CONNECTIONS)?)
}

impl ListArgs {
    fn query(self) -> Result<AuditQuery> {
        check_window(self.from, self.until)?;
        let about = self.aggregate.map(|aggregate_type| match self.id {
            None => About::Any(aggregate_type),
            Some(id) => About::One(StreamId {
                aggregate_type,
                aggregate_id: id.to_string(),
            }),
        });
        Ok(AuditQuery {
            filter: AuditFilter {
                actor: self.actor,
                event_type: self.event_type,
                about,
            },
            from: self.from,
            until: self.until,
            text: self.text,
            before: None,
            limit: PAGE,
        })
    }
}

impl AccessesArgs {
    fn filter(self) -> Result<AccessFilter> {
        check_window(self.from, self.until)?;
        Ok(AccessFilter {
            actor: self.actor,
            purpose: self.purpose,
            subject: self.subject,
            from: self.from,
            until: self.until,
        })
    }
}

fn check_window(from: Option<DateTime<Utc>>, until: Option<DateTime<Utc>>) -> Result<()> {
    if let Some((from, until)) = from.zip(until) {
        ensure!(from < until, "{from} is not before {until}");
    }
    Ok(())
}

fn tell(entry: &AuditEntry, out: &mut (dyn Write + Send)) -> Result<()> {
    let event = &entry.event;
    write!(
        out,
        "position {}, at {}, by {}",
        event.position, event.recorded_at, event.actor
    )?;
    if let Some(source) = &event.origin.source {
        write!(out, ", through {source}")?;
    }
    if let Some(reason) = &event.origin.reason {
        write!(out, ", because of {reason}")?;
    }
    writeln!(out, "\n    {}", entry.sentence)?;
    writeln!(
        out,
        "    {} {}, version {}, command {}",
        event.stream.aggregate_type, event.stream.aggregate_id, event.version, event.command_id
    )?;
    let Some(changes) = &entry.changes else {
        writeln!(out, "        This build can't tell what changed.")?;
        return Ok(());
    };
    for fact in changes {
        writeln!(
            out,
            "        {}: {} -> {}",
            fact.name,
            fact.before.as_deref().unwrap_or(NOTHING),
            fact.after.as_deref().unwrap_or(NOTHING)
        )?;
    }
    Ok(())
}

fn document(entry: &AuditEntry) -> Value {
    let event = &entry.event;
    let changes = entry.changes.as_ref().map(|changes| {
        let changes = changes
            .iter()
            .map(|fact| json!({ "name": fact.name, "before": fact.before, "after": fact.after }));
        changes.collect::<Vec<_>>()
    });
    json!({
        "position": event.position,
        "recorded_at": event.recorded_at,
        "sentence": entry.sentence,
        "changes": changes,
        "actor": event.actor,
        "reason": event.origin.reason,
        "source": event.origin.source,
        "event_type": event.event_type,
        "event_id": event.event_id,
        "aggregate_type": event.stream.aggregate_type,
        "aggregate_id": event.stream.aggregate_id,
        "aggregate_version": event.version,
        "request_id": event.origin.request_id,
        "command_id": event.command_id,
        "correlation_id": event.correlation_id,
        "causation_id": event.causation_id,
    })
}

fn tell_access(noted: &NotedAccess, out: &mut (dyn Write + Send)) -> Result<()> {
    writeln!(
        out,
        "at {}, by {}, for {}: {}",
        noted.accessed_at, noted.actor, noted.purpose, noted.what
    )?;
    for subject in &noted.subjects {
        writeln!(out, "    subject {subject}")?;
    }
    Ok(())
}

fn access_document(noted: &NotedAccess) -> Value {
    json!({
        "id": noted.id,
        "accessed_at": noted.accessed_at,
        "actor": noted.actor,
        "purpose": noted.purpose,
        "subject_ids": noted.subjects,
        "what": noted.what,
    })
}

fn aggregate(name: &str) -> Result<String, String> {
    known(name, EVENT_TYPES.iter().map(|(name, _)| *name))
}

fn event_type(name: &str) -> Result<String, String> {
    known(
        name,
        EVENT_TYPES.iter().flat_map(|(_, types)| *types).copied(),
    )
}

fn known(
    name: &str,
    mut names: impl Iterator<Item = &'static str> + Clone,
) -> Result<String, String> {
    let all = names.clone();
    match names.find(|known| *known == name) {
        Some(name) => Ok(name.to_owned()),
        None => Err(format!(
            "this build knows {}",
            all.collect::<Vec<_>>().join(", ")
        )),
    }
}

fn time(text: &str) -> Result<DateTime<Utc>, String> {
    match DateTime::parse_from_rfc3339(text) {
        Ok(time) => Ok(time.to_utc()),
        Err(_) => Err("this is not a time such as 2026-11-21T12:00:00Z".to_owned()),
    }
}
