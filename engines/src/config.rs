//! What to start, where, and what is already there.

use std::fmt;
use std::path::PathBuf;

use crate::error::{EnginesError, FileContext as _};

/// The three engines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Engine {
    Postgres,
    Redis,
    ClickHouse,
}

impl Engine {
    pub const ALL: [Engine; 3] = [Engine::Postgres, Engine::Redis, Engine::ClickHouse];

    /// The name of its folder, log and password file in the data directory. Stored; never rename.
    pub fn key(self) -> &'static str {
        match self {
            Engine::Postgres => "postgres",
            Engine::Redis => "redis",
            Engine::ClickHouse => "clickhouse",
        }
    }

    /// The environment variable that carries its URL.
    pub fn url_variable(self) -> &'static str {
        match self {
            Engine::Postgres => "DATABASE_URL",
            Engine::Redis => "REDIS_URL",
            Engine::ClickHouse => "CLICKHOUSE_URL",
        }
    }
}

impl fmt::Display for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Engine::Postgres => "Postgres",
            Engine::Redis => "Redis",
            Engine::ClickHouse => "ClickHouse",
        })
    }
}

/// The loopback port of one engine.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Port {
    /// Any free one; it stays the same until the engines are stopped, also across restarts of a crashed engine.
    #[default]
    Free,
    Fixed(u16),
}

#[derive(Debug, Clone, Copy, Default)]
pub struct Ports {
    pub postgres: Port,
    pub redis: Port,
    pub clickhouse: Port,
}

/// What to start. A URL that is given is used as it is, and its engine is not started.
#[derive(Clone)]
pub struct Config {
    /// Everything that the engines keep lies below this folder; one platform at a time may use it.
    pub data_dir: PathBuf,
    pub ports: Ports,
    pub database_url: Option<String>,
    pub redis_url: Option<String>,
    pub clickhouse_url: Option<String>,
    /// Program and leading arguments that run [`crate::clickhouse::serve`]; the server's own options are added.
    pub clickhouse_command: (PathBuf, Vec<String>),
    /// `libchdb.so`; `None` looks for it as [`crate::library::find`] says.
    pub library: Option<PathBuf>,
}

impl Config {
    /// Starts all three on free ports; ClickHouse by the running program's own `clickhouse-server` subcommand.
    pub fn new(data_dir: impl Into<PathBuf>) -> Result<Self, EnginesError> {
        let program = std::env::current_exe().at("find", "the running program")?;
        Ok(Self {
            data_dir: data_dir.into(),
            ports: Ports::default(),
            database_url: None,
            redis_url: None,
            clickhouse_url: None,
            clickhouse_command: (program, vec!["clickhouse-server".to_owned()]),
            library: None,
        })
    }

    /// Takes over the engines that `DATABASE_URL`, `REDIS_URL` and `CLICKHOUSE_URL` name.
    pub fn with_urls_from_env(mut self) -> Self {
        let given = |engine: Engine| {
            std::env::var(engine.url_variable())
                .ok()
                .filter(|url| !url.is_empty())
        };
        self.database_url = given(Engine::Postgres);
        self.redis_url = given(Engine::Redis);
        self.clickhouse_url = given(Engine::ClickHouse);
        self
    }
}

/// Where the engines answer.
#[derive(Clone, PartialEq, Eq)]
pub struct Urls {
    /// The bootstrap role (a superuser) and the database `proofline`.
    pub database_url: String,
    pub redis_url: String,
    /// With user and password as user info; the `clickhouse` crate wants them by `with_user` and `with_password`.
    pub clickhouse_url: String,
}

impl Urls {
    /// The three environment variables.
    pub fn variables(&self) -> [(&'static str, &str); 3] {
        [
            (Engine::Postgres.url_variable(), &self.database_url),
            (Engine::Redis.url_variable(), &self.redis_url),
            (Engine::ClickHouse.url_variable(), &self.clickhouse_url),
        ]
    }
}

/// Passwords stay out of logs.
impl fmt::Debug for Urls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Urls").finish_non_exhaustive()
    }
}
