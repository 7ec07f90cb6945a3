//! All projections of a process, composed.

use std::time::Duration;

use event_store::vault::{SubjectEvents, Vault};
use event_store::{EventLog, Log, Positioned, StoreError, Streams, TelemetryLog};
use futures::future::{BoxFuture, FutureExt as _, try_join_all};
use redis::aio::{ConnectionManager, ConnectionManagerConfig};
use sqlx::PgPool;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::accounts::Accounts;
use crate::event_stream::{EventStream, Tail, TailSink};
use crate::integration_list::IntegrationList;
use crate::notification_list::NotificationList;
use crate::positions::Positions;
use crate::proof_feed::ProofFeed;
use crate::reads::Reads;
use crate::runtime::{Limits, Progress, Runner, Sink, Stopped, Wake};
use crate::sink::{ClickHouseSink, PgProjector, PgSink, RedisSink, SubjectEventsSink};
use crate::site_list::SiteList;
use crate::telemetry_counters::{CounterReads, TelemetryCounters};
use crate::telemetry_facts::TelemetryFacts;

/// Domain events are few and may be large.
const DOMAIN: Limits = Limits {
    events_max: 2_000,
    bytes_max: 4 << 20,
    interval_min: Duration::from_millis(10),
};
const COUNTERS: Limits = Limits {
    events_max: 20_000,
    bytes_max: 8 << 20,
    interval_min: Duration::from_millis(25),
};
/// Few large blocks suit ClickHouse: each becomes a part that is synced and merged later.
const FACTS: Limits = Limits {
    events_max: 50_000,
    bytes_max: 16 << 20,
    interval_min: Duration::from_millis(250),
};

/// The tail has no sink to spare, and people wait for it.
const TAIL: Limits = Limits {
    interval_min: Duration::ZERO,
    ..DOMAIN
};

const REDIS_CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
const REDIS_ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// Where everything is. Redis and ClickHouse may be down when a process starts, and whenever they like: their
/// projections lag until they are back.
pub struct Config {
    /// As [`event_store::Role::Projector`]. Ten connections keep the projectors out of each other's way.
    pub projector: PgPool,
    /// As [`event_store::Role::Reader`].
    pub reader: PgPool,
    /// On the key database, as [`event_store::Role::Vault`].
    pub keys: PgPool,
    pub vault: Vault,
    pub redis_url: String,
    /// Begins every key, so that several installations can share a Redis.
    pub redis_prefix: String,
    pub clickhouse: clickhouse::Client,
    pub clickhouse_database: String,
}

/// Why the projections could not be composed.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("could not open the logs")]
    OpenLog(#[from] StoreError),
    #[error("could not read the head of the domain log")]
    ReadHead(#[source] sqlx::Error),
    #[error("could not use the Redis URL")]
    RedisUrl(#[source] redis::RedisError),
}

/// The projections of one process: their runners, and what they can be read by. Cheap to clone.
#[derive(Clone)]
pub struct Projections {
    projector: PgPool,
    subject_events: SubjectEvents,
    events: EventLog,
    telemetry: TelemetryLog,
    redis: ConnectionManager,
    redis_prefix: String,
    clickhouse: clickhouse::Client,
    wake: Wake,
    progress: Progress,
    tail: Tail,
    reads: Reads,
}

impl Projections {
    /// Postgres has to be up, since the logs' identity is read; the other engines need not be.
    pub async fn open(config: Config) -> Result<Self, OpenError> {
        let events = EventLog::open(config.projector.clone()).await?;
        let telemetry = TelemetryLog::open(config.projector.clone()).await?;
        let (head, _) = events.head().await.map_err(OpenError::ReadHead)?;
        let redis = connect_redis(&config.redis_url).map_err(OpenError::RedisUrl)?;
        let clickhouse = config.clickhouse.with_database(config.clickhouse_database);
        let (progress, tail) = (Progress::default(), Tail::after(head));
        let streams = Streams::new(
            config.projector.clone(),
            config.vault.clone(),
            domain::upcasters(),
        );
        let reads = Reads {
            reader: config.reader,
            vault: config.vault,
            accounts: Accounts::new(streams),
            counters: CounterReads {
                connection: redis.clone(),
                prefix: config.redis_prefix.clone(),
                incarnation: telemetry.incarnation(),
            },
            clickhouse: clickhouse.clone(),
            positions: Positions::new(
                config.projector.clone(),
                events.clone(),
                telemetry.clone(),
                progress.clone(),
            ),
            events: EventStream::new(events.clone(), tail.clone()),
        };
        Ok(Self {
            projector: config.projector,
            subject_events: SubjectEvents::new(config.keys),
            events,
            telemetry,
            redis,
            redis_prefix: config.redis_prefix,
            clickhouse,
            wake: Wake::default(),
            progress,
            tail,
            reads,
        })
    }

    /// What the read side works with.
    pub fn reads(&self) -> Reads {
        self.reads.clone()
    }

    /// To be rung by whoever appends in this process.
    pub fn wake(&self) -> Wake {
        self.wake.clone()
    }

    /// Runs every projector until shutdown. A task ends early only by a panic; one whose projector had to stop tells the
    /// reason at the end.
    pub fn spawn_all(&self, shutdown: &CancellationToken) -> JoinSet<Result<(), Stopped>> {
        let mut tasks = JoinSet::new();
        for runner in self.runners() {
            tasks.spawn(runner.run(shutdown.clone()));
        }
        tasks
    }

    /// Runs the tail behind [`Reads::events`] until shutdown: once in every process that serves streams, also where no
    /// projector runs.
    pub fn run_tail(
        &self,
        shutdown: CancellationToken,
    ) -> impl Future<Output = Result<(), Stopped>> + Send + use<> {
        let sink = TailSink::new(self.tail.clone());
        self.runner(&self.events, sink, TAIL).run(shutdown)
    }

    /// Drives every projector, by the loop that production runs, to the heads of the logs as they are now. Not to be
    /// used beside [`Projections::spawn_all`], whose runners it would fence.
    pub async fn catch_up_all(&self) -> Result<(), Stopped> {
        let runners = self.runners();
        try_join_all(runners.into_iter().map(|runner| runner.catch_up())).await?;
        Ok(())
    }

    fn runners(&self) -> Vec<Box<dyn AnyRunner>> {
        let incarnation = self.telemetry.incarnation();
        let subject_events = SubjectEventsSink::new(
            self.subject_events.clone(),
            self.projector.clone(),
            self.events.incarnation(),
        );
        let counters = RedisSink::new(
            TelemetryCounters,
            self.redis.clone(),
            self.redis_prefix.clone(),
            self.projector.clone(),
            incarnation,
        );
        let facts = ClickHouseSink::new(
            TelemetryFacts,
            self.clickhouse.clone(),
            self.projector.clone(),
            incarnation,
        );
        vec![
            self.read_model(SiteList),
            self.read_model(NotificationList),
            self.read_model(IntegrationList),
            self.read_model(ProofFeed),
            Box::new(self.runner(&self.events, subject_events, DOMAIN)),
            Box::new(self.runner(&self.telemetry, counters, COUNTERS)),
            Box::new(self.runner(&self.telemetry, facts, FACTS)),
        ]
    }

    fn read_model<P: PgProjector>(&self, projector: P) -> Box<dyn AnyRunner> {
        let sink = PgSink::new(projector, self.projector.clone(), self.events.incarnation());
        Box::new(self.runner(&self.events, sink, DOMAIN))
    }

    fn runner<L: Log, S: Sink<L::Record>>(&self, log: &L, sink: S, limits: Limits) -> Runner<L, S> {
        Runner::new(log.clone(), sink, limits, &self.wake, self.progress.clone())
    }
}

/// A runner of whatever log and sink.
trait AnyRunner: Send {
    fn run(self: Box<Self>, shutdown: CancellationToken)
    -> BoxFuture<'static, Result<(), Stopped>>;

    fn catch_up(self: Box<Self>) -> BoxFuture<'static, Result<i64, Stopped>>;
}

impl<L, S> AnyRunner for Runner<L, S>
where
    L: Log<Record: Positioned>,
    S: Sink<L::Record>,
{
    fn run(
        self: Box<Self>,
        shutdown: CancellationToken,
    ) -> BoxFuture<'static, Result<(), Stopped>> {
        Runner::run(*self, shutdown).boxed()
    }

    fn catch_up(self: Box<Self>) -> BoxFuture<'static, Result<i64, Stopped>> {
        Runner::catch_up(*self).boxed()
    }
}

/// Connects at the first command, and again by itself after a loss. How long to go on trying is the runner's matter.
fn connect_redis(url: &str) -> Result<ConnectionManager, redis::RedisError> {
    let config = ConnectionManagerConfig::new()
        .set_connection_timeout(Some(REDIS_CONNECT_TIMEOUT))
        .set_response_timeout(Some(REDIS_ANSWER_TIMEOUT))
        .set_number_of_retries(1);
    ConnectionManager::new_lazy_with_config(redis::Client::open(url)?, config)
}
