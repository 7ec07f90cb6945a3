//! Engines, the proxies in front of them, and everybody who takes part.

use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result};
use engines::{Config, Engine, Engines, Silent};
use key_providers::KeyProviderArgs;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use proofline::config::Connections;
use proofline::secrets::Secrets;
use proofline::{account, migrate, write_side};
use sqlx::{Connection as _, PgConnection};
use tests::proxy::{Proxy, split_address};
use tokio::time::sleep;

use crate::Drive;
use crate::participant::{Participant, Spec, until_ready};
use crate::schedule::{Fault, Stop, Who};
use crate::tally::Tally;

/// Below the ports that engines take, and those that the kernel gives to outgoing connections.
const PORTS: std::ops::Range<u16> = 10_000..18_000;
const STARTS_WITHIN: Duration = Duration::from_secs(60);
/// For loads to go on without projectors.
const LEAVES_BEHIND: Duration = Duration::from_secs(2);
const BACK_WITHIN: Duration = Duration::from_secs(60);

pub(crate) struct Stage {
    engines: Engines,
    /// Past the proxies: for the verifier, and for faults.
    pub(crate) connections: Connections,
    proxies: [(Engine, Proxy); 3],
    projectors: Vec<Participant>,
    writers: Vec<Participant>,
    readers: Vec<Participant>,
    loads: Vec<Participant>,
    pub(crate) journals: PathBuf,
    tally: Arc<Tally>,
    _watcher: Participant,
}

impl Stage {
    pub(crate) async fn set(drive: &Drive, directory: &Path, tally: Arc<Tally>) -> Result<Self> {
        // Postgres runs as another user and must be able to get there.
        std::fs::set_permissions(directory, std::fs::Permissions::from_mode(0o755))
            .context("open the directory")?;
        let journals = directory.join("journals");
        std::fs::create_dir(&journals).context("create the journals' folder")?;
        let mut config = Config::new(directory.join("data"))?;
        config.clickhouse_command = (beside("proofline")?, vec!["clickhouse-server".to_owned()]);
        let engines = Engines::start(config, &Silent).await?;
        let mut connections =
            Connections::to_engines(engines.urls(), directory, KeyProviderArgs::default())?;
        connections.keys_database_url = None;
        connections.keys_database_url = Some(connections.keys_url()?);
        migrate::migrate(&connections).await?;
        let secrets = Secrets::open(&connections).await?;
        let commands = write_side::open(&connections, &secrets).await?;
        let opened = account::open(&commands, &secrets.api_keys, "Torture").await?;
        let (proxies, proxied) = proxied(&connections).await?;
        let cast = Cast {
            drive,
            directory,
            variables: variables(&proxied, drive)?,
            tally: tally.clone(),
            cast: AtomicU64::new(0),
        };
        let projectors = (0..drive.projectors)
            .map(|number| {
                cast.part("projector", number)
                    .map(|(participant, _)| participant)
            })
            .collect::<Result<_>>()?;
        let (writers, writer_urls): (Vec<_>, Vec<_>) = (0..2)
            .map(|number| cast.part("write-api", number))
            .collect::<Result<Vec<_>>>()?
            .into_iter()
            .unzip();
        let (reader, reader_url) = cast.part("read-api", 0)?;
        for url in writer_urls.iter().chain([&reader_url]) {
            until_ready(&format!("{url}/healthz"), STARTS_WITHIN).await?;
        }
        let loads = ["lane", "lane", "http", "http", "collect"]
            .into_iter()
            .enumerate()
            .map(|(number, kind)| {
                let mut arguments = vec![
                    "load".to_owned(),
                    kind.to_owned(),
                    format!("--name={kind}-{number}"),
                    format!("--journals={}", journals.display()),
                    format!("--account={}", opened.account),
                    format!("--api-key={}", opened.key),
                    format!("--reader={reader_url}"),
                ];
                arguments.extend(writer_urls.iter().map(|url| format!("--writer={url}")));
                cast.load(&format!("{kind}-{number}"), arguments)
            })
            .collect::<Result<_>>()?;
        let watcher = cast.watcher(&connections, &journals)?;
        Ok(Self {
            engines,
            connections,
            proxies,
            projectors,
            writers,
            readers: vec![reader],
            loads,
            journals,
            tally,
            _watcher: watcher,
        })
    }

    /// Does it, and returns when it is over.
    pub(crate) async fn inflict(&self, fault: &Fault) -> Result<()> {
        self.tally.fault(&fault.kind());
        match fault {
            Fault::Kill(who, index) => self.participant(*who, *index).kill().await,
            Fault::Pause(who, index, lasts) => self.participant(*who, *index).pause(*lasts).await,
            Fault::TerminateBackends(count) => self.terminate_backends(*count).await,
            Fault::StopEngine(engine, stop) => self.stop_engine(*engine, *stop).await?,
            Fault::Cut(engine) => self.proxy(*engine).cut(),
            Fault::Stall(engine, lasts) => self.proxy(*engine).stall(*lasts).await,
            Fault::LoseReplies(engine, lasts) => self.proxy(*engine).swallow(*lasts).await,
        }
        Ok(())
    }

    /// Loads finish what is under way; projectors are killed before, so that something is left behind.
    pub(crate) async fn stop_in_the_middle(&self) {
        self.kill_projectors().await;
        sleep(LEAVES_BEHIND).await;
        futures::future::join_all(self.loads.iter().map(Participant::end)).await;
        futures::future::join_all(self.writers.iter().map(Participant::end)).await;
    }

    /// They stay down.
    pub(crate) async fn kill_projectors(&self) {
        futures::future::join_all(self.projectors.iter().map(Participant::down)).await;
    }

    pub(crate) async fn start_projectors(&self) {
        for projector in &self.projectors {
            projector.up().await;
        }
    }

    pub(crate) async fn end_participants(&self) {
        let rest = self.projectors.iter().chain(&self.readers);
        futures::future::join_all(rest.map(Participant::end)).await;
    }

    pub(crate) async fn engines_are_back(&self) -> Result<()> {
        for engine in Engine::ALL {
            self.engines.wait_ready(engine, BACK_WITHIN).await?;
        }
        Ok(())
    }

    pub(crate) async fn owner(&self) -> Result<PgConnection> {
        PgConnection::connect(&self.connections.database_url)
            .await
            .context("connect as owner")
    }

    pub(crate) async fn end(self) {
        self.engines.stop().await;
    }

    fn participant(&self, who: Who, index: usize) -> &Participant {
        let all = match who {
            Who::Projector => &self.projectors,
            Who::Writer => &self.writers,
            Who::Reader => &self.readers,
            Who::Load => &self.loads,
        };
        &all[index % all.len()]
    }

    fn proxy(&self, engine: Engine) -> &Proxy {
        let [postgres, redis, clickhouse] = &self.proxies;
        match engine {
            Engine::Postgres => &postgres.1,
            Engine::Redis => &redis.1,
            Engine::ClickHouse => &clickhouse.1,
        }
    }

    /// A server that is down this moment has no backends.
    async fn terminate_backends(&self, count: i64) {
        if let Ok(mut owner) = self.owner().await {
            let terminated = sqlx::query(
                "select pg_terminate_backend(pid) from pg_stat_activity
                 where backend_type = 'client backend' and pid <> pg_backend_pid() order by random() limit $1",
            )
            .bind(count)
            .execute(&mut owner)
            .await;
            if let Err(error) = terminated {
                tracing::debug!(%error, "could not terminate backends");
            }
        }
    }

    async fn stop_engine(&self, engine: Engine, stop: Stop) -> Result<()> {
        let Some(pid) = self.engines.pid(engine) else {
            return Ok(()); // it is down already
        };
        let signal = match stop {
            Stop::Kill => Signal::SIGKILL,
            Stop::Immediate => Signal::SIGQUIT,
        };
        kill(Pid::from_raw(i32::try_from(pid)?), signal).ok();
        self.engines
            .wait_replaced(engine, pid, BACK_WITHIN)
            .await
            .with_context(|| format!("{engine} is not back"))
    }
}

/// How participants are started.
struct Cast<'a> {
    drive: &'a Drive,
    directory: &'a Path,
    variables: Vec<(String, String)>,
    tally: Arc<Tally>,
    /// How many there are so far.
    cast: AtomicU64,
}

impl Cast<'_> {
    /// A part of the platform, and where it serves.
    fn part(&self, part: &str, number: usize) -> Result<(Participant, String)> {
        let url = format!("127.0.0.1:{}", free_port()?);
        let spec = Spec {
            name: format!("{part}-{number}"),
            program: beside("proofline")?,
            arguments: vec![part.to_owned(), "--listen".to_owned(), url.clone()],
            variables: self.variables.clone(),
            health: Some(format!("http://{url}/healthz")),
            log: self.log(&format!("{part}-{number}")),
            seed: self.seed(),
            may_abort: self.drive.fault_points.is_some(),
        };
        let participant = Participant::start(spec, self.tally.clone());
        Ok((participant, format!("http://{url}")))
    }

    fn load(&self, name: &str, arguments: Vec<String>) -> Result<Participant> {
        let spec = Spec {
            name: name.to_owned(),
            program: std::env::current_exe().context("find this program")?,
            arguments,
            variables: self.variables.clone(),
            health: None,
            log: self.log(name),
            seed: self.seed(),
            may_abort: self.drive.fault_points.is_some(),
        };
        Ok(Participant::start(spec, self.tally.clone()))
    }

    /// Reads past the proxy: it is to see as much as it can.
    fn watcher(&self, connections: &Connections, journals: &Path) -> Result<Participant> {
        let spec = Spec {
            name: "watcher".to_owned(),
            program: beside("verifier")?,
            arguments: vec![
                "watch".to_owned(),
                format!("--journal={}", journals.join("watcher.jsonl").display()),
            ],
            variables: vec![("DATABASE_URL".to_owned(), connections.database_url.clone())],
            health: None,
            log: self.log("watcher"),
            seed: 0,
            may_abort: false,
        };
        Ok(Participant::start(spec, self.tally.clone()))
    }

    /// Each participant's dice are their own.
    fn seed(&self) -> u64 {
        1_000_000 * self.cast.fetch_add(1, Ordering::Relaxed)
    }

    fn log(&self, name: &str) -> PathBuf {
        self.directory.join(format!("{name}.log"))
    }
}

/// A program of this workspace, which stands beside this one.
pub(crate) fn beside(name: &str) -> Result<PathBuf> {
    let this = std::env::current_exe().context("find this program")?;
    let path = this.with_file_name(name);
    anyhow::ensure!(
        path.is_file(),
        "{} is missing; `make torture` builds it",
        path.display()
    );
    Ok(path)
}

async fn proxied(connections: &Connections) -> Result<([(Engine, Proxy); 3], Connections)> {
    let mut proxied = connections.clone();
    let (through, server) = split_address(&connections.database_url);
    let postgres = Proxy::start(server).await.context("start a proxy")?;
    proxied.database_url = through(postgres.address);
    let (through, _) = split_address(&connections.keys_url()?);
    proxied.keys_database_url = Some(through(postgres.address));
    let (through, server) = split_address(&connections.redis_url);
    let redis = Proxy::start(server).await.context("start a proxy")?;
    proxied.redis_url = through(redis.address);
    let (through, server) = split_address(&connections.clickhouse_url);
    let clickhouse = Proxy::start(server).await.context("start a proxy")?;
    proxied.clickhouse_url = through(clickhouse.address);
    let proxies = [
        (Engine::Postgres, postgres),
        (Engine::Redis, redis),
        (Engine::ClickHouse, clickhouse),
    ];
    Ok((proxies, proxied))
}

fn variables(connections: &Connections, drive: &Drive) -> Result<Vec<(String, String)>> {
    let mut variables = vec![
        ("DATABASE_URL", connections.database_url.clone()),
        ("KEYS_DATABASE_URL", connections.keys_url()?),
        ("REDIS_URL", connections.redis_url.clone()),
        ("CLICKHOUSE_URL", connections.clickhouse_url.clone()),
        (
            "PROOFLINE_KEY_FILE",
            connections.key_file.display().to_string(),
        ),
        ("PROOFLINE_COLLECT_EVENTS_PER_SECOND", "1000000".to_owned()),
        (
            "PROOFLINE_COLLECT_REQUESTS_PER_SECOND",
            "1000000".to_owned(),
        ),
        ("PROOFLINE_LOG_FORMAT", "json".to_owned()),
    ];
    if let Some(points) = &drive.fault_points {
        variables.push(("PROOFLINE_FAULT_POINTS", points.clone()));
    }
    if let Some(mutant) = &drive.mutant {
        variables.push(("PROOFLINE_MUTANT", mutant.clone()));
    }
    Ok(variables
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value))
        .collect())
}

fn free_port() -> Result<u16> {
    for _ in 0..100 {
        let port = rand::random_range(PORTS);
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return Ok(port);
        }
    }
    anyhow::bail!("no free port")
}
