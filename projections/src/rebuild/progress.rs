//! How far a rebuild is, for whoever watches: the tool itself, and by `es.projection_versions` everybody else.

use std::time::Duration;

use sqlx::PgPool;
use tokio::sync::watch;
use tokio_util::task::AbortOnDropHandle;

use super::Rebuild;
use crate::projection::Projection;

const TELL_EVERY: Duration = Duration::from_secs(1);

/// What a rebuild is doing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Stage {
    #[default]
    Preparing,
    /// Reading the log, for the given time where memory does not hold the whole at once.
    Folding {
        pass: u32,
    },
    Loading,
    Indexing,
    CatchingUp,
    Comparing,
}

impl Stage {
    /// Stored; never rename.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Preparing => "preparing",
            Self::Folding { .. } => "folding",
            Self::Loading => "loading",
            Self::Indexing => "indexing",
            Self::CatchingUp => "catching_up",
            Self::Comparing => "comparing",
        }
    }
}

/// How far it is with that.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progressed {
    pub stage: Stage,
    /// Positions of the log.
    pub done: i64,
    /// Where the stage ends; 0 where that is not counted.
    pub total: i64,
}

/// Tells those who watch. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Tracker(watch::Sender<Progressed>);

impl Default for Tracker {
    fn default() -> Self {
        Self(watch::Sender::new(Progressed::default()))
    }
}

impl Tracker {
    pub fn watch(&self) -> watch::Receiver<Progressed> {
        self.0.subscribe()
    }

    pub(super) fn begin(&self, stage: Stage) {
        self.set(Progressed {
            stage,
            ..Progressed::default()
        });
    }

    pub(super) fn begin_pass(&self, pass: u32, total: i64) {
        self.set(Progressed {
            stage: Stage::Folding { pass },
            done: 0,
            total,
        });
    }

    pub(super) fn reached(&self, position: i64) {
        self.0.send_modify(|progressed| progressed.done = position);
    }

    fn set(&self, progressed: Progressed) {
        self.0.send_replace(progressed);
    }
}

/// How far the tool is that builds a version, by what it wrote down.
#[derive(Clone, Debug, PartialEq)]
pub struct Building {
    /// A [`Stage`] as it is stored; `None` where the tool has not said anything.
    pub stage: Option<String>,
    /// Read in this pass over the log.
    pub events_done: i64,
    /// What there is to read; 0 where the stage reads nothing that is counted.
    pub events_total: i64,
    /// How long the tool has said nothing. It speaks every second.
    pub silent_seconds: f64,
}

impl Building {
    /// How much of the log has been read, from 0 to 1.
    pub fn ratio(&self) -> f64 {
        match self.stage.as_deref() {
            None => 0.0,
            Some(stage) if stage == Stage::Preparing.as_str() => 0.0,
            Some(_) if self.events_total > 0 => self.events_done as f64 / self.events_total as f64,
            Some(_) => 1.0,
        }
    }

    /// Every version that is being built, by name and number.
    pub(super) async fn all(pool: &PgPool) -> Result<Vec<(String, i32, Self)>, sqlx::Error> {
        let rows = sqlx::query!(
            r#"select name, version, stage, coalesce(events_done, 0) as "events_done!",
                      coalesce(events_total, 0) as "events_total!",
                      extract(epoch from clock_timestamp() - coalesce(told_at, created_at))::float8 as "silent_seconds!"
               from es.projection_versions where phase = 'building'"#
        )
        .fetch_all(pool)
        .await?;
        let building = rows.into_iter().map(|row| {
            let building = Self {
                stage: row.stage,
                events_done: row.events_done,
                events_total: row.events_total,
                silent_seconds: row.silent_seconds,
            };
            (row.name, row.version, building)
        });
        Ok(building.collect())
    }
}

impl Rebuild {
    /// Writes down how far the version is, for as long as the answer is held.
    pub(super) fn tell(&self, version: i32) -> AbortOnDropHandle<()> {
        let (pool, progress) = (self.drivers.projector.clone(), self.tracker.watch());
        AbortOnDropHandle::new(tokio::spawn(tell(pool, self.projection, version, progress)))
    }
}

async fn tell(
    pool: PgPool,
    projection: Projection,
    version: i32,
    progress: watch::Receiver<Progressed>,
) {
    loop {
        let progressed = *progress.borrow();
        if let Err(error) = write(&pool, projection, version, progressed).await {
            // Whoever reads it sees that nobody has said anything for a while.
            tracing::debug!(
                projector.name = projection.name(),
                projector.version = version,
                error = &error as &dyn std::error::Error,
                "could not write down how far a build is"
            );
        }
        tokio::time::sleep(TELL_EVERY).await;
    }
}

async fn write(
    pool: &PgPool,
    projection: Projection,
    version: i32,
    progressed: Progressed,
) -> Result<(), sqlx::Error> {
    let Progressed { stage, done, total } = progressed;
    sqlx::query!(
        "update es.projection_versions
         set stage = $3, events_done = $4, events_total = $5, told_at = clock_timestamp()
         where name = $1 and version = $2 and phase = 'building'",
        projection.name(),
        version,
        stage.as_str(),
        done,
        total
    )
    .execute(pool)
    .await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_build_has_read_nothing_before_it_reads_and_everything_after() {
        let at = |stage: Option<Stage>, events_done, events_total| Building {
            stage: stage.map(|stage| stage.as_str().to_owned()),
            events_done,
            events_total,
            silent_seconds: 0.0,
        };
        let folding = Some(Stage::Folding { pass: 2 });
        for (building, ratio) in [
            (at(None, 0, 0), 0.0),
            (at(Some(Stage::Preparing), 0, 0), 0.0),
            (at(folding, 0, 8), 0.0),
            (at(folding, 6, 8), 0.75),
            // The log is empty.
            (at(folding, 0, 0), 1.0),
            (at(Some(Stage::Indexing), 0, 0), 1.0),
            (at(Some(Stage::Comparing), 0, 0), 1.0),
        ] {
            assert!(
                (building.ratio() - ratio).abs() < f64::EPSILON,
                "{building:?}"
            );
        }
    }
}
