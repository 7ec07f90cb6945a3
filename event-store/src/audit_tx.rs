//! Looking back as a compliance officer of one account: its events, newest first, and who opened its personal data.

use chrono::{DateTime, Utc};
use futures::TryStreamExt as _;
use sqlx::{PgPool, Postgres, Transaction};
use uuid::Uuid;

use crate::access_log::{AccessFilter, NotedAccess};
use crate::pool::begin_with;
use crate::store::{EventRow, RecordedEvent, StreamId};
use crate::token::{LogName, Token};

/// How many of the account's events are looked through for those that are wanted, in one go.
const LOOKED_THROUGH_MAX: i64 = 10_000;

/// Which events are wanted: those that are all of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AuditFilter {
    pub actor: Option<String>,
    pub event_type: Option<String>,
    pub about: Option<About>,
}

/// What events are about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum About {
    /// Any aggregate of this type.
    Any(String),
    One(StreamId),
}

/// Positions, the last exclusive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stretch {
    pub from: i64,
    pub until: i64,
}

impl Stretch {
    pub fn is_empty(self) -> bool {
        self.from >= self.until
    }
}

/// The only way to an account's events and accesses for whoever audits it: one snapshot, read-only. Row-level security shows
/// nothing where no account is set.
pub struct AuditTx {
    tx: Transaction<'static, Postgres>,
    position: Token,
}

impl AuditTx {
    /// `pool` connects as [`crate::Role::Compliance`].
    pub async fn begin(pool: &PgPool, account: Uuid) -> Result<Self, sqlx::Error> {
        let mut tx = begin_with(pool, "begin isolation level repeatable read, read only").await?;
        let log = sqlx::query!(
            r#"select set_config('proofline.account', $1, true) as "account!", incarnation,
                      es.events_head() as "head!"
               from es.log where name = 'events'"#,
            account.to_string()
        )
        .fetch_one(&mut *tx)
        .await?;
        let position = Token {
            log: LogName::Events,
            incarnation: log.incarnation,
            position: log.head,
        };
        Ok(Self { tx, position })
    }

    /// The last position of the log. All of the account's events up to there are seen.
    pub fn position(&self) -> Token {
        self.position
    }

    /// What was recorded at `from` or later and before `until`; by default all.
    pub async fn stretch(
        &mut self,
        from: Option<DateTime<Utc>>,
        until: Option<DateTime<Utc>>,
    ) -> Result<Stretch, sqlx::Error> {
        let mut stretch = Stretch {
            from: 1,
            until: self.position.position + 1,
        };
        if let Some(time) = from {
            stretch.from = self.first_at(time).await?;
        }
        if let Some(time) = until {
            stretch.until = self.first_at(time).await?;
        }
        Ok(stretch)
    }

    /// The position from which on all events of the account were recorded at `time` or later.
    async fn first_at(&mut self, time: DateTime<Utc>) -> Result<i64, sqlx::Error> {
        sqlx::query_file_scalar!("sql/select_first_at.sql", time, self.position.position + 1)
            .fetch_one(&mut *self.tx)
            .await
    }

    /// The newest part of the stretch that one look goes through, so that it has its bound where few events pass the filter.
    /// One aggregate's events are found without a look at others.
    pub async fn within_reach(
        &mut self,
        stretch: Stretch,
        filter: &AuditFilter,
    ) -> Result<Stretch, sqlx::Error> {
        if let Some(About::One(_)) = filter.about {
            return Ok(stretch);
        }
        let beyond = sqlx::query_scalar!(
            "select position from es.events where position >= $1 and position < $2
             order by position desc offset $3 limit 1",
            stretch.from,
            stretch.until,
            LOOKED_THROUGH_MAX
        )
        .fetch_optional(&mut *self.tx)
        .await?;
        Ok(Stretch {
            from: beyond.map_or(stretch.from, |position| position + 1),
            ..stretch
        })
    }

    /// The events of the stretch that pass the filter, newest first, at most `limit`, as stored.
    pub async fn events(
        &mut self,
        stretch: Stretch,
        filter: &AuditFilter,
        limit: i64,
    ) -> Result<Vec<RecordedEvent>, sqlx::Error> {
        let AuditFilter {
            actor, event_type, ..
        } = filter;
        let rows = match &filter.about {
            Some(About::One(stream)) => {
                sqlx::query_file_as!(
                    EventRow,
                    "sql/select_audited_aggregate.sql",
                    stretch.from,
                    stretch.until,
                    limit,
                    actor.as_deref(),
                    event_type.as_deref(),
                    stream.aggregate_type,
                    stream.aggregate_id
                )
                .fetch_all(&mut *self.tx)
                .await?
            }
            about => {
                let aggregate_type = about.as_ref().map(About::aggregate_type);
                sqlx::query_file_as!(
                    EventRow,
                    "sql/select_audited_events.sql",
                    stretch.from,
                    stretch.until,
                    limit,
                    actor.as_deref(),
                    event_type.as_deref(),
                    aggregate_type
                )
                .fetch_all(&mut *self.tx)
                .await?
            }
        };
        rows.into_iter().map(RecordedEvent::try_from).collect()
    }

    /// The events of these streams from the first up to a version, in order, one stream after the other. One is held at a
    /// time.
    pub async fn visit(
        &mut self,
        streams: impl IntoIterator<Item = (StreamId, i64)>,
        mut visit: impl FnMut(RecordedEvent),
    ) -> Result<(), sqlx::Error> {
        let (mut types, mut ids, mut versions) = (Vec::new(), Vec::new(), Vec::new());
        for (stream, version) in streams {
            types.push(stream.aggregate_type);
            ids.push(stream.aggregate_id);
            versions.push(version);
        }
        let mut rows = sqlx::query_file_as!(
            EventRow,
            "sql/select_audited_streams.sql",
            &types,
            &ids,
            &versions
        )
        .fetch(&mut *self.tx);
        while let Some(row) = rows.try_next().await? {
            visit(row.try_into()?);
        }
        Ok(())
    }

    /// Who opened the account's personal data, newest first, at most `limit`. `before` is the id of the last one known.
    pub async fn accesses(
        &mut self,
        filter: &AccessFilter,
        before: Option<i64>,
        limit: i64,
    ) -> Result<Vec<NotedAccess>, sqlx::Error> {
        sqlx::query_file_as!(
            NotedAccess,
            "sql/select_accesses.sql",
            before.unwrap_or(i64::MAX),
            limit,
            filter.actor.as_deref(),
            filter.purpose.as_deref(),
            filter.subject,
            filter.from,
            filter.until
        )
        .fetch_all(&mut *self.tx)
        .await
    }
}

impl About {
    fn aggregate_type(&self) -> &str {
        match self {
            Self::Any(aggregate_type) => aggregate_type,
            Self::One(stream) => &stream.aggregate_type,
        }
    }
}
