//! The records of an account's people: table `subject`, one row per person, with nothing personal in it.

mod projector;
mod row;

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use domain::data_subject::DataSubject;
use domain::{AccountId, SubjectId};
use sqlx::PgPool;
use sqlx::types::Json;
use uuid::Uuid;

pub use self::projector::SubjectList;
use self::row::StoredRow;
pub use self::row::{NotAsking, OpenRequests, SubjectRow, ToErase};
use crate::projection::Projection;
use crate::read::{AsOf, Page, ReadError, ReadTx};

const MODEL: Projection = Projection::SubjectList;

/// The record of one person. `None` where the account has none of this id.
pub async fn get(
    tx: &mut ReadTx,
    subject: SubjectId,
) -> Result<AsOf<Option<SubjectRow>>, ReadError> {
    let row = sqlx::query_as!(
        StoredRow,
        r#"select subject_id, record as "record!: _", due_at, certificate, version, position, registered_at, updated_at
           from subject where subject_id = $1"#,
        subject.as_uuid()
    )
    .fetch_optional(tx.connection())
    .await
    .map_err(failed)?;
    Ok(tx.as_of(row.map(SubjectRow::from)))
}

/// The account's records in order of registration, up to `limit`, after the row at position `after`: all of them, or
/// those only that have an open request.
pub async fn list(
    tx: &mut ReadTx,
    open_only: bool,
    after: Option<i64>,
    limit: u16,
) -> Result<AsOf<Page<SubjectRow>>, ReadError> {
    let rows = sqlx::query_as!(
        StoredRow,
        r#"select subject_id, record as "record!: _", due_at, certificate, version, position, registered_at, updated_at
           from subject where position > $1 and (due_at is not null or not $2) order by position limit $3"#,
        after.unwrap_or(0),
        open_only,
        i64::from(limit) + 1
    )
    .fetch_all(tx.connection())
    .await
    .map_err(failed)?;
    let rows = rows.into_iter().map(SubjectRow::from).collect();
    Ok(tx.as_of(Page::of(rows, limit)))
}

/// Those of the account's people whom its shops' pages must not name, where they are among these: under every id that they
/// are known by.
pub(crate) async fn not_to_be_shown(
    tx: &mut ReadTx,
    account: AccountId,
    among: &[Uuid],
) -> Result<BTreeSet<Uuid>, ReadError> {
    if among.is_empty() {
        return Ok(BTreeSet::new());
    }
    let found = sqlx::query!(
        r#"select subject_id as "subject_id!", record as "record!: Json<DataSubject>" from subject_known_as($1, $2)"#,
        account.as_uuid(),
        among
    )
    .fetch_all(tx.connection())
    .await
    .map_err(failed)?;
    let mut hidden = BTreeSet::new();
    for row in found.iter().filter(|row| !row.record.may_be_shown()) {
        hidden.insert(row.subject_id);
        hidden.extend(row.record.identities().iter().map(|id| *id.as_uuid()));
    }
    Ok(hidden)
}

/// Whom to erase, in whatever account, up to `limit` after the row at position `after`: who asked and is not held, and who is
/// erased without a certificate. `pool` connects as [`event_store::Role::Projector`].
pub async fn to_erase(pool: &PgPool, after: i64, limit: u16) -> Result<Vec<ToErase>, ReadError> {
    let mut tx = ReadTx::begin_anonymous(pool, &[MODEL]).await?;
    sqlx::query_as!(
        ToErase,
        r#"select subject_id, account_id, erasure_requested_by as "event_id!", erasure_requested_for as "correlation_id!",
                  position
           from subject where erasure in ('requested', 'erased') and (erasure = 'erased' or not held) and position > $1
           order by position limit $2"#,
        after,
        i64::from(limit)
    )
    .fetch_all(tx.connection())
    .await
    .map_err(failed)
}

/// Those of the subjects who have a record that knows of no wish to be erased, in whatever account. `pool` connects as
/// [`event_store::Role::Projector`].
pub async fn not_asking(pool: &PgPool, subjects: &[Uuid]) -> Result<Vec<NotAsking>, ReadError> {
    let mut tx = ReadTx::begin_anonymous(pool, &[MODEL]).await?;
    sqlx::query_as!(
        NotAsking,
        "select subject_id, account_id from subject where subject_id = any($1) and erasure = 'none' order by position",
        subjects
    )
    .fetch_all(tx.connection())
    .await
    .map_err(failed)
}

/// How many people wait for an answer, in all accounts. `pool` connects as [`event_store::Role::Projector`].
pub async fn open_requests(pool: &PgPool, now: DateTime<Utc>) -> Result<OpenRequests, ReadError> {
    let mut tx = ReadTx::begin_anonymous(pool, &[MODEL]).await?;
    sqlx::query_as!(
        OpenRequests,
        r#"select count(*) as "all!", count(*) filter (where due_at < $1) as "overdue!"
           from subject where due_at is not null"#,
        now
    )
    .fetch_one(tx.connection())
    .await
    .map_err(failed)
}

fn failed(source: sqlx::Error) -> ReadError {
    ReadError::Query {
        model: MODEL,
        source,
    }
}
