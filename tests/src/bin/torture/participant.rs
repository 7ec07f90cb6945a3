//! A process that takes part: started, killed, paused and started again. One that ends by itself is told on.

use std::fs::{File, OpenOptions};
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::process::{Child, Command};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep, timeout};

use crate::tally::Tally;

const PROBE_EVERY: Duration = Duration::from_millis(100);
const START_AGAIN_AFTER: Duration = Duration::from_millis(300);
/// A process that does not get ready in so many starts never will.
const STARTS_MAX: u32 = 60;
/// For a process that was asked to end.
const END_WITHIN: Duration = Duration::from_secs(90);

/// How a process is started, and how it is known to serve.
#[derive(Clone)]
pub(crate) struct Spec {
    pub(crate) name: String,
    pub(crate) program: PathBuf,
    pub(crate) arguments: Vec<String>,
    pub(crate) variables: Vec<(String, String)>,
    /// Answers with success once it serves; `None` for one that is ready when it runs.
    pub(crate) health: Option<String>,
    pub(crate) log: PathBuf,
    /// Of the dice at its fault points.
    pub(crate) seed: u64,
    /// May die at a fault point of its own.
    pub(crate) may_abort: bool,
}

enum Order {
    Kill,
    Pause(Duration),
    /// Kill, and stay down until told to be up.
    Down,
    Up,
    /// Ask to end, and wait until it has.
    End,
}

/// A handle on the process, whichever it is at the moment.
pub(crate) struct Participant {
    orders: mpsc::Sender<(Order, oneshot::Sender<()>)>,
}

impl Participant {
    pub(crate) fn start(spec: Spec, tally: Arc<Tally>) -> Self {
        let (orders, received) = mpsc::channel(16);
        tokio::spawn(async move {
            let name = spec.name.clone();
            let supervised = Supervised {
                spec,
                tally: tally.clone(),
                starts: 0,
                failed: 0,
            };
            if let Err(error) = supervised.run(received).await {
                tally.died(&name, &format!("{error:#}"));
            }
        });
        Self { orders }
    }

    pub(crate) async fn kill(&self) {
        self.order(Order::Kill).await;
    }

    pub(crate) async fn pause(&self, lasts: Duration) {
        self.order(Order::Pause(lasts)).await;
    }

    pub(crate) async fn down(&self) {
        self.order(Order::Down).await;
    }

    pub(crate) async fn up(&self) {
        self.order(Order::Up).await;
    }

    pub(crate) async fn end(&self) {
        self.order(Order::End).await;
    }

    /// Returns when it is done; orders are taken one after the other.
    async fn order(&self, order: Order) {
        let (done, is_done) = oneshot::channel();
        if self.orders.send((order, done)).await.is_ok() {
            is_done.await.ok();
        }
    }
}

struct Supervised {
    spec: Spec,
    tally: Arc<Tally>,
    starts: u64,
    /// Starts in a row that did not get ready.
    failed: u32,
}

enum Next {
    Ended(std::io::Result<ExitStatus>),
    Ordered(Option<(Order, oneshot::Sender<()>)>),
    Ready,
}

impl Supervised {
    async fn run(mut self, mut orders: mpsc::Receiver<(Order, oneshot::Sender<()>)>) -> Result<()> {
        loop {
            let mut child = self.spawn()?;
            let mut ready = self.spec.health.is_none();
            loop {
                let next = tokio::select! {
                    biased;
                    order = orders.recv() => Next::Ordered(order),
                    status = child.wait() => Next::Ended(status),
                    () = self.healthy(), if !ready => Next::Ready,
                };
                match next {
                    Next::Ready => {
                        ready = true;
                        self.failed = 0;
                    }
                    Next::Ended(status) => {
                        self.ended(status.context("wait for a process")?, ready);
                        sleep(START_AGAIN_AFTER).await;
                        break;
                    }
                    Next::Ordered(None) => return Ok(()),
                    Next::Ordered(Some((Order::Kill, done))) => {
                        child.kill().await.context("kill a process")?;
                        done.send(()).ok();
                        break;
                    }
                    Next::Ordered(Some((Order::Pause(lasts), done))) => {
                        signal(&child, Signal::SIGSTOP);
                        sleep(lasts).await;
                        signal(&child, Signal::SIGCONT);
                        done.send(()).ok();
                    }
                    Next::Ordered(Some((Order::Down, done))) => {
                        child.kill().await.context("kill a process")?;
                        done.send(()).ok();
                        let Some((_, up)) = orders.recv().await else {
                            return Ok(());
                        };
                        up.send(()).ok();
                        break;
                    }
                    Next::Ordered(Some((Order::Up, done))) => {
                        done.send(()).ok();
                    }
                    Next::Ordered(Some((Order::End, done))) => {
                        signal(&child, Signal::SIGTERM);
                        match timeout(END_WITHIN, child.wait()).await {
                            Ok(status) => {
                                let status = status.context("wait for a process")?;
                                if !status.success() && ready {
                                    self.tally.died(&self.spec.name, &self.last_words(status));
                                }
                            }
                            Err(_) => {
                                self.tally
                                    .died(&self.spec.name, "it did not end when it was asked to");
                                child.kill().await.context("kill a process")?;
                            }
                        }
                        done.send(()).ok();
                        return Ok(());
                    }
                }
            }
        }
    }

    fn spawn(&mut self) -> Result<Child> {
        self.starts += 1;
        let log = self.log()?;
        Command::new(&self.spec.program)
            .args(&self.spec.arguments)
            .envs(self.spec.variables.iter().cloned())
            // Another sequence of dice at every start, and the same at every repetition.
            .env(
                "PROOFLINE_FAULT_SEED",
                (self.spec.seed + self.starts).to_string(),
            )
            .stdin(Stdio::null())
            .stdout(log.try_clone().context("open a log")?)
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("start {}", self.spec.program.display()))
    }

    fn log(&self) -> Result<File> {
        OpenOptions::new()
            .create(true)
            .append(true)
            .open(&self.spec.log)
            .context("open a log")
    }

    async fn healthy(&self) {
        let Some(url) = &self.spec.health else { return };
        let client = reqwest::Client::new();
        loop {
            sleep(PROBE_EVERY).await;
            let answer = client.get(url).timeout(Duration::from_secs(1)).send().await;
            if answer.is_ok_and(|answer| answer.status().is_success()) {
                return;
            }
        }
    }

    /// Nobody told it to. Before it was ready this is what a supervisor of services is for: its engine may be down.
    fn ended(&mut self, status: ExitStatus, ready: bool) {
        use std::os::unix::process::ExitStatusExt as _;
        if self.spec.may_abort && status.signal() == Some(Signal::SIGABRT as i32) {
            self.tally.fault("death at a fault point");
        } else if ready {
            self.tally.died(&self.spec.name, &self.last_words(status));
        } else {
            self.failed += 1;
            self.tally.failed_start();
            if self.failed == STARTS_MAX {
                let last = self.last_words(status);
                self.tally
                    .died(&self.spec.name, &format!("it never gets ready: {last}"));
            }
        }
    }

    fn last_words(&self, status: ExitStatus) -> String {
        let text = std::fs::read(&self.spec.log).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let last: Vec<&str> = text.lines().rev().take(3).collect();
        let last: Vec<&str> = last.into_iter().rev().collect();
        format!("{status}; {}", last.join(" | "))
    }
}

fn signal(child: &Child, signal: Signal) {
    let pid = child.id().and_then(|pid| i32::try_from(pid).ok());
    if let Some(pid) = pid {
        // It may have ended this moment.
        kill(Pid::from_raw(pid), signal).ok();
    }
}

/// Waits until a URL answers with success.
pub(crate) async fn until_ready(url: &str, within: Duration) -> Result<()> {
    let deadline = Instant::now() + within;
    let client = reqwest::Client::new();
    loop {
        let answer = client.get(url).timeout(Duration::from_secs(2)).send().await;
        if answer.is_ok_and(|answer| answer.status().is_success()) {
            return Ok(());
        }
        anyhow::ensure!(Instant::now() < deadline, "{url} does not get ready");
        sleep(PROBE_EVERY).await;
    }
}
