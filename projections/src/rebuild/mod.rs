//! Versions of a projection, built beside the one that is served: folded in memory, loaded in bulk, caught up, compared
//! at equal position, and switched to in one transaction.
//!
//! A version is a whole of its own: a schema in Postgres, keys in Redis, tables in ClickHouse. While it is being built it
//! belongs to the tool that builds it; a build that ended half way is removed by the next. To stand at the same position
//! as a version that is live, the tool takes its leases for a moment, under which nobody else can move it.

mod books;
mod clickhouse;
mod error;
mod facts_copy;
mod fold;
mod meters;
mod postgres;
mod progress;
mod redis;
mod trial;

use std::time::Duration;

use event_store::{Log as _, Share, Worker};
use sqlx::{PgPool, Postgres, Transaction};
use tokio_util::sync::{CancellationToken, DropGuard};
use uuid::Uuid;

pub use self::error::RebuildError;
pub use self::facts_copy::FactsCopy;
pub(crate) use self::meters::show_builds;
use self::postgres::{RowSum, Sees, begin_long};
pub use self::progress::{Building, Progressed, Stage, Tracker};
use self::redis::{CounterSum, Keys};
pub use self::trial::{Broken, Verdict, Why, try_out};
use crate::drivers::{Drivers, Version};
use crate::integration_list::IntegrationList;
use crate::notification_list::NotificationList;
use crate::projection::Projection;
use crate::projections::{LEASE, beat};
use crate::proof_feed::ProofFeed;
use crate::sink::{ClickHouseSink, Ledger, PgProjector};
use crate::site_list::SiteList;
use crate::subject_list::SubjectList;
use crate::telemetry_counters::TelemetryCounters;
use crate::telemetry_facts::TelemetryFacts;

/// How much memory a fold may take, unless told otherwise. Records on their way and what is loaded of them come on top:
/// some 64 MiB for Postgres and Redis. ClickHouse is not folded; three blocks of it take some 150 MiB.
pub const MEMORY_BYTES_MAX: usize = 256 << 20;

/// After this, nobody reads a version any more that is not served: a read may know the served version for a second, and
/// take ten. Only what looks through all versions for a person does; removing one waits for that, or fails.
pub const READS_END_WITHIN: Duration = Duration::from_secs(12);

/// The right to build versions of a projection and to switch between them, which one process has at a time. [`Rebuild::end`]
/// gives it back; so does dropping it, soon after.
pub struct Rebuild {
    drivers: Drivers,
    projection: Projection,
    worker: Worker,
    served: i32,
    tracker: Tracker,
    /// Holds the right for as long as it is open.
    right: Transaction<'static, Postgres>,
    beating: DropGuard,
}

/// Where two versions first differ. No value is told: it may be personal data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// By its key.
    pub row: String,
    /// `None` where only one of the two has the row.
    pub column: Option<String>,
}

/// What becomes of the keys that wait in the version that is served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Waiting {
    /// They wait in the new one too, so that the two can equal each other.
    TakenOver,
    /// The new one tries every event. One that still can't be written ends the build.
    TriedAgain,
}

/// What came of a comparison.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Compared {
    /// That both stood at.
    pub position: i64,
    pub difference: Option<Difference>,
}

impl Drivers {
    /// Takes the right to work on the versions of a projection.
    pub async fn rebuild(
        &self,
        projection: Projection,
        tracker: Tracker,
    ) -> Result<Rebuild, RebuildError> {
        if projection == Projection::SubjectEvents {
            return Err(RebuildError::Unversioned(projection));
        }
        let mut right = begin_long(&self.projector, Sees::Committed)
            .await
            .map_err(RebuildError::Books)?;
        let is_mine = sqlx::query_scalar!(
            r#"select pg_try_advisory_xact_lock(20261122, hashtext($1)) as "is_mine!""#,
            projection.name()
        )
        .fetch_one(&mut *right)
        .await
        .map_err(RebuildError::Books)?;
        if !is_mine {
            return Err(RebuildError::UnderWay(projection));
        }
        let served = self
            .served_version(projection)
            .await?
            .ok_or(RebuildError::NotServed(projection))?;
        let worker = Worker::new(&format!("replay {}", Uuid::now_v7()), Share::All, LEASE);
        worker.beat(&self.projector).await?;
        let retired = CancellationToken::new();
        let beating = beat(worker.clone(), self.projector.clone(), retired.clone());
        tokio::spawn(beating);
        Ok(Rebuild {
            drivers: self.clone(),
            projection,
            worker,
            served,
            tracker,
            right,
            beating: retired.drop_guard(),
        })
    }
}

impl Rebuild {
    /// The version that was served when the right was taken.
    pub fn served(&self) -> i32 {
        self.served
    }

    /// Gives the right back, and every lease, before this answers.
    pub async fn end(self) -> Result<(), RebuildError> {
        let Self {
            drivers,
            worker,
            right,
            beating,
            ..
        } = self;
        drop(beating);
        worker.retire(&drivers.projector).await?;
        right.rollback().await.map_err(RebuildError::Books)
    }

    /// Builds a version from the log and follows it to its head. Removes what earlier builds left half done.
    pub async fn build(
        &self,
        waiting: Waiting,
        memory_bytes_max: usize,
    ) -> Result<i32, RebuildError> {
        self.tracker.begin(Stage::Preparing);
        let version = self.announce(waiting).await?;
        match self.fill(version, memory_bytes_max).await {
            Ok(()) => Ok(version),
            Err(error) => {
                if let Err(error) = self.remove(version).await {
                    tracing::warn!(
                        projector.name = self.projection.name(),
                        projector.version = version,
                        error = &error as &dyn std::error::Error,
                        "a version that could not be built was not removed; the next build will"
                    );
                }
                Err(error)
            }
        }
    }

    async fn fill(&self, version: i32, memory_bytes_max: usize) -> Result<(), RebuildError> {
        let _told = self.tell(version);
        self.create(version).await?;
        match self.projection {
            Projection::SiteList => self.rows::<SiteList>(version, memory_bytes_max).await,
            Projection::NotificationList => {
                self.rows::<NotificationList>(version, memory_bytes_max)
                    .await
            }
            Projection::IntegrationList => {
                self.rows::<IntegrationList>(version, memory_bytes_max)
                    .await
            }
            Projection::ProofFeed => self.rows::<ProofFeed>(version, memory_bytes_max).await,
            Projection::SubjectList => self.rows::<SubjectList>(version, memory_bytes_max).await,
            Projection::TelemetryCounters => self.counters(version, memory_bytes_max).await,
            Projection::TelemetryFacts => self.facts(version).await,
            Projection::SubjectEvents => Err(RebuildError::Unversioned(self.projection)),
        }?;
        self.tracker.begin(Stage::CatchingUp);
        self.drive(version, None).await?;
        Ok(())
    }

    /// Compares a version that this right has built with the one that is served, both at one position.
    pub async fn compare(&self, version: i32) -> Result<Compared, RebuildError> {
        let _told = self.tell(version);
        self.tracker.begin(Stage::Comparing);
        let position = self.bring_together(version).await?;
        let difference = match self.projection {
            Projection::TelemetryCounters => {
                let difference = self.keys(self.served).compare(&self.keys(version)).await;
                self.release(self.served).await?;
                difference?
            }
            Projection::TelemetryFacts => {
                let client = &self.drivers.clickhouse;
                let difference = clickhouse::compare(client, self.served, version).await;
                self.release(self.served).await?;
                difference?
            }
            Projection::SiteList
            | Projection::NotificationList
            | Projection::IntegrationList
            | Projection::ProofFeed
            | Projection::SubjectList
            | Projection::SubjectEvents => self.compare_rows(version).await?,
        };
        let difference = difference.map(|(row, column)| Difference { row, column });
        Ok(Compared {
            position,
            difference,
        })
    }

    /// In a snapshot of the moment when both stood together, so that the served one can go on meanwhile.
    async fn compare_rows(
        &self,
        version: i32,
    ) -> Result<Option<(String, Option<String>)>, RebuildError> {
        let mut tx = begin_long(self.pool(), Sees::Snapshot)
            .await
            .map_err(RebuildError::Compare)?;
        self.release(self.served).await?;
        let found = sqlx::query!(
            r#"select row_key as "row_key!", column_name from es.compare_read_models($1, $2, $3)"#,
            self.projection.name(),
            self.served,
            version
        )
        .fetch_optional(&mut *tx)
        .await
        .map_err(RebuildError::Compare)?;
        Ok(found.map(|row| (row.row_key, row.column_name)))
    }

    /// Serves a version that stands where the served one does, from one moment to the next. The one that was served
    /// stands by.
    pub async fn switch(&mut self, version: i32) -> Result<i64, RebuildError> {
        let _told = self.tell(version);
        let position = self.bring_together(version).await?;
        self.exchange(version, &[self.served, version], position)
            .await
    }

    /// The same where the served version can't follow the log any more: nothing can be compared then.
    pub async fn replace(&mut self, version: i32) -> Result<i64, RebuildError> {
        let _told = self.tell(version);
        self.ledger(version).seize().await?;
        let position = self.drive(version, None).await?;
        self.exchange(version, &[version], position).await
    }

    /// Lets a version that was built stand by: the platform's workers keep it up to date.
    pub async fn stand_by(&self, version: i32) -> Result<(), RebuildError> {
        self.set_phase(version, "live").await?;
        self.release(version).await
    }

    /// Removes a version that is not served, with everything it has. Whoever might still read it has to be waited for
    /// before: [`READS_END_WITHIN`].
    pub async fn remove(&self, version: i32) -> Result<(), RebuildError> {
        // From here on it belongs to this tool, also if the rest fails.
        self.set_phase(version, "building").await?;
        let _told = self.tell(version);
        self.ledger(version).seize().await?;
        match self.projection {
            Projection::TelemetryCounters => self.keys(version).wipe().await?,
            Projection::TelemetryFacts => {
                let client = &self.drivers.clickhouse;
                clickhouse::drop_tables(self.pool(), client, self.projection, version).await?;
            }
            Projection::SiteList
            | Projection::NotificationList
            | Projection::IntegrationList
            | Projection::ProofFeed
            | Projection::SubjectList
            | Projection::SubjectEvents => {
                sqlx::query!(
                    "select es.drop_read_model($1, $2)",
                    self.projection.name(),
                    version
                )
                .execute(self.pool())
                .await
                .map_err(RebuildError::Tables)?;
            }
        }
        self.forget(version).await
    }

    async fn create(&self, version: i32) -> Result<(), RebuildError> {
        match self.projection {
            Projection::TelemetryCounters => {
                let keys = self.keys(version);
                keys.wipe().await?;
                keys.begin(self.incarnation()).await
            }
            Projection::TelemetryFacts => {
                let client = &self.drivers.clickhouse;
                clickhouse::create(self.pool(), client, self.projection, version).await
            }
            Projection::SiteList
            | Projection::NotificationList
            | Projection::IntegrationList
            | Projection::ProofFeed
            | Projection::SubjectList
            | Projection::SubjectEvents => {
                sqlx::query!(
                    "select es.create_read_model($1, $2)",
                    self.projection.name(),
                    version
                )
                .execute(self.pool())
                .await
                .map_err(RebuildError::Tables)?;
                Ok(())
            }
        }
    }

    async fn rows<P: PgProjector>(
        &self,
        version: i32,
        memory_bytes_max: usize,
    ) -> Result<(), RebuildError> {
        let log = &self.drivers.events;
        let (head, _) = log.head().await.map_err(RebuildError::Head)?;
        fold::fold(
            log,
            head,
            self.withheld(version).await?,
            memory_bytes_max,
            RowSum::<P>::default,
            &self.tracker,
            async |sums| postgres::load(self.pool(), version, sums).await,
        )
        .await?;
        self.tracker.begin(Stage::Indexing);
        let mut tx = begin_long(self.pool(), Sees::Committed)
            .await
            .map_err(RebuildError::Tables)?;
        sqlx::query!(
            "select es.finish_read_model($1, $2)",
            self.projection.name(),
            version
        )
        .execute(&mut *tx)
        .await
        .map_err(RebuildError::Tables)?;
        self.ledger(version)
            .checkpoints
            .register_at(&mut tx, head)
            .await?;
        tx.commit().await.map_err(RebuildError::Tables)
    }

    async fn counters(&self, version: i32, memory_bytes_max: usize) -> Result<(), RebuildError> {
        let log = &self.drivers.telemetry;
        let (head, _) = log.head().await.map_err(RebuildError::Head)?;
        let keys = self.keys(version);
        fold::fold(
            log,
            head,
            self.withheld(version).await?,
            memory_bytes_max,
            || CounterSum::new(TelemetryCounters),
            &self.tracker,
            async |sums| {
                for sum in sums {
                    keys.load(sum).await?;
                }
                Ok(())
            },
        )
        .await?;
        keys.finish(self.incarnation(), head).await
    }

    async fn facts(&self, version: i32) -> Result<(), RebuildError> {
        let log = &self.drivers.telemetry;
        let (head, _) = log.head().await.map_err(RebuildError::Head)?;
        let mut sink = ClickHouseSink::new(
            TelemetryFacts,
            self.drivers.clickhouse.clone(),
            self.ledger(version),
            self.incarnation(),
        );
        let withheld = self.withheld(version).await?;
        match clickhouse::insert(log, &mut sink, head, withheld, &self.tracker).await {
            // The ordinary runner, which comes next, tries for as long as it takes.
            Err(RebuildError::Sink(error)) if error.is_transient() => {
                tracing::warn!(
                    projector.name = self.projection.name(),
                    projector.version = version,
                    error = &error as &dyn std::error::Error,
                    "an insert failed; the rest goes in smaller blocks"
                );
                Ok(())
            }
            inserted => inserted,
        }
    }

    /// Takes the leases of both and drives the served one to the head of the log, and the other to the same position.
    async fn bring_together(&self, version: i32) -> Result<i64, RebuildError> {
        for version in [self.served, version] {
            self.ledger(version).seize().await?;
        }
        let position = self.drive(self.served, None).await?;
        self.drive(version, Some(position)).await
    }

    /// Drives a version as the platform does, and keeps its leases.
    async fn drive(&self, version: i32, position: Option<i64>) -> Result<i64, RebuildError> {
        let runner = self
            .drivers
            .runner_of(self.version(version), &self.worker)
            .ok_or(RebuildError::Unversioned(self.projection))?;
        Ok(runner.catch_up(position).await?)
    }

    async fn release(&self, version: i32) -> Result<(), RebuildError> {
        Ok(self.ledger(version).release().await?)
    }

    fn version(&self, version: i32) -> Version {
        Version {
            projection: self.projection,
            version,
        }
    }

    fn ledger(&self, version: i32) -> Ledger {
        self.drivers.ledger(self.version(version), &self.worker)
    }

    fn keys(&self, version: i32) -> Keys {
        Keys {
            connection: self.drivers.redis.clone(),
            prefix: self.drivers.redis_prefix.clone(),
            projection: self.projection,
            version,
        }
    }

    fn incarnation(&self) -> Uuid {
        self.drivers.incarnation(self.projection)
    }

    fn pool(&self) -> &PgPool {
        &self.drivers.projector
    }
}
