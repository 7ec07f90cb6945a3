//! All engines of one data directory, from start to stop.

use std::net::{Ipv4Addr, TcpListener};
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use crate::clickhouse::launch::ClickHouse;
use crate::config::{Config, Engine, Port, Urls};
use crate::data_dir::DataDir;
use crate::error::EnginesError;
use crate::library;
use crate::managed::Managed;
use crate::postgres::Postgres;
use crate::progress::Progress;
use crate::redis_server::RedisServer;
use crate::supervisor::Supervisor;

/// Where a free port is wanted and somebody else takes it first, another one is tried this often.
const PORT_TRIES: u32 = 5;
const FREE_PORTS: Range<u16> = 18_000..32_000;
const PORT_LOOKS: u32 = 100;

/// Running engines. Stop them with [`Engines::stop`]; dropped without it, they are killed.
pub struct Engines {
    postgres: Option<Supervisor>,
    redis: Option<Supervisor>,
    clickhouse: Option<Supervisor>,
    urls: Urls,
    /// Held until everything has ended. `None` where no engine is run here.
    _data: Option<Arc<DataDir>>,
}

impl Engines {
    /// Starts what no URL is given for and returns when everything serves.
    ///
    /// Stops what a killed platform left running in the same data directory. Refuses a directory in use.
    pub async fn start(config: Config, progress: &dyn Progress) -> Result<Self, EnginesError> {
        let all_given = config.database_url.is_some()
            && config.redis_url.is_some()
            && config.clickhouse_url.is_some();
        if all_given {
            return Self::assemble(&config, None, None, None, None);
        }
        let data = Arc::new(DataDir::open(&config.data_dir)?);
        let (postgres, redis, clickhouse) = tokio::join!(
            start_postgres(&config, &data, progress),
            start_redis(&config, &data, progress),
            start_clickhouse(&config, &data, progress),
        );
        // Where one fails, the others were started already: they are stopped before the error is told.
        match (postgres, redis, clickhouse) {
            (Ok(postgres), Ok(redis), Ok(clickhouse)) => {
                Self::assemble(&config, postgres, redis, clickhouse, Some(data))
            }
            (postgres, redis, clickhouse) => {
                let mut first = None;
                for started in [clickhouse, redis, postgres] {
                    match started {
                        Ok(Some(supervisor)) => supervisor.stop().await,
                        Ok(None) => {}
                        Err(error) => first = Some(error),
                    }
                }
                Err(first.unwrap_or(EnginesError::NotManaged {
                    engine: Engine::Postgres,
                }))
            }
        }
    }

    fn assemble(
        config: &Config,
        postgres: Option<Supervisor>,
        redis: Option<Supervisor>,
        clickhouse: Option<Supervisor>,
        data: Option<Arc<DataDir>>,
    ) -> Result<Self, EnginesError> {
        let url = |given: &Option<String>, ours: &Option<Supervisor>, engine| {
            given
                .clone()
                .or_else(|| ours.as_ref().map(Supervisor::url))
                .ok_or(EnginesError::NotManaged { engine })
        };
        let urls = Urls {
            database_url: url(&config.database_url, &postgres, Engine::Postgres)?,
            redis_url: url(&config.redis_url, &redis, Engine::Redis)?,
            clickhouse_url: url(&config.clickhouse_url, &clickhouse, Engine::ClickHouse)?,
        };
        Ok(Self {
            postgres,
            redis,
            clickhouse,
            urls,
            _data: data,
        })
    }

    /// Where the engines answer; the same until they are stopped.
    pub fn urls(&self) -> &Urls {
        &self.urls
    }

    /// The process of an engine; `None` where it is not run here or being started again.
    pub fn pid(&self, engine: Engine) -> Option<u32> {
        self.supervisor(engine)?.state().pid
    }

    /// How often an engine died and was started again.
    pub fn restarts(&self, engine: Engine) -> u64 {
        self.supervisor(engine)
            .map_or(0, |supervisor| supervisor.state().restarts)
    }

    /// Waits until the engine answers a real question.
    pub async fn wait_ready(&self, engine: Engine, within: Duration) -> Result<(), EnginesError> {
        self.managed(engine)?.wait_ready(None, within).await
    }

    /// Waits until another process than `killed` serves: what a test wants after it has killed one.
    pub async fn wait_replaced(
        &self,
        engine: Engine,
        killed: u32,
        within: Duration,
    ) -> Result<(), EnginesError> {
        self.managed(engine)?.wait_ready(Some(killed), within).await
    }

    /// Stops everything cleanly, within five seconds: all at once, since no engine needs another to stop. Whoever uses
    /// them stops first.
    pub async fn stop(self) {
        let all = [self.clickhouse, self.redis, self.postgres];
        futures::future::join_all(all.into_iter().flatten().map(Supervisor::stop)).await;
    }

    fn managed(&self, engine: Engine) -> Result<&Supervisor, EnginesError> {
        self.supervisor(engine)
            .ok_or(EnginesError::NotManaged { engine })
    }

    fn supervisor(&self, engine: Engine) -> Option<&Supervisor> {
        match engine {
            Engine::Postgres => self.postgres.as_ref(),
            Engine::Redis => self.redis.as_ref(),
            Engine::ClickHouse => self.clickhouse.as_ref(),
        }
    }
}

async fn start_postgres(
    config: &Config,
    data: &Arc<DataDir>,
    progress: &dyn Progress,
) -> Result<Option<Supervisor>, EnginesError> {
    if config.database_url.is_some() {
        return Ok(None);
    }
    let data = Arc::clone(data);
    let prepare = move |port| Ok(Arc::new(Postgres::prepare(&data, port)?) as Arc<dyn Managed>);
    let started = start_on(Engine::Postgres, config.ports.postgres, progress, prepare).await?;
    match Postgres::create_database(&started.url()).await {
        Ok(()) => Ok(Some(started)),
        Err(error) => {
            started.stop().await;
            Err(error)
        }
    }
}

async fn start_redis(
    config: &Config,
    data: &Arc<DataDir>,
    progress: &dyn Progress,
) -> Result<Option<Supervisor>, EnginesError> {
    if config.redis_url.is_some() {
        return Ok(None);
    }
    let data = Arc::clone(data);
    let prepare = move |port| Ok(Arc::new(RedisServer::prepare(&data, port)?) as Arc<dyn Managed>);
    start_on(Engine::Redis, config.ports.redis, progress, prepare)
        .await
        .map(Some)
}

async fn start_clickhouse(
    config: &Config,
    data: &Arc<DataDir>,
    progress: &dyn Progress,
) -> Result<Option<Supervisor>, EnginesError> {
    if config.clickhouse_url.is_some() {
        return Ok(None);
    }
    let library = library::find(config.library.as_deref())?;
    let (data, command) = (Arc::clone(data), config.clickhouse_command.clone());
    let prepare = move |port| {
        let clickhouse = ClickHouse::prepare(&data, command.clone(), library.clone(), port)?;
        Ok(Arc::new(clickhouse) as Arc<dyn Managed>)
    };
    start_on(
        Engine::ClickHouse,
        config.ports.clickhouse,
        progress,
        prepare,
    )
    .await
    .map(Some)
}

/// Starts one engine on its port. A free port may be gone again before the engine has it, so then the next is tried.
async fn start_on(
    engine: Engine,
    port: Port,
    progress: &dyn Progress,
    prepare: impl Fn(u16) -> Result<Arc<dyn Managed>, EnginesError> + Send + Sync + 'static,
) -> Result<Supervisor, EnginesError> {
    let prepare = Arc::new(prepare);
    let step = format!("Starting {engine}");
    progress.started(&step);
    let mut tries = 0;
    let outcome = loop {
        tries += 1;
        let number = match port {
            Port::Fixed(number) => number,
            Port::Free => match free_port() {
                Ok(number) => number,
                Err(error) => break Err(error),
            },
        };
        // Making a Postgres cluster takes a second or two, in which the other engines start.
        let prepare = Arc::clone(&prepare);
        let prepared = tokio::task::spawn_blocking(move || prepare(number)).await;
        let started = match prepared.map_err(|source| EnginesError::Prepare { engine, source }) {
            Ok(Ok(managed)) => Supervisor::start(managed).await,
            Ok(Err(error)) | Err(error) => Err(error),
        };
        match started {
            Err(EnginesError::EndedEarly { tail, .. })
                if port == Port::Free
                    && tries < PORT_TRIES
                    && tail.contains("ddress already in use") => {}
            outcome => break outcome,
        }
    };
    progress.finished(&step);
    outcome
}

/// A free port below those that the kernel gives to outgoing connections: one of them could otherwise hold the port
/// just when a died engine wants it back.
fn free_port() -> Result<u16, EnginesError> {
    let mut last = None;
    for _ in 0..PORT_LOOKS {
        let number = rand::random_range(FREE_PORTS);
        match TcpListener::bind((Ipv4Addr::LOCALHOST, number)) {
            Ok(_) => return Ok(number),
            Err(error) => last = Some(error),
        }
    }
    Err(EnginesError::Port(
        last.unwrap_or_else(|| std::io::ErrorKind::AddrInUse.into()),
    ))
}
