//! What tests start and ask.

use std::path::{Path, PathBuf};
use std::time::Duration;

use engines::{Config, Engine, Engines, Silent};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use reqwest::header::HeaderMap;
use tempfile::TempDir;

/// Generous: nothing here is a measurement.
pub(crate) const SOON: Duration = Duration::from_secs(30);

pub(crate) fn binary() -> PathBuf {
    PathBuf::from(env!("CARGO_BIN_EXE_engines"))
}

/// All engines below a folder, run by the binary under test.
pub(crate) fn config(data_dir: &Path) -> Config {
    let mut config = Config::new(data_dir).unwrap();
    config.clickhouse_command = (binary(), vec!["clickhouse-server".to_owned()]);
    config
}

pub(crate) fn temp_dir() -> TempDir {
    tempfile::Builder::new()
        .prefix("engines-test-")
        .tempdir()
        .unwrap()
}

pub(crate) fn signal(pid: u32, signal: Signal) {
    kill(Pid::from_raw(i32::try_from(pid).unwrap()), signal).unwrap();
}

pub(crate) fn runs(pid: u32) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/stat"))
        .is_ok_and(|stat| !stat.rsplit(") ").next().unwrap_or("Z").starts_with('Z'))
}

/// Only the ClickHouse server; the others count as given.
pub(crate) struct ClickHouse {
    pub(crate) engines: Engines,
    pub(crate) http: reqwest::Client,
    pub(crate) dir: TempDir,
}

pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) text: String,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .map_or("", |value| value.to_str().unwrap())
    }
}

impl ClickHouse {
    pub(crate) async fn start() -> Self {
        let dir = temp_dir();
        let mut config = config(dir.path());
        config.database_url = Some("postgres://given/".to_owned());
        config.redis_url = Some("redis://given/".to_owned());
        let engines = Engines::start(config, &Silent).await.unwrap();
        Self {
            engines,
            http: reqwest::Client::new(),
            dir,
        }
    }

    pub(crate) async fn stop(self) {
        self.engines.stop().await;
    }

    pub(crate) fn url(&self) -> &str {
        &self.engines.urls().clickhouse_url
    }

    pub(crate) fn pid(&self) -> u32 {
        self.engines.pid(Engine::ClickHouse).unwrap()
    }

    /// The official client.
    pub(crate) fn client(&self) -> clickhouse::Client {
        let url = reqwest::Url::parse(self.url()).unwrap();
        clickhouse::Client::default()
            .with_url(format!("http://127.0.0.1:{}", url.port().unwrap()))
            .with_user(url.username())
            .with_password(url.password().unwrap())
    }

    pub(crate) fn post(&self, parameters: &[(&str, &str)]) -> reqwest::RequestBuilder {
        let mut url = reqwest::Url::parse(self.url()).unwrap();
        url.query_pairs_mut().extend_pairs(parameters);
        self.http.post(url)
    }

    pub(crate) async fn ask(
        &self,
        parameters: &[(&str, &str)],
        body: impl Into<reqwest::Body>,
    ) -> Answer {
        answer(self.post(parameters).body(body)).await
    }

    /// A statement that must succeed; its result without the last line break.
    #[track_caller]
    pub(crate) fn query(&self, sql: &str) -> impl Future<Output = String> {
        let caller = std::panic::Location::caller();
        let asked = self.post(&[]).body(sql.to_owned());
        let sql = sql.to_owned();
        async move {
            let found = answer(asked).await;
            assert_eq!(found.status, 200, "{caller}: {sql}: {}", found.text);
            found.text.trim_end().to_owned()
        }
    }

    /// The peak of the server's resident memory.
    pub(crate) fn peak_memory_bytes(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap();
        let line = status
            .lines()
            .find(|line| line.starts_with("VmHWM:"))
            .unwrap();
        line.split_whitespace()
            .nth(1)
            .unwrap()
            .parse::<u64>()
            .unwrap()
            * 1024
    }
}

pub(crate) async fn answer(request: reqwest::RequestBuilder) -> Answer {
    let response = request.send().await.unwrap();
    Answer {
        status: response.status().as_u16(),
        headers: response.headers().clone(),
        text: response.text().await.unwrap(),
    }
}
