//! What the command `engines` does, for any binary that wants to offer the same.

use std::ffi::OsString;
use std::io::Write;
use std::os::unix::process::ExitStatusExt as _;
use std::path::PathBuf;
use std::process::ExitCode;

use tokio::process::Command;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::config::Config;
use crate::engines::Engines;
use crate::error::{EnginesError, FileContext as _};
use crate::library;
use crate::process;
use crate::progress::Spinners;

/// Starts engines, runs a command with their URLs in its environment, and stops them.
#[derive(Debug, clap::Args)]
pub struct RunArgs {
    /// Where the engines keep their data; by default a temporary folder that is removed at the end.
    #[arg(long)]
    data_dir: Option<PathBuf>,
    /// The command and its arguments.
    #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
    command: Vec<OsString>,
}

/// Starts engines, prints their URLs as KEY=VALUE lines, and stops them at Ctrl-C.
#[derive(Debug, clap::Args)]
pub struct UpArgs {
    /// Where the engines keep their data.
    #[arg(long)]
    data_dir: PathBuf,
}

/// Fetches the library of the embedded ClickHouse into `.proofline/engines`.
#[derive(Debug, clap::Args)]
pub struct FetchArgs {
    /// The checkout's root.
    #[arg(long, default_value = ".")]
    root: PathBuf,
}

/// Runs the command and answers its exit code.
pub async fn run(args: RunArgs) -> Result<ExitCode, EnginesError> {
    let mut signals = Signals::new()?;
    let temporary = tempfile::Builder::new()
        .prefix("proofline-engines-")
        .tempdir()
        .at("create", std::env::temp_dir())?;
    let data_dir = args.data_dir.unwrap_or_else(|| temporary.path().to_owned());
    let config = Config::new(data_dir)?.with_urls_from_env();
    let progress = Spinners::default();
    let engines = tokio::select! {
        engines = Engines::start(config, &progress) => engines?,
        number = signals.next() => return Ok(ExitCode::from(128 + number)),
    };
    let outcome = run_command(&args.command, &engines, &mut signals).await;
    engines.stop().await;
    outcome
}

async fn run_command(
    command: &[OsString],
    engines: &Engines,
    signals: &mut Signals,
) -> Result<ExitCode, EnginesError> {
    let [program, arguments @ ..] = command else {
        return Ok(ExitCode::FAILURE);
    };
    let spawn_failed = |source| EnginesError::Spawn {
        program: program.to_string_lossy().into_owned(),
        source,
    };
    let mut child = Command::new(program)
        .args(arguments)
        .envs(engines.urls().variables())
        .kill_on_drop(true)
        .spawn()
        .map_err(spawn_failed)?;
    loop {
        tokio::select! {
            status = child.wait() => {
                let status = status.map_err(spawn_failed)?;
                let code = status.code().or_else(|| status.signal().map(|number| 128 + number));
                let code = code.and_then(|code| u8::try_from(code).ok()).unwrap_or(1);
                return Ok(ExitCode::from(code));
            }
            // The command ends as it sees fit; a terminal's Ctrl-C it has got itself.
            number = signals.next() => if let Some(pid) = child.id()
                && number == Signals::TERMINATE
            {
                process::signal(pid, nix::sys::signal::Signal::SIGTERM);
            },
        }
    }
}

/// Prints the URLs when everything serves, and returns when it was told to stop and has stopped.
pub async fn up(args: UpArgs, out: &mut (dyn Write + Send)) -> Result<(), EnginesError> {
    let mut signals = Signals::new()?;
    let config = Config::new(args.data_dir)?.with_urls_from_env();
    let progress = Spinners::default();
    let engines = tokio::select! {
        engines = Engines::start(config, &progress) => engines?,
        _ = signals.next() => return Ok(()),
    };
    let lines: String = engines
        .urls()
        .variables()
        .iter()
        .map(|(key, url)| format!("{key}={url}\n"))
        .collect();
    let printed = out.write_all(lines.as_bytes()).and_then(|()| out.flush());
    if printed.is_ok() {
        signals.next().await;
    }
    engines.stop().await;
    printed.at("write", "the URLs")
}

/// Fetches the library where it is missing and answers its path.
pub fn fetch(args: &FetchArgs) -> Result<PathBuf, EnginesError> {
    Ok(library::fetch(&args.root, &Spinners::default())?)
}

/// SIGINT and SIGTERM.
struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    const INTERRUPT: u8 = 2;
    const TERMINATE: u8 = 15;

    fn new() -> Result<Self, EnginesError> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt()).at("watch", "SIGINT")?,
            terminate: signal(SignalKind::terminate()).at("watch", "SIGTERM")?,
        })
    }

    /// The number of the next one.
    async fn next(&mut self) -> u8 {
        tokio::select! {
            _ = self.interrupt.recv() => Self::INTERRUPT,
            _ = self.terminate.recv() => Self::TERMINATE,
        }
    }
}
