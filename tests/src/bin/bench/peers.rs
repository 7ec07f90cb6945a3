//! Other event stores, each installed by name and driven by a small script of ours (tests/peers) beside ours: one event per
//! command, of the same size, on the same server where they use Postgres.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use serde::Deserialize;
use sqlx::{Connection as _, Executor as _, PgConnection};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use uuid::Uuid;

use crate::load::{self, Measured};
use crate::ours::{self, Platform};
use crate::report::Entry;
use crate::results::NAMED;
use crate::suite::Pace;

/// For a package to be fetched and installed.
const INSTALL_WITHIN: Duration = Duration::from_secs(300);
/// For a driver to start and to end, beside what it measures.
const DRIVER_SLACK: Duration = Duration::from_secs(30);
const SERVER_WITHIN: Duration = Duration::from_secs(10);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Peer {
    UmaDb,
    Emmett,
    EventSourcing { functions: bool },
}

const PEERS: [Peer; 4] = [
    Peer::UmaDb,
    Peer::Emmett,
    Peer::EventSourcing { functions: false },
    Peer::EventSourcing { functions: true },
];

/// Where packages go, and where a server of theirs may store.
pub(crate) struct Folders {
    pub(crate) packages: PathBuf,
    pub(crate) data: PathBuf,
}

/// A peer that can be measured, or why not.
struct Contender {
    peer: Peer,
    name: String,
    ready: Result<Ready>,
    /// By number of callers.
    driven: Vec<(usize, Result<Driven>)>,
}

/// What a driver is told, and the server behind it where it needs one.
struct Ready {
    url: String,
    _server: Option<Child>,
}

/// A driver's answer, summed over its rounds.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
struct Driven {
    commands: f64,
    seconds: f64,
    p99_ms: f64,
}

/// Measures all of them and ours by turns.
pub(crate) async fn measure(
    platform: &Platform,
    database_url: &str,
    folders: &Folders,
    pace: Pace,
) -> Result<Vec<Entry>> {
    let mut contenders = Vec::new();
    for peer in PEERS {
        contenders.push(Contender::prepare(peer, database_url, folders).await);
    }
    let mut ours = Vec::new();
    for callers in NAMED {
        tracing::info!(callers, "peers");
        let (mut append, mut http) = (Measured::default(), Measured::default());
        for _ in 0..pace.rounds {
            append.add(load::run(platform.appends(callers)?, pace.time).await?);
            http.add(load::run(platform.http_commands(callers).await?, pace.time).await?);
            for contender in &mut contenders {
                contender.drive(callers, folders, pace.time).await;
            }
        }
        ours.push((callers, append, http));
    }
    let mut entries = Vec::new();
    for contender in &contenders {
        for (callers, append, http) in &ours {
            entries.extend(contender.entries(*callers, append, http));
        }
    }
    Ok(entries)
}

impl Contender {
    async fn prepare(peer: Peer, database_url: &str, folders: &Folders) -> Self {
        let (name, ready) = match peer.install(&folders.packages).await {
            Ok(version) => {
                let ready = peer.ready(database_url, folders).await;
                (peer.name(&version), ready)
            }
            Err(error) => (peer.name(""), Err(error)),
        };
        if let Err(error) = &ready {
            tracing::warn!(peer = name, "could not be had: {error:#}");
        }
        Self {
            peer,
            name,
            ready,
            driven: Vec::new(),
        }
    }

    /// One round.
    async fn drive(&mut self, callers: usize, folders: &Folders, time: Duration) {
        let Ok(ready) = &self.ready else {
            return;
        };
        let driven = self.peer.drive(&ready.url, callers, folders, time).await;
        if let Err(error) = &driven {
            tracing::warn!(
                peer = self.name,
                callers,
                "could not be measured: {error:#}"
            );
        }
        self.driven.push((callers, driven));
    }

    fn entries(&self, callers: usize, append: &Measured, http: &Measured) -> Vec<Entry> {
        let rounds = || self.driven.iter().filter(|(of, _)| *of == callers);
        let good: Vec<Driven> = rounds()
            .filter_map(|(_, driven)| driven.as_ref().ok().copied())
            .collect();
        let count = good.len() as f64;
        let sum = |read: fn(&Driven) -> f64| good.iter().map(read).sum::<f64>();
        let rate = (count > 0.0).then(|| sum(|one| one.commands) / sum(|one| one.seconds));
        let p99 = (count > 0.0).then(|| sum(|one| one.p99_ms) / count);
        let failed = rounds().find_map(|(_, driven)| driven.as_ref().err());
        let name = match (&self.ready, failed) {
            (Err(error), _) => format!("{} (could not be had: {error:#})", self.name),
            (Ok(_), Some(error)) if good.is_empty() => {
                format!("{} (could not be measured: {error:#})", self.name)
            }
            (Ok(_), _) => self.name.clone(),
        };
        let entry =
            |figure: String, value, unit, other| Entry::beside(&figure, value, unit, &name, other);
        let mut entries = vec![
            entry(
                format!("append.{callers}"),
                append.rate(),
                "commands/s",
                rate,
            ),
            entry(
                format!("append.{callers}.p99_ms"),
                append.p99_ms(),
                "ms",
                p99,
            ),
        ];
        // What goes over a network is compared with ours over a network, too.
        if self.peer == Peer::UmaDb {
            let http = http.rate();
            entries.push(entry(
                format!("http_command.{callers}"),
                http,
                "commands/s",
                rate,
            ));
        }
        entries
    }
}

impl Peer {
    fn name(self, version: &str) -> String {
        let (package, mode) = match self {
            Self::UmaDb => ("umadb", "its client over gRPC"),
            Self::Emmett => ("emmett-postgresql", "appendToStream"),
            Self::EventSourcing { functions: false } => ("eventsourcing", "recorder, table lock"),
            Self::EventSourcing { functions: true } => {
                ("eventsourcing", "recorder, DB functions, no lock")
            }
        };
        format!("{package} {version}, {mode}").replace(" ,", ",")
    }

    /// Answers with the version that was had.
    async fn install(self, packages: &Path) -> Result<String> {
        match self {
            Self::UmaDb => pip(packages, "umadb", &["umadb"]).await,
            Self::EventSourcing { .. } => {
                // With the driver's compiled half, which is the faster.
                let wanted = ["eventsourcing[postgres]", "psycopg[binary]"];
                pip(packages, "eventsourcing", &wanted).await
            }
            Self::Emmett => {
                let (folder, package) = (node(packages), "@event-driven-io/emmett-postgresql");
                std::fs::create_dir_all(&folder)?;
                let mut npm = Command::new("npm");
                npm.args(["install", "--no-audit", "--no-fund", "--silent", "--prefix"]);
                say(npm.arg(&folder).arg(package), INSTALL_WITHIN).await?;
                let manifest = folder
                    .join("node_modules")
                    .join(package)
                    .join("package.json");
                let manifest: serde_json::Value =
                    serde_json::from_slice(&std::fs::read(manifest)?)?;
                let version = manifest["version"].as_str().context("it has no version")?;
                Ok(version.to_owned())
            }
        }
    }

    async fn ready(self, database_url: &str, folders: &Folders) -> Result<Ready> {
        let database = match self {
            Self::UmaDb => return serve_umadb(folders).await,
            Self::Emmett => "peer_emmett",
            Self::EventSourcing { functions: false } => "peer_eventsourcing_lock",
            Self::EventSourcing { functions: true } => "peer_eventsourcing_functions",
        };
        PgConnection::connect(database_url)
            .await?
            .execute(&*format!("create database {database}"))
            .await?;
        Ok(Ready {
            url: tests::in_database(database_url, database),
            _server: None,
        })
    }

    async fn drive(
        self,
        url: &str,
        callers: usize,
        folders: &Folders,
        time: Duration,
    ) -> Result<Driven> {
        let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("peers");
        let mut command = match self {
            Self::Emmett => {
                let mut command = Command::new("node");
                command
                    .arg(scripts.join("emmett.mjs"))
                    .arg(node(&folders.packages));
                command
            }
            Self::UmaDb | Self::EventSourcing { .. } => {
                let mut command = Command::new(python(&folders.packages).join("bin/python"));
                let functions = self == Self::EventSourcing { functions: true };
                command
                    .arg(scripts.join("driver.py"))
                    .arg(if self == Self::UmaDb {
                        "umadb"
                    } else {
                        "eventsourcing"
                    })
                    .env(
                        "POSTGRES_ENABLE_DB_FUNCTIONS",
                        if functions { "yes" } else { "no" },
                    );
                command
            }
        };
        command
            .arg(url)
            .arg(callers.to_string())
            .arg(time.as_secs_f64().to_string())
            .arg(
                ours::drafted(Uuid::from_u128(1).into())?
                    .payload
                    .to_string(),
            );
        let said = say(&mut command, time + DRIVER_SLACK).await?;
        serde_json::from_str(&said).with_context(|| format!("the driver said {said:?}"))
    }
}

async fn pip(packages: &Path, package: &str, wanted: &[&str]) -> Result<String> {
    let folder = python(packages);
    if !folder.join("bin/pip").exists() {
        say(
            Command::new("python3").args(["-m", "venv"]).arg(&folder),
            INSTALL_WITHIN,
        )
        .await?;
    }
    let pip = folder.join("bin/pip");
    say(
        Command::new(&pip).args(["install", "--quiet"]).args(wanted),
        INSTALL_WITHIN,
    )
    .await?;
    let shown = say(Command::new(&pip).args(["show", package]), INSTALL_WITHIN).await?;
    let version = shown
        .lines()
        .find_map(|line| line.strip_prefix("Version: "));
    Ok(version.context("pip shows no version")?.to_owned())
}

fn python(packages: &Path) -> PathBuf {
    packages.join("python")
}

fn node(packages: &Path) -> PathBuf {
    packages.join("node")
}

/// A server with its defaults, which write synchronously, beside Postgres's data.
async fn serve_umadb(folders: &Folders) -> Result<Ready> {
    let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    drop(listener);
    let server = Command::new(python(&folders.packages).join("bin/umadb"))
        .env("UMADB_LISTEN", address.to_string())
        .env("UMADB_DB_PATH", folders.data.join("umadb"))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .context("could not start its server")?;
    let serves = async {
        while TcpStream::connect(address).await.is_err() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(SERVER_WITHIN, serves)
        .await
        .context("its server does not serve")?;
    Ok(Ready {
        url: format!("http://{address}"),
        _server: Some(server),
    })
}

/// Runs a program to its end and answers with the last line that it said.
async fn say(command: &mut Command, within: Duration) -> Result<String> {
    let program = command.as_std().get_program().to_owned();
    let program = Path::new(&program).file_name().map(OsStr::to_owned);
    let program = program.unwrap_or_default().to_string_lossy().into_owned();
    let ended = tokio::time::timeout(within, command.kill_on_drop(true).output());
    let Ok(output) = ended.await else {
        bail!("{program} did not end within {} s", within.as_secs());
    };
    let output = output.with_context(|| format!("{program} could not be run"))?;
    let complaint = String::from_utf8_lossy(&output.stderr);
    ensure!(
        output.status.success(),
        "{program}: {}",
        complaint.lines().last().unwrap_or("failed without a word")
    );
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
