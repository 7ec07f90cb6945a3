//! The ClickHouse server as a process of its own: its memory and its crash are its own.

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use futures::future::BoxFuture;
use nix::sys::signal::Signal;

use crate::Engine;
use crate::data_dir::DataDir;
use crate::error::{EnginesError, ProbeError};
use crate::managed::Managed;

/// The user that the server knows. Stored in nobody's data; part of the URL only.
pub(crate) const USER: &str = "proofline";

pub(crate) struct ClickHouse {
    command: (PathBuf, Vec<String>),
    library: PathBuf,
    dir: PathBuf,
    log: PathBuf,
    password_file: PathBuf,
    port: u16,
    password: String,
    client: reqwest::Client,
}

impl ClickHouse {
    pub(crate) fn prepare(
        data: &DataDir,
        command: (PathBuf, Vec<String>),
        library: PathBuf,
        port: u16,
    ) -> Result<Self, EnginesError> {
        let dir = data.engine_dir(Engine::ClickHouse);
        std::fs::create_dir_all(&dir).map_err(|source| EnginesError::File {
            action: "create",
            path: dir.clone(),
            source,
        })?;
        Ok(Self {
            command,
            library,
            dir,
            log: data.log(Engine::ClickHouse),
            password: data.password(Engine::ClickHouse)?,
            password_file: data.password_file(Engine::ClickHouse),
            port,
            client: reqwest::Client::new(),
        })
    }
}

impl Managed for ClickHouse {
    fn engine(&self) -> Engine {
        Engine::ClickHouse
    }

    fn command(&self) -> Command {
        let (program, leading) = &self.command;
        let mut command = Command::new(program);
        command
            .args(leading)
            .arg("--path")
            .arg(&self.dir)
            .arg("--library")
            .arg(&self.library)
            .args(["--listen", &format!("127.0.0.1:{}", self.port)])
            .arg("--password-file")
            .arg(&self.password_file)
            .arg("--end-with-stdin")
            // The server sees its parent's death as the end of this pipe.
            .stdin(Stdio::piped());
        command
    }

    fn identity(&self) -> (PathBuf, String) {
        (
            self.dir.join(super::PID_FILE),
            self.dir.to_string_lossy().into_owned(),
        )
    }

    fn probe(&self) -> BoxFuture<'_, Result<(), ProbeError>> {
        Box::pin(async move {
            // With the password: where another server has taken the port, its /ping is not ours.
            let answer = self
                .client
                .post(self.url())
                .body("select 1")
                .send()
                .await
                .map_err(ProbeError::ClickHouse)?;
            answer.error_for_status().map_err(ProbeError::ClickHouse)?;
            Ok(())
        })
    }

    fn stop_signals(&self) -> &'static [(Signal, Duration)] {
        const { &[(Signal::SIGTERM, Duration::from_millis(3500))] }
    }

    fn log(&self) -> PathBuf {
        self.log.clone()
    }

    fn url(&self) -> String {
        format!("http://{USER}:{}@127.0.0.1:{}/", self.password, self.port)
    }
}
