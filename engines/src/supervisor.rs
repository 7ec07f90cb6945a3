//! Keeps one engine running: starts it, waits until it serves, starts it again where it dies, stops it.

use std::os::unix::process::CommandExt as _;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use nix::sys::signal::Signal;
use tokio::process::{Child, ChildStdin, Command};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use crate::Engine;
use crate::data_dir::open_log;
use crate::error::{EnginesError, FileContext as _, ProbeError};
use crate::managed::Managed;
use crate::process;

/// An engine that recovers a large log after a crash may take its time; one that does not come up at all is an error.
const READY_WITHIN: Duration = Duration::from_secs(60);
const PROBE_EVERY: Duration = Duration::from_millis(25);
/// One probe; a hung engine must not hang the platform's start.
const PROBE_WITHIN: Duration = Duration::from_secs(2);
const BACK_OFF_FIRST: Duration = Duration::from_millis(100);
const BACK_OFF_MAX: Duration = Duration::from_secs(5);
/// A process that ran this long earns the first back-off again.
const STABLE_AFTER: Duration = Duration::from_secs(30);

/// What is known about the engine's process right now.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct State {
    pub(crate) pid: Option<u32>,
    pub(crate) ready: bool,
    pub(crate) restarts: u64,
}

/// A running engine and the task that watches it.
pub(crate) struct Supervisor {
    managed: Arc<dyn Managed>,
    state: watch::Receiver<State>,
    stop: CancellationToken,
    /// Dropped without [`Supervisor::stop`], it is aborted, which kills the process.
    task: AbortOnDropHandle<()>,
}

impl Supervisor {
    /// Ends a leftover of a killed platform, starts the engine and returns when it serves.
    pub(crate) async fn start(managed: Arc<dyn Managed>) -> Result<Self, EnginesError> {
        end_leftover(managed.as_ref()).await?;
        managed.clear_stale()?;
        let mut running = spawn(managed.as_ref())?;
        if let Err(error) = until_ready(managed.as_ref(), &mut running).await {
            end(managed.as_ref(), &mut running).await;
            return Err(error);
        }
        let (state, receiver) = watch::channel(State {
            pid: running.child.id(),
            ready: true,
            restarts: 0,
        });
        let stop = CancellationToken::new();
        let watching = tokio::spawn(watch_over(
            Arc::clone(&managed),
            running,
            state,
            stop.clone(),
        ));
        Ok(Self {
            managed,
            state: receiver,
            stop,
            task: AbortOnDropHandle::new(watching),
        })
    }

    pub(crate) fn state(&self) -> State {
        *self.state.borrow()
    }

    pub(crate) fn url(&self) -> String {
        self.managed.url()
    }

    /// Waits until a process other than `not` runs and serves.
    pub(crate) async fn wait_ready(
        &self,
        not: Option<u32>,
        within: Duration,
    ) -> Result<(), EnginesError> {
        let mut last = ProbeError::NotAsked;
        let asked = async {
            loop {
                let state = self.state();
                if state.ready && state.pid.is_some() && state.pid != not {
                    match self.managed.probe().await {
                        Ok(()) => return,
                        Err(error) => last = error,
                    }
                } else {
                    last = ProbeError::NotRunning;
                }
                sleep(PROBE_EVERY).await;
            }
        };
        match timeout(within, asked).await {
            Ok(()) => Ok(()),
            Err(_) => Err(EnginesError::NotReady {
                engine: self.managed.engine(),
                waited_s: within.as_secs(),
                log: self.managed.log(),
                source: last,
            }),
        }
    }

    /// Ends the process and then the watching.
    pub(crate) async fn stop(self) {
        self.stop.cancel();
        if let Err(error) = self.task.await {
            tracing::error!(engine = %self.managed.engine(), %error, "the supervisor ended badly");
        }
    }
}

async fn watch_over(
    managed: Arc<dyn Managed>,
    mut running: Running,
    state: watch::Sender<State>,
    stop: CancellationToken,
) {
    let engine = managed.engine();
    let mut back_off = BACK_OFF_FIRST;
    loop {
        let since = Instant::now();
        let status = tokio::select! {
            status = running.child.wait() => status,
            () = stop.cancelled() => {
                end(managed.as_ref(), &mut running).await;
                return;
            }
        };
        state.send_modify(|state| {
            state.pid = None;
            state.ready = false;
            state.restarts += 1;
        });
        let restarts = state.borrow().restarts;
        let status = status.map_or_else(|error| error.to_string(), |status| status.to_string());
        tracing::warn!(%engine, %status, engine.restarts = restarts, "engine died; starting it again");
        if since.elapsed() > STABLE_AFTER {
            back_off = BACK_OFF_FIRST;
        }
        let again = tokio::select! {
            again = start_again(managed.as_ref(), &state, &mut back_off) => again,
            () = stop.cancelled() => return,
        };
        running = again;
        tracing::info!(%engine, engine.restarts = restarts, "engine serves again");
    }
}

/// Starts the process again on the same port until it serves; the URL stays valid.
///
/// A process that is given up (also where this future is dropped) is killed with its handle.
async fn start_again(
    managed: &dyn Managed,
    state: &watch::Sender<State>,
    back_off: &mut Duration,
) -> Running {
    let engine = managed.engine();
    loop {
        sleep(*back_off).await;
        *back_off = (*back_off * 2).min(BACK_OFF_MAX);
        let started = match managed.clear_stale() {
            Ok(()) => spawn(managed),
            Err(error) => Err(error),
        };
        let error = match started {
            Ok(mut running) => {
                state.send_modify(|state| state.pid = running.child.id());
                match until_ready(managed, &mut running).await {
                    Ok(()) => {
                        state.send_modify(|state| state.ready = true);
                        return running;
                    }
                    Err(error) => {
                        end(managed, &mut running).await;
                        state.send_modify(|state| state.pid = None);
                        error
                    }
                }
            }
            Err(error) => error,
        };
        tracing::warn!(%engine, error = &error as &dyn std::error::Error, "could not start the engine again");
    }
}

/// A started process. Waiting for a `Child` closes its input, by which ClickHouse would take us for dead; so the input
/// is held beside it.
struct Running {
    child: Child,
    input: Option<ChildStdin>,
}

fn spawn(managed: &dyn Managed) -> Result<Running, EnginesError> {
    let log = managed.log();
    let out = open_log(&log)?;
    let err = out.try_clone().at("open", &log)?;
    let mut command = managed.command();
    let program = command.get_program().to_string_lossy().into_owned();
    // A group of its own: Ctrl-C in a terminal reaches the platform only, which then stops engines in order.
    command.process_group(0).stdout(out).stderr(err);
    if managed.engine() != Engine::ClickHouse {
        command.stdin(Stdio::null());
    }
    let mut command = Command::from(command);
    command.kill_on_drop(true);
    let mut child = command
        .spawn()
        .map_err(|source| EnginesError::Spawn { program, source })?;
    let input = child.stdin.take();
    Ok(Running { child, input })
}

async fn until_ready(managed: &dyn Managed, running: &mut Running) -> Result<(), EnginesError> {
    let mut last = ProbeError::NotAsked;
    let asked = async {
        loop {
            match timeout(PROBE_WITHIN, managed.probe()).await {
                Ok(Ok(())) => return,
                Ok(Err(error)) => last = error,
                Err(_) => last = ProbeError::TimedOut,
            }
            sleep(PROBE_EVERY).await;
        }
    };
    let outcome = tokio::select! {
        outcome = timeout(READY_WITHIN, asked) => Ok(outcome),
        status = running.child.wait() => Err(status),
    };
    let log = managed.log();
    match outcome {
        Ok(Ok(())) => Ok(()),
        Ok(Err(_)) => Err(EnginesError::NotReady {
            engine: managed.engine(),
            waited_s: READY_WITHIN.as_secs(),
            log,
            source: last,
        }),
        Err(status) => Err(EnginesError::EndedEarly {
            engine: managed.engine(),
            status: status.at("wait for", "the engine's process")?,
            tail: process::log_tail(&log),
            log,
        }),
    }
}

async fn end(managed: &dyn Managed, running: &mut Running) {
    // Closing its input is the polite word for an engine that watches it.
    drop(running.input.take());
    let child = &mut running.child;
    for (signal, patience) in managed.stop_signals() {
        let Some(pid) = child.id() else {
            return;
        };
        process::signal(pid, *signal);
        if timeout(*patience, child.wait()).await.is_ok() {
            return;
        }
        tracing::warn!(engine = %managed.engine(), %signal, "engine did not end in time");
    }
    if let Err(error) = child.kill().await {
        tracing::error!(engine = %managed.engine(), %error, "could not kill the engine");
    }
}

async fn end_leftover(managed: &dyn Managed) -> Result<(), EnginesError> {
    let (file, mark) = managed.identity();
    let Some(pid) = process::pid_in(&file) else {
        return Ok(());
    };
    if !process::is_ours(pid, &mark) {
        return Ok(());
    }
    let engine = managed.engine();
    tracing::warn!(%engine, process.pid = pid, "stopping what a killed platform left running");
    let (polite, patience) = managed
        .stop_signals()
        .first()
        .copied()
        .unwrap_or((Signal::SIGTERM, Duration::from_secs(3)));
    if process::end_leftover(pid, &mark, polite, patience).await {
        Ok(())
    } else {
        Err(EnginesError::Leftover { engine, pid })
    }
}
