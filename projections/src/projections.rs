//! All projections of a process, composed.

use std::collections::HashMap;
use std::time::Duration;

use event_store::vault::{SubjectEvents, Vault};
use event_store::{Log as _, Share, Streams, Worker};
use futures::future::try_join_all;
use sqlx::PgPool;
use tokio::task::{JoinHandle, JoinSet};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use crate::accounts::Accounts;
use crate::drivers::{AnyRunner, DOMAIN, Drivers, DriversConfig, DriversError, Version};
use crate::event_stream::{EventStream, Tail, TailSink};
use crate::positions::Positions;
use crate::projection::Projection;
use crate::reads::Reads;
use crate::rebuild;
use crate::runtime::{Limits, Stopped, Wake};
use crate::served::Served;
use crate::sink::SubjectEventsSink;
use crate::telemetry_counters::CounterReads;

/// The tail has no sink to spare, and people wait for it.
const TAIL: Limits = Limits {
    interval_min: Duration::ZERO,
    ..DOMAIN
};

/// How long after its last sign of life a worker's shards go to others: longer than an insert into ClickHouse may take,
/// short enough that nobody waits long for the work of one that was killed.
pub const LEASE: Duration = Duration::from_secs(10);
/// How often to look for versions that came or went.
const VERSIONS_EVERY: Duration = Duration::from_secs(1);

/// Where everything is. Redis and ClickHouse may be down when a process starts, and whenever they like: their
/// projections lag until they are back.
pub struct Config {
    /// As [`event_store::Role::Projector`]. Ten connections keep the projectors out of each
    /// other's way, and two more listen for what other processes append.
    pub projector: PgPool,
    /// As [`event_store::Role::Reader`].
    pub reader: PgPool,
    /// As [`event_store::Role::Compliance`].
    pub compliance: PgPool,
    /// On the key database, as [`event_store::Role::Vault`].
    pub keys: PgPool,
    pub vault: Vault,
    pub redis_url: String,
    /// Begins every key, so that several installations can share a Redis.
    pub redis_prefix: String,
    pub clickhouse: clickhouse::Client,
    pub clickhouse_database: String,
    /// This process among the workers: like no other's, for people to read too.
    pub worker: String,
    /// How long after its last sign of life a worker's shards go to others; [`LEASE`] but in tests.
    pub lease: Duration,
}

/// Why the projections could not be composed.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error(transparent)]
    Drivers(#[from] DriversError),
    #[error("could not read the head of the domain log")]
    ReadHead(#[source] sqlx::Error),
    #[error("could not read which versions are served")]
    ReadServed(#[source] sqlx::Error),
    #[error(
        "{name} is served in version {version}, which needs revision {revision} of its code; this build has {known:?}"
    )]
    UnknownRevision {
        name: String,
        version: i32,
        revision: i32,
        known: &'static [i32],
    },
}

/// The projections of one process: their runners, and what they can be read by. Cheap to clone.
#[derive(Clone)]
pub struct Projections {
    drivers: Drivers,
    worker: Worker,
    subject_events: SubjectEvents,
    tail: Tail,
    reads: Reads,
}

impl Projections {
    /// Postgres has to be up, since the logs' identity is read; the other engines need not be.
    pub async fn open(config: Config) -> Result<Self, OpenError> {
        let drivers = Drivers::open(DriversConfig {
            projector: config.projector,
            redis_url: config.redis_url,
            redis_prefix: config.redis_prefix,
            clickhouse: config.clickhouse,
            clickhouse_database: config.clickhouse_database,
        })
        .await?;
        let (events, telemetry) = (drivers.events.clone(), drivers.telemetry.clone());
        let (head, _) = events.head().await.map_err(OpenError::ReadHead)?;
        check_served(&drivers.projector).await?;
        let tail = Tail::after(head);
        let streams = Streams::new(
            drivers.projector.clone(),
            config.vault.clone(),
            domain::upcasters(),
        );
        let served = Served::new(config.reader.clone());
        let reads = Reads {
            reader: config.reader,
            compliance: config.compliance,
            vault: config.vault,
            accounts: Accounts::new(streams),
            counters: CounterReads {
                connection: drivers.redis.clone(),
                prefix: drivers.redis_prefix.clone(),
                served: served.clone(),
                incarnation: telemetry.incarnation(),
            },
            served,
            clickhouse: drivers.clickhouse.clone(),
            positions: Positions::new(
                drivers.projector.clone(),
                events.clone(),
                telemetry,
                drivers.progress.clone(),
            ),
            events: EventStream::new(events, tail.clone()),
        };
        Ok(Self {
            drivers,
            worker: Worker::new(&config.worker, Share::Fair, config.lease),
            subject_events: SubjectEvents::new(config.keys),
            tail,
            reads,
        })
    }

    /// What builds versions and switches between them.
    pub fn drivers(&self) -> &Drivers {
        &self.drivers
    }

    /// What the read side works with.
    pub fn reads(&self) -> Reads {
        self.reads.clone()
    }

    /// To be rung by whoever appends in this process.
    pub fn wake(&self) -> Wake {
        self.drivers.wake.clone()
    }

    /// Works on this process's share of every live version, those that come later too, until shutdown. Answers with
    /// those that had to stop, and why.
    pub fn spawn_all(&self, shutdown: &CancellationToken) -> JoinHandle<Vec<Stopped>> {
        let (it, shutdown) = (self.clone(), shutdown.clone());
        tokio::spawn(async move { it.supervise(shutdown).await })
    }

    async fn supervise(self, shutdown: CancellationToken) -> Vec<Stopped> {
        let retired = CancellationToken::new();
        let beats = beat(
            self.worker.clone(),
            self.drivers.projector.clone(),
            retired.clone(),
        );
        let beating = AbortOnDropHandle::new(tokio::spawn(beats));
        let builds = rebuild::show_builds(self.drivers.projector.clone());
        let _shown = AbortOnDropHandle::new(tokio::spawn(builds));
        let mut running: HashMap<Version, CancellationToken> = HashMap::new();
        let mut tasks = JoinSet::new();
        let mut stopped = Vec::new();
        while !shutdown.is_cancelled() {
            match self.live_versions().await {
                Ok(live) => {
                    running.retain(|version, token| {
                        let stays = live.contains(version);
                        if !stays {
                            token.cancel();
                        }
                        stays
                    });
                    for version in live {
                        running.entry(version).or_insert_with(|| {
                            let token = shutdown.child_token();
                            let runner = self.runner_of(version, &self.worker);
                            let ran = runner.run(token.clone());
                            tasks.spawn(async move { (version, ran.await) });
                            token
                        });
                    }
                }
                Err(error) => {
                    tracing::warn!(error = %error, "could not read which versions there are")
                }
            }
            tokio::select! {
                () = tokio::time::sleep(VERSIONS_EVERY) => {}
                () = shutdown.cancelled() => {}
                Some(ended) = tasks.join_next_with_id(), if !tasks.is_empty() => match ended {
                    Ok((_, (_, result))) => stopped.extend(result.err()),
                    Err(panic) => {
                        // Which one is not told. All begin again from their checkpoints.
                        tracing::error!(error = %panic, "a projector panicked; all are started again");
                        running.drain().for_each(|(_, token)| token.cancel());
                    }
                },
            }
        }
        while let Some(ended) = tasks.join_next().await {
            stopped.extend(ended.ok().and_then(|(_, result)| result.err()));
        }
        retired.cancel();
        // A panic of the beats would have been told there; the leases run out by themselves.
        let _ = beating.await;
        stopped
    }

    /// Runs the tail behind [`Reads::events`] until shutdown: once in every process that serves streams, also where no
    /// projector runs.
    pub fn run_tail(
        &self,
        shutdown: CancellationToken,
    ) -> impl Future<Output = Result<(), Stopped>> + Send + use<> {
        let sink = TailSink::new(self.tail.clone());
        self.drivers
            .runner(&self.drivers.event_hub, sink, TAIL)
            .run(shutdown)
    }

    /// Drives every live version, by the loop that production runs, to the heads of the logs as they are now. Not to be
    /// used beside [`Projections::spawn_all`], with which it shares its leases.
    pub async fn catch_up_all(&self) -> Result<(), CatchUpError> {
        let versions = self
            .live_versions()
            .await
            .map_err(CatchUpError::ReadVersions)?;
        let runners = versions
            .into_iter()
            .map(|version| self.runner_of(version, &self.worker).catch_up(None));
        self.alive(&self.worker, try_join_all(runners)).await?;
        Ok(())
    }

    /// Keeps the worker's leases while the work goes on.
    async fn alive<T>(&self, worker: &Worker, work: impl Future<Output = T>) -> T {
        let retired = CancellationToken::new();
        let beating = beat(
            worker.clone(),
            self.drivers.projector.clone(),
            retired.clone(),
        );
        let working = async {
            let done = work.await;
            retired.cancel();
            done
        };
        tokio::join!(working, beating).0
    }

    async fn live_versions(&self) -> Result<Vec<Version>, sqlx::Error> {
        let rows = sqlx::query!(
            "select name, version, revision from es.projection_versions where phase = 'live'"
        )
        .fetch_all(&self.drivers.projector)
        .await?;
        let known = rows.into_iter().filter_map(|row| {
            let projection = Projection::parse(&row.name)?;
            let version = Version {
                projection,
                version: row.version,
            };
            projection
                .revisions()
                .contains(&row.revision)
                .then_some(version)
        });
        Ok(known.collect())
    }

    fn runner_of(&self, version: Version, worker: &Worker) -> Box<dyn AnyRunner> {
        self.drivers.runner_of(version, worker).unwrap_or_else(|| {
            let (ledger, index) = (self.drivers.ledger(version, worker), &self.subject_events);
            let incarnation = self.drivers.events.incarnation();
            let sink = SubjectEventsSink::new(index.clone(), ledger, incarnation);
            Box::new(self.drivers.runner(&self.drivers.event_hub, sink, DOMAIN))
        })
    }
}

/// Why the projections could not be driven to the head.
#[derive(Debug, thiserror::Error)]
pub enum CatchUpError {
    #[error("could not read which versions there are")]
    ReadVersions(#[source] sqlx::Error),
    #[error(transparent)]
    Stopped(#[from] Stopped),
}

/// Says that the worker is alive until it is retired.
pub(crate) async fn beat(worker: Worker, pool: PgPool, retired: CancellationToken) {
    while !retired.is_cancelled() {
        if let Err(error) = worker.beat(&pool).await {
            tracing::warn!(
                error = format!("{error:#}"),
                "a worker's sign of life was lost"
            );
        }
        tokio::select! {
            () = tokio::time::sleep(worker.beat_every()) => {}
            () = retired.cancelled() => {}
        }
    }
    if let Err(error) = worker.retire(&pool).await {
        tracing::debug!(
            error = format!("{error:#}"),
            "a worker is not signed off; its leases run out"
        );
    }
}

/// Refuses to work beside a served version that nobody here knows how to read.
async fn check_served(pool: &PgPool) -> Result<(), OpenError> {
    let served = sqlx::query!(
        "select v.name, v.version, v.revision from es.projection_versions v join es.active_view using (name, version)"
    )
    .fetch_all(pool)
    .await
    .map_err(OpenError::ReadServed)?;
    for row in served {
        let known = Projection::parse(&row.name).map_or(&[][..], Projection::revisions);
        // A projection of a later build is that build's matter.
        if !known.is_empty() && !known.contains(&row.revision) {
            return Err(OpenError::UnknownRevision {
                name: row.name,
                version: row.version,
                revision: row.revision,
                known,
            });
        }
    }
    Ok(())
}
