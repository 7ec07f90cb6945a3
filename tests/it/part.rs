//! A part of the platform as a process of its own, and what it shows of itself.

use std::ffi::OsStr;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use reqwest::Client;
use serde_json::Value;
use tempfile::TempDir;
use tests::World;
use tokio::process::{Child, Command};

const DEADLINE: Duration = Duration::from_secs(60);
/// How long a process may take to see that it can't start.
const GIVEN_UP_WITHIN: Duration = Duration::from_secs(50);

pub(crate) struct Part {
    child: Child,
    pub(crate) url: String,
    log: PathBuf,
    _directory: TempDir,
}

/// What `/metrics` showed.
pub(crate) struct Metrics(String);

impl Metrics {
    /// Of a series by its name and labels, as they are shown.
    pub(crate) fn value(&self, series: &str) -> Option<f64> {
        let value = |line: &str| line.strip_prefix(series)?.strip_prefix(' ')?.parse().ok();
        self.0.lines().find_map(value)
    }
}

/// In the world; where it listens is yet to be said.
fn process(name: &str, world: &World) -> Command {
    let mut process = Command::new(crate::faults::program());
    process
        .args(["--log-format", "json", name, "--listen"])
        .env("DATABASE_URL", &world.database_url)
        .env("KEYS_DATABASE_URL", &world.keys_url)
        .env("REDIS_URL", &world.redis_url)
        .env("PROOFLINE_REDIS_PREFIX", &world.redis_prefix)
        .env("CLICKHOUSE_URL", &world.clickhouse_url)
        .env("PROOFLINE_CLICKHOUSE_DATABASE", &world.clickhouse_database)
        .env("PROOFLINE_KEY_FILE", world.key_file())
        .kill_on_drop(true);
    process
}

/// What a part says that does not start.
pub(crate) async fn does_not_start<V: AsRef<OsStr>>(
    name: &str,
    world: &World,
    environment: impl IntoIterator<Item = (&'static str, V)>,
) -> String {
    let output = process(name, world)
        .arg("127.0.0.1:0")
        .envs(environment)
        .output();
    let output = tokio::time::timeout(GIVEN_UP_WITHIN, output).await;
    let output = output.expect("it does not hang").unwrap();
    assert!(!output.status.success());
    String::from_utf8([output.stdout, output.stderr].concat()).unwrap()
}

impl Part {
    /// Ready, in the world but for what `environment` says.
    pub(crate) async fn start(name: &str, world: &World, environment: &[(&str, &str)]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let port = std::net::TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        let log = directory.path().join("log");
        let child = process(name, world)
            .arg(format!("127.0.0.1:{port}"))
            .envs(environment.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(std::fs::File::create(&log).unwrap())
            .spawn()
            .unwrap();
        let part = Self {
            child,
            url: format!("http://127.0.0.1:{port}"),
            log,
            _directory: directory,
        };
        let ready = async || {
            let answer = Client::new().get(format!("{}/readyz", part.url)).send();
            answer
                .await
                .is_ok_and(|answer| answer.status().is_success())
        };
        until(ready, || std::fs::read_to_string(&part.log).unwrap()).await;
        part
    }

    pub(crate) async fn metrics(&self) -> Metrics {
        let answer = reqwest::get(format!("{}/metrics", self.url)).await;
        Metrics(answer.unwrap().text().await.unwrap())
    }

    /// Waits until what is shown is as it should be.
    pub(crate) async fn shows(&self, what: &str, is_so: impl Fn(&Metrics) -> bool) {
        let deadline = Instant::now() + DEADLINE;
        loop {
            let metrics = self.metrics().await;
            if is_so(&metrics) {
                return;
            }
            assert!(Instant::now() < deadline, "{what}: {}", metrics.0);
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// As an operator stops it. Answers with its log lines.
    pub(crate) async fn stop(mut self) -> Vec<Value> {
        let pid = i32::try_from(self.child.id().unwrap()).unwrap();
        kill(Pid::from_raw(pid), Signal::SIGTERM).unwrap();
        let status = tokio::time::timeout(DEADLINE, self.child.wait());
        assert!(status.await.unwrap().unwrap().success());
        let log = std::fs::read_to_string(&self.log).unwrap();
        log.lines()
            .map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("{line}")))
            .collect()
    }
}

pub(crate) async fn until(done: impl AsyncFn() -> bool, told: impl Fn() -> String) {
    let deadline = Instant::now() + DEADLINE;
    while !done().await {
        assert!(Instant::now() < deadline, "{}", told());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
