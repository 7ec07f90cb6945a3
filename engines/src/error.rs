//! What can go wrong while engines are found, started, watched and stopped.

use std::path::PathBuf;

use crate::Engine;

/// One variant per operation that failed; the cause is the source.
#[derive(Debug, thiserror::Error)]
pub enum EnginesError {
    #[error("could not {action} {}", path.display())]
    File {
        action: &'static str,
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("{} is in use by process {holder}; stop it, or choose another data directory", path.display())]
    Locked { path: PathBuf, holder: String },
    #[error(
        "{} can't be entered by user {user}, as whom Postgres and Redis run since they refuse root; choose a data \
         directory elsewhere (blocked at {})",
        path.display(),
        blocked_at.display()
    )]
    Unreachable {
        path: PathBuf,
        blocked_at: PathBuf,
        user: String,
    },
    #[error(
        "no unprivileged user (postgres or nobody) exists to run {engine} as; add one, or do not start as root"
    )]
    NoUnprivilegedUser { engine: Engine },
    #[error("{program} was not found; install it with: apt-get install {package}")]
    ProgramMissing {
        program: &'static str,
        package: &'static str,
    },
    #[error("could not run {program}")]
    Spawn {
        program: String,
        #[source]
        source: std::io::Error,
    },
    #[error("{program} failed ({status}): {output}")]
    Program {
        program: String,
        status: std::process::ExitStatus,
        output: String,
    },
    #[error("{engine} ended while starting ({status}); its log {} ends with: {tail}", log.display())]
    EndedEarly {
        engine: Engine,
        status: std::process::ExitStatus,
        log: PathBuf,
        tail: String,
    },
    #[error("{engine} was not ready within {waited_s} s; see {}", log.display())]
    NotReady {
        engine: Engine,
        waited_s: u64,
        log: PathBuf,
        #[source]
        source: ProbeError,
    },
    #[error("{engine} is not run by this platform: its URL was given")]
    NotManaged { engine: Engine },
    #[error("a leftover {engine} (process {pid}) would not end")]
    Leftover { engine: Engine, pid: u32 },
    #[error("could not prepare the database {database}")]
    Database {
        database: &'static str,
        #[source]
        source: sqlx::Error,
    },
    #[error("preparing {engine} was interrupted")]
    Prepare {
        engine: Engine,
        #[source]
        source: tokio::task::JoinError,
    },
    #[error("no free loopback port")]
    Port(#[source] std::io::Error),
    #[error(transparent)]
    Library(#[from] crate::library::LibraryError),
}

/// Why an engine does not answer yet.
#[derive(Debug, thiserror::Error)]
pub enum ProbeError {
    #[error("not asked yet")]
    NotAsked,
    #[error("no answer in time")]
    TimedOut,
    #[error("Postgres does not answer")]
    Postgres(#[source] sqlx::Error),
    #[error("Redis does not answer")]
    Redis(#[source] redis::RedisError),
    #[error("ClickHouse does not answer")]
    ClickHouse(#[source] reqwest::Error),
    #[error("the process is not running")]
    NotRunning,
}

/// Adds the path and the attempted action to an I/O error.
pub(crate) trait FileContext<T> {
    fn at(self, action: &'static str, path: impl Into<PathBuf>) -> Result<T, EnginesError>;
}

impl<T> FileContext<T> for std::io::Result<T> {
    fn at(self, action: &'static str, path: impl Into<PathBuf>) -> Result<T, EnginesError> {
        self.map_err(|source| EnginesError::File {
            action,
            path: path.into(),
            source,
        })
    }
}
