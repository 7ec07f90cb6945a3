//! Postgres as a child process: its cluster, its settings, its readiness.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::str::FromStr as _;
use std::time::Duration;

use futures::future::BoxFuture;
use nix::sys::signal::Signal;
use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions as _, Connection as _};

use crate::Engine;
use crate::data_dir::{DataDir, write_private};
use crate::error::{EnginesError, FileContext as _, ProbeError};
use crate::managed::Managed;
use crate::process;
use crate::run_as::RunAs;

/// The database that `DATABASE_URL` names.
const DATABASE: &str = "proofline";
/// The bootstrap role. It owns the cluster; the runtime roles are made by the migrations.
const ROLE: &str = "postgres";
const VERSION_MIN: u32 = 15;

/// Settings for a small machine that is shared with the rest of the platform. Durability is never traded away.
const SETTINGS: &[&str] = &[
    "listen_addresses=127.0.0.1",
    "unix_socket_directories=",
    "fsync=on",
    "synchronous_commit=on",
    "full_page_writes=on",
    "shared_buffers=256MB",
    "effective_cache_size=2GB",
    "work_mem=16MB",
    "maintenance_work_mem=128MB",
    "max_connections=200",
    "wal_buffers=16MB",
    "min_wal_size=256MB",
    "max_wal_size=4GB",
    "checkpoint_timeout=15min",
    "random_page_cost=1.1",
    "jit=off",
    "timezone=UTC",
    "log_timezone=UTC",
    "logging_collector=off",
    "log_min_messages=warning",
    // The client sees what failed. In the log, a statement or a duplicate key's value may be somebody's data.
    "log_min_error_statement=panic",
    "log_error_verbosity=terse",
];

/// The first change of a page after a checkpoint writes an image of it. Where ids are random, that is what an append to a
/// long log costs most, and LZ4 takes a fraction of the time that the method of every server takes.
const WAL_COMPRESSION: &str = "wal_compression=pglz";
const WAL_COMPRESSION_LZ4: &str = "wal_compression=lz4";

/// A cluster that exists and is about to be run.
pub(crate) struct Postgres {
    program: PathBuf,
    dir: PathBuf,
    log: PathBuf,
    run_as: Option<RunAs>,
    port: u16,
    password: String,
    wal_compression: &'static str,
}

impl Postgres {
    /// Finds the programs and makes the cluster where there is none.
    pub(crate) fn prepare(data: &DataDir, port: u16) -> Result<Self, EnginesError> {
        let bin = bin_dir()?;
        let mut postgres = Self {
            program: bin.join("postgres"),
            dir: data.engine_dir(Engine::Postgres),
            log: data.log(Engine::Postgres),
            run_as: data.run_as().cloned(),
            port,
            password: data.password(Engine::Postgres)?,
            wal_compression: WAL_COMPRESSION,
        };
        if !postgres.dir.join("PG_VERSION").exists() {
            postgres.init(data, &bin)?;
        }
        if postgres.knows(WAL_COMPRESSION_LZ4) {
            postgres.wal_compression = WAL_COMPRESSION_LZ4;
        }
        Ok(postgres)
    }

    /// Whether the server was built with what the setting asks for.
    fn knows(&self, setting: &str) -> bool {
        let mut postgres = Command::new(&self.program);
        postgres
            .args(["-C", "wal_compression", "-c", setting, "-D"])
            .arg(&self.dir)
            .current_dir("/");
        if let Some(user) = &self.run_as {
            user.apply(&mut postgres);
        }
        postgres
            .output()
            .is_ok_and(|output| output.status.success())
    }

    /// Makes the cluster beside its place and renames it: one that was killed half-way is never taken for whole.
    fn init(&self, data: &DataDir, bin: &Path) -> Result<(), EnginesError> {
        let fresh = self.dir.with_extension("new");
        if fresh.exists() {
            fs::remove_dir_all(&fresh).at("remove", &fresh)?;
        }
        data.private_dir(&fresh)?;
        let password_file = self.dir.with_extension("initdb");
        write_private(&password_file, self.password.as_bytes())?;
        data.give(&password_file)?;
        let mut initdb = Command::new(bin.join("initdb"));
        initdb
            .arg("-D")
            .arg(&fresh)
            .args(["-U", ROLE, "-E", "UTF8", "--locale=C", "--data-checksums"])
            .args(["--auth=scram-sha-256", "--pwfile"])
            .arg(&password_file)
            .current_dir("/");
        if let Some(user) = &self.run_as {
            user.apply(&mut initdb);
        }
        let output = initdb.output().map_err(|source| EnginesError::Spawn {
            program: "initdb".to_owned(),
            source,
        })?;
        fs::remove_file(&password_file).at("remove", &password_file)?;
        if !output.status.success() {
            let text = String::from_utf8_lossy(&output.stderr);
            return Err(EnginesError::Program {
                program: "initdb".to_owned(),
                status: output.status,
                output: text.lines().collect::<Vec<_>>().join(" | "),
            });
        }
        fs::rename(&fresh, &self.dir).at("put in place", &self.dir)
    }

    fn options(&self, database: &str) -> PgConnectOptions {
        PgConnectOptions::new_without_pgpass()
            .host("127.0.0.1")
            .port(self.port)
            .username(ROLE)
            .password(&self.password)
            .database(database)
            .disable_statement_logging()
    }

    /// Creates the database; the cluster serves already.
    pub(crate) async fn create_database(url: &str) -> Result<(), EnginesError> {
        let failed = |source| EnginesError::Database {
            database: DATABASE,
            source,
        };
        let options = PgConnectOptions::from_str(url)
            .map_err(failed)?
            .database(ROLE);
        let mut connection = options.connect().await.map_err(failed)?;
        let exists: bool =
            sqlx::query_scalar("select exists (select from pg_database where datname = $1)")
                .bind(DATABASE)
                .fetch_one(&mut connection)
                .await
                .map_err(failed)?;
        if !exists {
            sqlx::query("create database proofline")
                .execute(&mut connection)
                .await
                .map_err(failed)?;
        }
        connection.close().await.map_err(failed)
    }
}

impl Managed for Postgres {
    fn engine(&self) -> Engine {
        Engine::Postgres
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command
            .arg("-D")
            .arg(&self.dir)
            .arg("-p")
            .arg(self.port.to_string());
        for setting in SETTINGS {
            command.arg("-c").arg(setting);
        }
        command.arg("-c").arg(self.wal_compression);
        command.current_dir(&self.dir);
        if let Some(user) = &self.run_as {
            user.apply(&mut command);
        }
        command
    }

    fn identity(&self) -> (PathBuf, String) {
        (
            self.dir.join("postmaster.pid"),
            self.dir.to_string_lossy().into_owned(),
        )
    }

    /// Postgres checks a stale `postmaster.pid` itself, except where the process id has gone to a stranger of the same
    /// user. The file also names the shared memory of backends that may outlive a killed postmaster, so it goes only
    /// when no process works in the data directory any more.
    fn clear_stale(&self) -> Result<(), EnginesError> {
        let (file, mark) = self.identity();
        match process::pid_in(&file) {
            Some(pid)
                if !process::is_ours(pid, &mark) && !process::is_working_dir_of_any(&self.dir) =>
            {
                fs::remove_file(&file).at("remove", &file)
            }
            _ => Ok(()),
        }
    }

    fn probe(&self) -> BoxFuture<'_, Result<(), ProbeError>> {
        Box::pin(async move {
            let mut connection = self
                .options(ROLE)
                .connect()
                .await
                .map_err(ProbeError::Postgres)?;
            sqlx::query("select 1")
                .execute(&mut connection)
                .await
                .map_err(ProbeError::Postgres)?;
            connection.close().await.map_err(ProbeError::Postgres)
        })
    }

    /// Fast shutdown: ends sessions, writes a checkpoint. Then immediate: like a crash, recovered at the next start.
    fn stop_signals(&self) -> &'static [(Signal, Duration)] {
        const {
            &[
                (Signal::SIGINT, Duration::from_secs(3)),
                (Signal::SIGQUIT, Duration::from_millis(500)),
            ]
        }
    }

    fn log(&self) -> PathBuf {
        self.log.clone()
    }

    fn url(&self) -> String {
        format!(
            "postgres://{ROLE}:{}@127.0.0.1:{}/{DATABASE}",
            self.password, self.port
        )
    }
}

/// The folder of the newest Postgres on this machine: what `pg_config` names, Debian's folders, or the search path.
fn bin_dir() -> Result<PathBuf, EnginesError> {
    candidates()
        .into_iter()
        .rev() // of equal versions the last is taken: the first that was named
        .filter(|dir| dir.join("initdb").is_file())
        .filter_map(|dir| Some((version(&dir.join("postgres"))?, dir)))
        .filter(|(version, _)| *version >= VERSION_MIN)
        .max_by_key(|(version, _)| *version)
        .map(|(_, dir)| dir)
        .ok_or(EnginesError::ProgramMissing {
            program: "postgres (15 or newer)",
            package: "postgresql",
        })
}

fn candidates() -> Vec<PathBuf> {
    let mut dirs = Vec::new();
    if let Ok(output) = Command::new("pg_config").arg("--bindir").output() {
        dirs.push(PathBuf::from(
            String::from_utf8_lossy(&output.stdout).trim(),
        ));
    }
    if let Ok(versions) = fs::read_dir("/usr/lib/postgresql") {
        dirs.extend(versions.flatten().map(|version| version.path().join("bin")));
    }
    if let Some(path) = std::env::var_os("PATH") {
        dirs.extend(std::env::split_paths(&path));
    }
    dirs
}

/// The major version in `postgres (PostgreSQL) 15.14 (Debian 15.14-0+deb12u1)`.
fn version(program: &Path) -> Option<u32> {
    if !program.is_file() {
        return None;
    }
    let output = Command::new(program).arg("--version").output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    let number = text.split_whitespace().nth(2)?;
    number
        .split(|c: char| !c.is_ascii_digit())
        .next()?
        .parse()
        .ok()
}
