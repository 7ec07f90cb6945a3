//! Notes for somebody who is told of each, one after the other, and can't be asked what they have.

use std::collections::HashSet;
use std::time::Duration;

use chrono::{DateTime, Utc};
use sqlx::{PgPool, Postgres, Transaction};
use uuid::Uuid;

use super::anchor::tombstone_path;
use super::books::{self, SealError};
use super::note::Note;
use crate::pool::begin;

/// Every note that was signed, in order, for one receiver.
#[derive(Clone, Debug)]
pub struct Outbox {
    pool: PgPool,
    to: String,
}

/// What is to be told now.
#[derive(Debug)]
pub enum Next {
    /// What another process is telling, or nothing for now: the receiver is left alone after a failure.
    NotNow,
    /// Nothing: all of it was told.
    Empty,
    Delivery(Delivery),
}

/// A note that is on its way. Nobody else sends it meanwhile.
#[derive(Debug)]
pub struct Delivery {
    tx: Transaction<'static, Postgres>,
    to: String,
    place: i64,
    /// How often in a row nothing was delivered.
    pub failures: u32,
    /// `key`, `head` or `tombstone`.
    pub kind: String,
    /// As an anchor calls it.
    pub path: String,
    pub note: String,
    pub noted_at: DateTime<Utc>,
}

impl Outbox {
    /// By a name that the receiver keeps. `pool` connects as [`crate::Role::Sealer`].
    pub async fn open(pool: PgPool, to: &str) -> Result<Self, SealError> {
        sqlx::query!(
            "insert into es.webhooks (webhook) values ($1) on conflict do nothing",
            to
        )
        .execute(&pool)
        .await
        .map_err(SealError::Write)?;
        Ok(Self {
            pool,
            to: to.to_owned(),
        })
    }

    /// For how long the next note waits already, in seconds; 0 where all were told.
    pub async fn waiting_s(&self) -> Result<f64, SealError> {
        let waiting = sqlx::query_scalar!(
            r#"select coalesce(
                   (select extract(epoch from clock_timestamp() - n.noted_at)
                    from es.seal_notes n where n.place > w.delivered order by n.place limit 1), 0
               )::float8 as "waiting!"
               from es.webhooks w where w.webhook = $1"#,
            self.to
        )
        .fetch_optional(&self.pool)
        .await
        .map_err(SealError::Read)?;
        waiting.ok_or(SealError::UnknownReceiver)
    }

    /// The first note that was not delivered, for whoever calls first.
    pub async fn next(&self) -> Result<Next, SealError> {
        let mut tx = begin(&self.pool).await.map_err(SealError::Write)?;
        let told = sqlx::query!(
            "select delivered, failures from es.webhooks where webhook = $1 and not_before <= clock_timestamp()
             for update skip locked",
            self.to
        )
        .fetch_optional(&mut *tx)
        .await
        .map_err(SealError::Read)?;
        let Some(told) = told else {
            let stands = sqlx::query_scalar!(
                r#"select exists (select from es.webhooks where webhook = $1) as "stands!""#,
                self.to
            );
            let stands = stands.fetch_one(&mut *tx).await.map_err(SealError::Read)?;
            return stands
                .then_some(Next::NotNow)
                .ok_or(SealError::UnknownReceiver);
        };
        let next = sqlx::query!(
            "select place, noted_at, kind, path, note from es.seal_notes where place > $1 order by place limit 1",
            told.delivered
        )
        .fetch_optional(&mut *tx)
        .await
        .map_err(SealError::Read)?;
        let Some(next) = next else {
            // Before the answer, so that nobody who asks after it finds the lock held.
            tx.rollback().await.map_err(SealError::Read)?;
            return Ok(Next::Empty);
        };
        Ok(Next::Delivery(Delivery {
            tx,
            to: self.to.clone(),
            place: next.place,
            failures: told.failures.cast_unsigned(),
            kind: next.kind,
            path: next.path,
            note: next.note,
            noted_at: next.noted_at,
        }))
    }
}

impl Delivery {
    /// It was delivered, and is not sent again.
    pub async fn done(mut self) -> Result<(), SealError> {
        sqlx::query!(
            "update es.webhooks set delivered = $2, failures = 0, not_before = '-infinity' where webhook = $1",
            self.to,
            self.place
        )
        .execute(&mut *self.tx)
        .await
        .map_err(SealError::Write)?;
        self.tx.commit().await.map_err(SealError::Write)
    }

    /// It was not, and whoever comes after that time sends it.
    pub async fn failed(mut self, again_after: Duration) -> Result<(), SealError> {
        sqlx::query!(
            "update es.webhooks set failures = failures + 1, not_before = clock_timestamp() + make_interval(secs => $2)
             where webhook = $1",
            self.to,
            again_after.as_secs_f64()
        )
        .execute(&mut *self.tx)
        .await
        .map_err(SealError::Write)?;
        self.tx.commit().await.map_err(SealError::Write)
    }
}

/// Which of these subjects' tombstones were not noted yet.
pub(super) async fn not_noted(pool: &PgPool, subjects: &[Uuid]) -> Result<Vec<Uuid>, SealError> {
    let noted = sqlx::query_scalar!(
        "select path from es.seal_notes where kind = 'tombstone' and path = any($1)",
        &paths(subjects.iter())
    )
    .fetch_all(pool)
    .await
    .map_err(SealError::Read)?;
    let noted: HashSet<String> = noted.into_iter().collect();
    let is_new = |subject: &Uuid| !noted.contains(tombstone_path(*subject).as_ref());
    Ok(subjects.iter().copied().filter(is_new).collect())
}

/// Notes tombstones, but of those who have one.
pub(super) async fn note_tombstones(
    pool: &PgPool,
    tombstones: &[(Uuid, Note)],
) -> Result<(), SealError> {
    let texts: Vec<String> = tombstones
        .iter()
        .map(|(_, note)| note.to_string())
        .collect();
    let mut tx = begin(pool).await.map_err(SealError::Write)?;
    books::lock(&mut tx).await?;
    sqlx::query!(
        "insert into es.seal_notes (place, kind, path, note)
         select coalesce((select max(place) from es.seal_notes), 0) + n.ordinality, 'tombstone', n.path, n.note
         from unnest($1::text[], $2::text[]) with ordinality n(path, note, ordinality)
         on conflict (path) where kind = 'tombstone' do nothing",
        &paths(tombstones.iter().map(|(subject, _)| subject)),
        &texts
    )
    .execute(&mut *tx)
    .await
    .map_err(SealError::Write)?;
    tx.commit().await.map_err(SealError::Write)
}

fn paths<'a>(subjects: impl Iterator<Item = &'a Uuid>) -> Vec<String> {
    subjects
        .map(|subject| tombstone_path(*subject).to_string())
        .collect()
}
