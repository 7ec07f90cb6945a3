//! The platform as a process of its own, on a fresh data directory.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use key_providers::KeyProviderArgs;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::process::{Child, Command};

use crate::config::Connections;
use crate::running::Running;

/// Lies in every directory that a demo has made, and so may empty.
const MARKER: &str = ".demo";
const READY_WITHIN: Duration = Duration::from_secs(120);
/// Five seconds are promised; the rest is for a machine under load.
const STOPPED_WITHIN: Duration = Duration::from_secs(30);

pub(super) struct PlatformProcess {
    child: Child,
    running: Running,
    data_dir: PathBuf,
}

impl PlatformProcess {
    pub(super) async fn start(data_dir: &Path) -> Result<Self> {
        empty(data_dir)?;
        let log = fs::File::create(data_dir.join("platform.log"))?;
        let mut child = Command::new(std::env::current_exe()?)
            .args(["up", "--no-demo", "--port", "0", "--data-dir"])
            .arg(data_dir)
            .env("PROOFLINE_COLLECT_EVENTS_PER_SECOND", "1000000")
            .env_remove("DATABASE_URL")
            .env_remove("REDIS_URL")
            .env_remove("CLICKHOUSE_URL")
            .env_remove("PROOFLINE_KEY_PROVIDER")
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .context("could not start the platform")?;
        let deadline = Instant::now() + READY_WITHIN;
        loop {
            if let Some(status) = child.try_wait()? {
                bail!(
                    "the platform ended with {status}; see {}",
                    data_dir.join("platform.log").display()
                );
            }
            match Running::read(data_dir)? {
                Some(running) if Some(running.pid) == child.id() => {
                    return Ok(Self {
                        child,
                        running,
                        data_dir: data_dir.to_owned(),
                    });
                }
                _ => ensure!(
                    Instant::now() < deadline,
                    "the platform was not ready in {READY_WITHIN:?}"
                ),
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    pub(super) fn api_url(&self) -> &str {
        &self.running.api_url
    }

    pub(super) fn connections(&self) -> Result<Connections> {
        self.running
            .connections(&self.data_dir, KeyProviderArgs::default())
    }

    /// The largest resident set so far, engines not included.
    pub(super) fn memory_max(&self) -> Result<String> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.running.pid))?;
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix("VmHWM:"))
            .context("no VmHWM")?;
        let kib: f64 = line.trim().trim_end_matches(" kB").parse()?;
        Ok(format!("{:.0} MB", kib * 1024.0 / 1e6))
    }

    /// As Ctrl-C does; answers how long it took.
    pub(super) async fn stop(mut self) -> Result<Duration> {
        let started = Instant::now();
        let pid = i32::try_from(self.running.pid)?;
        kill(Pid::from_raw(pid), Signal::SIGINT)?;
        let status = tokio::time::timeout(STOPPED_WITHIN, self.child.wait())
            .await
            .context("the platform did not stop")??;
        ensure!(status.success(), "the platform ended with {status}");
        Ok(started.elapsed())
    }
}

/// Makes the directory, or empties one that an earlier demo made.
fn empty(data_dir: &Path) -> Result<()> {
    if data_dir.exists() && fs::read_dir(data_dir)?.next().is_some() {
        ensure!(
            data_dir.join(MARKER).exists(),
            "{} is not empty, and no demo made it; choose another --data-dir",
            data_dir.display()
        );
        if let Some(running) = Running::read(data_dir)? {
            let alive = kill(Pid::from_raw(i32::try_from(running.pid)?), None).is_ok();
            ensure!(
                !alive,
                "a demo is running in {} (process {})",
                data_dir.display(),
                running.pid
            );
        }
        fs::remove_dir_all(data_dir)
            .with_context(|| format!("could not empty {}", data_dir.display()))?;
    }
    fs::create_dir_all(data_dir)?;
    fs::write(
        data_dir.join(MARKER),
        "Made by `proofline demo`, which may empty this directory.\n",
    )?;
    Ok(())
}
