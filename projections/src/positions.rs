//! How far the projections are: for those who wait for their own writes, and for operators.

use std::time::Duration;

use chrono::{DateTime, Utc};
use event_store::{EventLog, Log as _, LogName, ProjectionStatus, TelemetryLog, Token};
use sqlx::PgPool;
use tokio::time::Instant;
use uuid::Uuid;

use crate::projection::Projection;
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
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProjectionProgress {
    pub name: String,
    pub version: i32,
    /// `None` for a projection that this build does not know.
    pub log: Option<LogName>,
    /// Of its slowest shard.
    pub checkpoint: i64,
    /// The last position of its log, 0 where that is not known.
    pub head: i64,
    /// Events behind the head.
    pub lag: i64,
    pub state: ProjectionState,
    /// What went wrong last, also while it is tried again.
    pub last_error: Option<String>,
    /// When it last moved or changed its status.
    pub updated_at: Option<DateTime<Utc>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProjectionState {
    /// No projector has ever run it.
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

    /// Whether nothing was ever appended to the domain log: the store is new.
    pub async fn is_empty(&self) -> Result<bool, PositionError> {
        Ok(self.head(LogName::Events).await? == 0)
    }

    /// Every version of every projection that was ever run, and those of this build that never were.
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
        let mut all: Vec<ProjectionProgress> = rows
            .into_iter()
            .map(|row| {
                let log = known(&row.name).map(Projection::log);
                ProjectionProgress {
                    head: head(log),
                    lag: (head(log) - row.checkpoint).max(0),
                    state: match ProjectionStatus::parse(&row.status) {
                        Some(ProjectionStatus::Running) => ProjectionState::Running,
                        // A status from a later build: whatever it is, it is not known to be well.
                        Some(ProjectionStatus::Stopped) | None => ProjectionState::Stopped,
                    },
                    name: row.name,
                    version: row.version,
                    log,
                    checkpoint: row.checkpoint,
                    last_error: row.last_error,
                    updated_at: Some(row.updated_at),
                }
            })
            .collect();
        for projection in Projection::ALL {
            let (name, version) = (projection.name(), projection.version());
            if !all
                .iter()
                .any(|row| row.name == name && row.version == version)
            {
                let head = head(Some(projection.log()));
                all.push(ProjectionProgress {
                    name: name.to_owned(),
                    version,
                    log: Some(projection.log()),
                    checkpoint: 0,
                    head,
                    lag: head,
                    state: ProjectionState::NotStarted,
                    last_error: None,
                    updated_at: None,
                });
            }
        }
        Ok(all)
    }

    /// The position up to which a projection is complete, 0 where it never ran.
    pub(crate) async fn of(&self, projection: Projection) -> Result<Token, PositionError> {
        let incarnation = self.incarnation(projection.log());
        let checkpoints = self.checkpoints(&[projection], incarnation).await?;
        Ok(Token {
            log: projection.log(),
            incarnation,
            position: checkpoints.first().map_or(0, |(checkpoint, _)| *checkpoint),
        })
    }

    /// Checkpoint, and whether it was stopped, of those of the projections that were ever run.
    async fn checkpoints(
        &self,
        projections: &[Projection],
        incarnation: Uuid,
    ) -> Result<Vec<(i64, bool)>, PositionError> {
        if projections.is_empty() {
            return Ok(Vec::new());
        }
        let names: Vec<&str> = projections.iter().map(|asked| asked.name()).collect();
        let versions: Vec<i32> = projections.iter().map(|asked| asked.version()).collect();
        let rows = sqlx::query_file!(
            "sql/select_checkpoints.sql",
            &names as _,
            &versions,
            incarnation
        )
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

fn known(name: &str) -> Option<Projection> {
    Projection::ALL
        .iter()
        .copied()
        .find(|projection| projection.name() == name)
}
