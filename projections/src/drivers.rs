//! What drives versions of projections that anybody may build: everything but the index by person.

use std::time::Duration;

use event_store::{EventLog, Hub, Log, LogName, Positioned, StoreError, TelemetryLog, Worker};
use futures::future::{BoxFuture, FutureExt as _};
use redis::aio::{ConnectionManager, ConnectionManagerConfig};
use sqlx::PgPool;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::integration_list::IntegrationList;
use crate::notification_list::NotificationList;
use crate::projection::Projection;
use crate::proof_feed::ProofFeed;
use crate::runtime::{Limits, Progress, Runner, Sink, Stopped, Wake};
use crate::sink::{ClickHouseSink, Ledger, PgProjector, PgSink, RedisSink};
use crate::site_list::SiteList;
use crate::subject_list::SubjectList;
use crate::telemetry_counters::TelemetryCounters;
use crate::telemetry_facts::TelemetryFacts;

/// Domain events are few and may be large.
pub(crate) const DOMAIN: Limits = Limits {
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

const REDIS_CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
const REDIS_ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// Where projections are written. Redis and ClickHouse may be down when a process starts, and whenever they like: their
/// projections lag until they are back.
pub struct DriversConfig {
    /// As [`event_store::Role::Projector`]. Ten connections keep the projectors out of each other's way.
    pub projector: PgPool,
    pub redis_url: String,
    /// Begins every key, so that several installations can share a Redis.
    pub redis_prefix: String,
    pub clickhouse: clickhouse::Client,
    pub clickhouse_database: String,
}

/// Why the projections could not be reached.
#[derive(Debug, thiserror::Error)]
pub enum DriversError {
    #[error("could not open the logs")]
    OpenLog(#[from] StoreError),
    #[error("could not use the Redis URL")]
    RedisUrl(#[source] redis::RedisError),
}

/// A version of a projection that this build can drive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Version {
    pub(crate) projection: Projection,
    pub(crate) version: i32,
}

/// The logs, and the engines that they are projected into. Cheap to clone.
#[derive(Clone)]
pub struct Drivers {
    pub(crate) projector: PgPool,
    pub(crate) events: EventLog,
    pub(crate) telemetry: TelemetryLog,
    /// This process's one reader of each log, which everything follows that keeps up with it.
    pub(crate) event_hub: Hub<EventLog>,
    pub(crate) telemetry_hub: Hub<TelemetryLog>,
    pub(crate) redis: ConnectionManager,
    pub(crate) redis_prefix: String,
    pub(crate) clickhouse: clickhouse::Client,
    pub(crate) wake: Wake,
    pub(crate) progress: Progress,
}

impl Drivers {
    /// Postgres has to be up, since the logs' identity is read; the other engines need not be.
    pub async fn open(config: DriversConfig) -> Result<Self, DriversError> {
        let events = EventLog::open(config.projector.clone()).await?;
        let telemetry = TelemetryLog::open(config.projector.clone()).await?;
        let (wake, hints) = (Wake::default(), Some(config.projector.clone()));
        Ok(Self {
            event_hub: Hub::start(events.clone(), wake.listen(LogName::Events), hints.clone()),
            telemetry_hub: Hub::start(telemetry.clone(), wake.listen(LogName::Telemetry), hints),
            events,
            telemetry,
            projector: config.projector,
            redis: connect_redis(&config.redis_url).map_err(DriversError::RedisUrl)?,
            redis_prefix: config.redis_prefix,
            clickhouse: config.clickhouse.with_database(config.clickhouse_database),
            wake,
            progress: Progress::default(),
        })
    }

    pub(crate) fn incarnation(&self, projection: Projection) -> Uuid {
        match projection.log() {
            LogName::Events => self.events.incarnation(),
            LogName::Telemetry => self.telemetry.incarnation(),
        }
    }

    pub(crate) fn ledger(&self, version: Version, worker: &Worker) -> Ledger {
        let Version {
            projection,
            version,
        } = version;
        Ledger::new(
            self.projector.clone(),
            worker.clone(),
            projection,
            version,
            self.incarnation(projection),
        )
    }

    /// `None` for the index by person, which is kept elsewhere.
    pub(crate) fn runner_of(
        &self,
        version: Version,
        worker: &Worker,
    ) -> Option<Box<dyn AnyRunner>> {
        let ledger = self.ledger(version, worker);
        let incarnation = self.incarnation(version.projection);
        Some(match version.projection {
            Projection::SiteList => self.read_model(SiteList, ledger),
            Projection::NotificationList => self.read_model(NotificationList, ledger),
            Projection::IntegrationList => self.read_model(IntegrationList, ledger),
            Projection::ProofFeed => self.read_model(ProofFeed, ledger),
            Projection::SubjectList => self.read_model(SubjectList, ledger),
            Projection::TelemetryCounters => {
                let (redis, prefix) = (self.redis.clone(), self.redis_prefix.clone());
                let sink = RedisSink::new(TelemetryCounters, redis, prefix, ledger, incarnation);
                Box::new(self.runner(&self.telemetry_hub, sink, COUNTERS))
            }
            Projection::TelemetryFacts => {
                let clickhouse = self.clickhouse.clone();
                let sink = ClickHouseSink::new(TelemetryFacts, clickhouse, ledger, incarnation);
                Box::new(self.runner(&self.telemetry_hub, sink, FACTS))
            }
            Projection::SubjectEvents => return None,
        })
    }

    fn read_model<P: PgProjector>(&self, projector: P, ledger: Ledger) -> Box<dyn AnyRunner> {
        let sink = PgSink::new(projector, ledger);
        Box::new(self.runner(&self.event_hub, sink, DOMAIN))
    }

    pub(crate) fn runner<L: Log, S: Sink<L::Record>>(
        &self,
        log: &L,
        sink: S,
        limits: Limits,
    ) -> Runner<L, S> {
        Runner::new(log.clone(), sink, limits, &self.wake, self.progress.clone())
    }
}

/// A runner of whatever log and sink.
pub(crate) trait AnyRunner: Send {
    fn run(self: Box<Self>, shutdown: CancellationToken)
    -> BoxFuture<'static, Result<(), Stopped>>;

    fn catch_up(self: Box<Self>, position: Option<i64>)
    -> BoxFuture<'static, Result<i64, Stopped>>;
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

    fn catch_up(
        self: Box<Self>,
        position: Option<i64>,
    ) -> BoxFuture<'static, Result<i64, Stopped>> {
        match position {
            None => Runner::catch_up(*self).boxed(),
            Some(position) => Runner::catch_up_to(*self, position).boxed(),
        }
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
