//! `redis-server` as a child process: its configuration and its readiness.

use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use futures::future::BoxFuture;
use nix::sys::signal::Signal;

use crate::Engine;
use crate::data_dir::{DataDir, write_private};
use crate::error::{EnginesError, ProbeError};
use crate::managed::Managed;
use crate::run_as::RunAs;

const PROGRAM: &str = "redis-server";

pub(crate) struct RedisServer {
    program: PathBuf,
    dir: PathBuf,
    config: PathBuf,
    pid_file: PathBuf,
    log: PathBuf,
    run_as: Option<RunAs>,
    port: u16,
    password: String,
}

impl RedisServer {
    pub(crate) fn prepare(data: &DataDir, port: u16) -> Result<Self, EnginesError> {
        let dir = data.engine_dir(Engine::Redis);
        let server = Self {
            program: program()?,
            config: dir.join("redis.conf"),
            pid_file: dir.join("redis.pid"),
            log: data.log(Engine::Redis),
            run_as: data.run_as().cloned(),
            port,
            password: data.password(Engine::Redis)?,
            dir,
        };
        data.private_dir(&server.dir)?;
        // In a file, not in arguments: arguments are for everybody on the machine to read.
        write_private(&server.config, server.config_text().as_bytes())?;
        data.give(&server.config)?;
        Ok(server)
    }

    fn config_text(&self) -> String {
        let quoted = |path: &Path| format!("\"{}\"", path.to_string_lossy().replace('"', "\\\""));
        [
            "bind 127.0.0.1".to_owned(),
            format!("port {}", self.port),
            format!("requirepass {}", self.password),
            "protected-mode yes".to_owned(),
            format!("dir {}", quoted(&self.dir)),
            format!("pidfile {}", quoted(&self.pid_file)),
            // The log is the durable copy; a snapshot beside it would only cost.
            "appendonly yes".to_owned(),
            "appendfsync everysec".to_owned(),
            "save \"\"".to_owned(),
            "daemonize no".to_owned(),
            // Keeps the arguments readable, by which a leftover is known to be ours.
            "set-proc-title no".to_owned(),
            "databases 16".to_owned(),
            String::new(),
        ]
        .join("\n")
    }

    async fn ask(&self) -> redis::RedisResult<()> {
        let client = redis::Client::open(self.url())?;
        let mut connection = client.get_multiplexed_async_connection().await?;
        // While it reads its log back, PING is answered with the error LOADING.
        redis::cmd("PING")
            .query_async::<String>(&mut connection)
            .await?;
        Ok(())
    }
}

impl Managed for RedisServer {
    fn engine(&self) -> Engine {
        Engine::Redis
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command
            .arg0(PROGRAM)
            .arg(&self.config)
            .current_dir(&self.dir);
        if let Some(user) = &self.run_as {
            user.apply(&mut command);
        }
        command
    }

    fn identity(&self) -> (PathBuf, String) {
        (
            self.pid_file.clone(),
            self.config.to_string_lossy().into_owned(),
        )
    }

    fn probe(&self) -> BoxFuture<'_, Result<(), ProbeError>> {
        Box::pin(async move { self.ask().await.map_err(ProbeError::Redis) })
    }

    fn stop_signals(&self) -> &'static [(Signal, Duration)] {
        const { &[(Signal::SIGTERM, Duration::from_secs(3))] }
    }

    fn log(&self) -> PathBuf {
        self.log.clone()
    }

    fn url(&self) -> String {
        // With the user's name: redis-cli takes an empty one literally.
        format!(
            "redis://default:{}@127.0.0.1:{}/0",
            self.password, self.port
        )
    }
}

fn program() -> Result<PathBuf, EnginesError> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain([PathBuf::from("/usr/bin"), PathBuf::from("/usr/local/bin")])
        .map(|dir| dir.join(PROGRAM))
        .find(|program| program.is_file())
        .ok_or(EnginesError::ProgramMissing {
            program: PROGRAM,
            package: PROGRAM,
        })
}
