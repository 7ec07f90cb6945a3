//! How far the projections are: for those who wait for their own writes, and for operators.

use std::time::Duration;

use chrono::{DateTime, Utc};
use event_store::{EventLog, Log as _, LogName, ProjectionStatus, TelemetryLog, Token};
use sqlx::PgPool;
use tokio::time::Instant;
use uuid::Uuid;

use crate::projection::Projection;
use crate::rebuild::Building;
use crate::runtime::Progress;

const POLL_FIRST: Duration = Duration::from_millis(5);
const POLL_LONGEST: Duration = Duration::from_millis(20);

/// How a wait for a position ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Waited {
    Reached,
    /// The deadline passed, or a projection has stopped and will not get there by waiting.
    NotReached,
}

/// Why a wait for a position makes no sense, or could not go on.
#[derive(Debug, thiserror::Error)]
pub enum PositionError {
    #[error("position {position} is beyond the log's head {head}")]
    Beyond { position: i64, head: i64 },
    #[error("the position is of another incarnation of the log")]
    OtherIncarnation,
    #[error("could not read the head of the {log} log", log = .log.as_str())]
    ReadHead { log: LogName, source: sqlx::Error },
    #[error("could not read where the projections stand")]
    ReadCheckpoints(#[source] sqlx::Error),
}

/// How one version of one projection fares.
#[derive(Clone, Debug, PartialEq)]
pub struct ProjectionProgress {
    pub name: String,
    pub version: i32,
    /// Of the code that drives it.
    pub revision: i32,
    /// Whether this version is the one that is read.
    pub is_served: bool,
    /// How far it is, where it is still being built beside the served one.
    pub building: Option<Building>,
    /// `None` for a projection that this build does not know.
    pub log: Option<LogName>,
    /// Of its slowest shard.
    pub checkpoint: i64,
    /// The last position of its log, 0 where that is not known.
    pub head: i64,
    /// Events behind the head.
    pub lag: i64,
    /// Age of the oldest event that is not written.
    pub lag_seconds: f64,
    pub state: ProjectionState,
    /// What went wrong last, also while it is tried again.
    pub last_error: Option<String>,
    /// When it last moved or changed its status.
    pub updated_at: Option<DateTime<Utc>>,
    /// Who is at work on it, and how many shards each holds: `host/1234/a1b2c3d4 (64)`.
    pub workers: Vec<String>,
    /// Shards that nobody alive holds.
    pub shards_unheld: i64,
    /// Keys that wait behind an event which can't be projected.
    pub parked_keys: i64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProjectionState {
    /// Nobody has ever worked on it.
    NotStarted,
    Running,
    /// It needs an operator.
    Stopped,
}

/// Cheap to clone.
#[derive(Clone)]
pub struct Positions {
    pool: PgPool,
    events: EventLog,
    telemetry: TelemetryLog,
    progress: Progress,
}

impl Positions {
    /// `pool` connects as [`event_store::Role::Projector`].
    pub fn new(
        pool: PgPool,
        events: EventLog,
        telemetry: TelemetryLog,
        progress: Progress,
    ) -> Self {
        Self {
            pool,
            events,
            telemetry,
            progress,
        }
    }

    /// Waits, at most `timeout`, until the projections have reached the token. Those that follow the other log are not
    /// waited for.
    pub async fn wait_for(
        &self,
        projections: &[Projection],
        token: Token,
        timeout: Duration,
    ) -> Result<Waited, PositionError> {
        if token.incarnation != self.incarnation(token.log) {
            return Err(PositionError::OtherIncarnation);
        }
        let followers: Vec<Projection> = projections
            .iter()
            .copied()
            .filter(|projection| projection.log() == token.log)
            .collect();
        let deadline = Instant::now() + timeout;
        let mut moved = self.progress.listen();
        let mut poll = POLL_FIRST;
        let mut is_known_to_exist = false;
        loop {
            moved.mark_unchanged();
            let checkpoints = self.checkpoints(&followers, token.incarnation).await?;
            let has_reached = |(checkpoint, _): &(i64, bool)| *checkpoint >= token.position;
            if !followers.is_empty()
                && checkpoints.len() == followers.len()
                && checkpoints.iter().all(has_reached)
            {
                return Ok(Waited::Reached);
            }
            if !is_known_to_exist {
                self.check_exists(token).await?;
                is_known_to_exist = true;
            }
            if followers.is_empty() {
                return Ok(Waited::Reached);
            }
            let is_stuck = |stands: &(i64, bool)| stands.1 && !has_reached(stands);
            if checkpoints.iter().any(is_stuck) || Instant::now() >= deadline {
                return Ok(Waited::NotReached);
            }
            tokio::select! {
                () = tokio::time::sleep_until(deadline.min(Instant::now() + poll)) => {}
                // What moves in this process is seen at once; elsewhere, by polling.
                Ok(()) = moved.changed() => {}
            }
            poll = (poll * 2).min(POLL_LONGEST);
        }
    }

    /// The token of a position in a log as it is known to this process.
    pub fn token(&self, log: LogName, position: i64) -> Token {
        Token {
            log,
            incarnation: self.incarnation(log),
            position,
        }
    }

    /// The token of the last position in a log.
    pub(crate) async fn last(&self, log: LogName) -> Result<Token, PositionError> {
        Ok(self.token(log, self.head(log).await?))
    }

    /// Whether nothing was ever appended to the domain log: the store is new.
    pub async fn is_empty(&self) -> Result<bool, PositionError> {
        Ok(self.head(LogName::Events).await? == 0)
    }

    /// Every version of every projection that stands.
    pub async fn status(&self) -> Result<Vec<ProjectionProgress>, PositionError> {
        let (events, telemetry) = (
            self.head(LogName::Events).await?,
            self.head(LogName::Telemetry).await?,
        );
        let head = |log: Option<LogName>| match log {
            None => 0,
            Some(LogName::Events) => events,
            Some(LogName::Telemetry) => telemetry,
        };
        let rows = sqlx::query_file!("sql/select_status.sql")
            .fetch_all(&self.pool)
            .await
            .map_err(PositionError::ReadCheckpoints)?;
        let mut all = Vec::with_capacity(rows.len());
        for row in rows {
            let log = Projection::parse(&row.name).map(Projection::log);
            let checkpoint = row.checkpoint.unwrap_or(0);
            let lag = (head(log) - checkpoint).max(0);
            all.push(ProjectionProgress {
                head: head(log),
                lag,
                lag_seconds: self.age(log, checkpoint + 1, lag).await?,
                state: match row.status.as_deref().map(ProjectionStatus::parse) {
                    None => ProjectionState::NotStarted,
                    Some(Some(ProjectionStatus::Running)) => ProjectionState::Running,
                    // A status from a later build: whatever it is, it is not known to be well.
                    Some(Some(ProjectionStatus::Stopped) | None) => ProjectionState::Stopped,
                },
                name: row.name,
                version: row.version,
                revision: row.revision,
                is_served: row.is_served,
                building: (row.phase == "building").then_some(Building {
                    stage: row.stage,
                    events_done: row.events_done,
                    events_total: row.events_total,
                    silent_seconds: row.silent_seconds,
                }),
                log,
                checkpoint,
                last_error: row.last_error,
                updated_at: row.updated_at,
                workers: row.workers,
                shards_unheld: row.shards_unheld,
                parked_keys: row.parked_keys,
            });
        }
        Ok(all)
    }

    /// How old the oldest event is that is not written, in seconds; 0 where none is.
    async fn age(
        &self,
        log: Option<LogName>,
        position: i64,
        lag: i64,
    ) -> Result<f64, PositionError> {
        let Some(name) = log.filter(|_| lag > 0) else {
            return Ok(0.0);
        };
        let age = match name {
            LogName::Events => self.events.age_seconds(position).await,
            LogName::Telemetry => self.telemetry.age_seconds(position).await,
        };
        // None: the log no longer has it hot, so that it is older than anything that could be told.
        age.map(|age| age.unwrap_or(f64::INFINITY))
            .map_err(|source| PositionError::ReadHead { log: name, source })
    }

    /// The position up to which a version of a projection is complete, 0 where it never ran.
    pub(crate) async fn of(
        &self,
        projection: Projection,
        version: i32,
    ) -> Result<Token, PositionError> {
        let incarnation = self.incarnation(projection.log());
        let checkpoint = sqlx::query_scalar!(
            "select min(checkpoint) from es.projections where name = $1 and version = $2 and incarnation = $3",
            projection.name(),
            version,
            incarnation
        )
        .fetch_one(&self.pool)
        .await
        .map_err(PositionError::ReadCheckpoints)?;
        Ok(Token {
            log: projection.log(),
            incarnation,
            position: checkpoint.unwrap_or(0),
        })
    }

    /// Checkpoint of the served version, and whether it was stopped, of those of the projections that were ever run.
    async fn checkpoints(
        &self,
        projections: &[Projection],
        incarnation: Uuid,
    ) -> Result<Vec<(i64, bool)>, PositionError> {
        if projections.is_empty() {
            return Ok(Vec::new());
        }
        let names: Vec<&str> = projections.iter().map(|asked| asked.name()).collect();
        let rows = sqlx::query_file!("sql/select_checkpoints.sql", &names as _, incarnation)
            .fetch_all(&self.pool)
            .await
            .map_err(PositionError::ReadCheckpoints)?;
        Ok(rows
            .into_iter()
            .map(|row| (row.checkpoint, row.stopped))
            .collect())
    }

    async fn check_exists(&self, token: Token) -> Result<(), PositionError> {
        let head = self.head(token.log).await?;
        if token.position > head {
            return Err(PositionError::Beyond {
                position: token.position,
                head,
            });
        }
        Ok(())
    }

    async fn head(&self, log: LogName) -> Result<i64, PositionError> {
        let head = match log {
            LogName::Events => self.events.head().await,
            LogName::Telemetry => self.telemetry.head().await,
        };
        let (head, incarnation) = head.map_err(|source| PositionError::ReadHead { log, source })?;
        if incarnation == self.incarnation(log) {
            Ok(head)
        } else {
            Err(PositionError::OtherIncarnation)
        }
    }

    fn incarnation(&self, log: LogName) -> Uuid {
        match log {
            LogName::Events => self.events.incarnation(),
            LogName::Telemetry => self.telemetry.incarnation(),
        }
    }
}
