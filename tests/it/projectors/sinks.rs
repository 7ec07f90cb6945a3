//! Sinks without the loop that drives them, so that a test decides what comes between their steps.

use std::sync::Arc;

use event_store::{EventLog, Leases, Log, Positioned, Role, Share, TelemetryLog, Worker};
use projections::runtime::{Batch, SinkError};
use projections::sink::{ClickHouseSink, Ledger, PgSink, RedisSink};
use projections::site_list::SiteList;
use projections::telemetry_counters::TelemetryCounters;
use projections::telemetry_facts::TelemetryFacts;
use projections::{Projection, Sink};
use proofline::config::Connections;
use tests::proxy::{Proxy, split_address};
use tokio::task::JoinHandle;

use super::world::{LEASE, World, variable};

/// Which of the engines a worker reaches by way of a proxy.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Engine {
    Postgres,
    Redis,
    ClickHouse,
}

/// A worker that nobody sees alive unless it beats: what it holds is free for others.
pub(crate) struct Workplace<'a> {
    world: &'a World,
    worker: Worker,
    database_url: String,
    redis_url: String,
    clickhouse_url: String,
}

impl World {
    pub(crate) fn workplace(&self, worker: &str) -> Workplace<'_> {
        Workplace {
            world: self,
            worker: Worker::new(worker, Share::Fair, LEASE),
            database_url: self.database_url.clone(),
            redis_url: variable("REDIS_URL"),
            clickhouse_url: variable("CLICKHOUSE_URL"),
        }
    }
}

impl Workplace<'_> {
    /// Puts a proxy in front of the engine.
    pub(crate) async fn behind_proxy(mut self, engine: Engine) -> (Self, Proxy) {
        let url = match engine {
            Engine::Postgres => &mut self.database_url,
            Engine::Redis => &mut self.redis_url,
            Engine::ClickHouse => &mut self.clickhouse_url,
        };
        let (through, server) = split_address(url);
        let proxy = Proxy::start(server).await.unwrap();
        *url = through(proxy.address);
        (self, proxy)
    }

    /// Says that the worker is alive, for as long as a lease.
    pub(crate) async fn beat(&self) {
        let pool = self.world.pool(Role::Projector);
        self.worker.beat(&pool).await.unwrap();
    }

    pub(crate) async fn postgres(&self) -> PgSink<SiteList> {
        let incarnation = self.world.events().await.incarnation();
        PgSink::new(SiteList, self.ledger(Projection::SiteList, incarnation))
    }

    pub(crate) async fn redis(&self) -> RedisSink<TelemetryCounters> {
        let incarnation = self.world.telemetry_log().await.incarnation();
        let ledger = self.ledger(Projection::TelemetryCounters, incarnation);
        let client = redis::Client::open(&*self.redis_url).unwrap();
        let connection = client.get_connection_manager().await.unwrap();
        let prefix = self.world.name.clone();
        RedisSink::new(TelemetryCounters, connection, prefix, ledger, incarnation)
    }

    pub(crate) async fn clickhouse(&self) -> ClickHouseSink<TelemetryFacts> {
        let incarnation = self.world.telemetry_log().await.incarnation();
        let ledger = self.ledger(Projection::TelemetryFacts, incarnation);
        let reached = Connections {
            clickhouse_url: self.clickhouse_url.clone(),
            ..self.world.connections()
        };
        let client = reached
            .clickhouse()
            .unwrap()
            .with_database(&self.world.name);
        ClickHouseSink::new(TelemetryFacts, client, ledger, incarnation)
    }

    fn ledger(&self, projection: Projection, incarnation: uuid::Uuid) -> Ledger {
        let pool = event_store::connect(&self.database_url, Role::Projector, 4).unwrap();
        Ledger::new(pool, self.worker.clone(), projection, 1, incarnation)
    }
}

impl World {
    pub(crate) async fn events(&self) -> EventLog {
        EventLog::open(self.pool(Role::Projector)).await.unwrap()
    }

    pub(crate) async fn telemetry_log(&self) -> TelemetryLog {
        TelemetryLog::open(self.pool(Role::Projector))
            .await
            .unwrap()
    }
}

/// All that comes after where the leases stand.
pub(crate) async fn batch<L: Log>(log: &L, from: &Leases) -> Batch<Arc<L::Record>> {
    let after = from.lowest().unwrap();
    let records = log.read(after, 10_000).await.unwrap();
    Batch::new(from.clone(), records.into_iter().map(Arc::new).collect()).unwrap()
}

/// Writes the batch meanwhile, and gives the sink back with what became of it.
pub(crate) fn applying<R: Positioned, S: Sink<R>>(
    mut sink: S,
    batch: Batch<R>,
) -> JoinHandle<(S, Result<(), SinkError>)> {
    tokio::spawn(async move {
        let outcome = sink.apply(batch).await;
        (sink, outcome)
    })
}
