//! Processes by id: is it the one we think it is, and how it is ended. No stranger is ever signalled.

use std::fs;
use std::path::Path;
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::time::{Instant, sleep};

/// How often a process that is to end is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// True where the process runs and `mark` is one of its arguments.
///
/// The mark is an argument with the absolute path of our data directory in it, so that a process id that the kernel
/// has given to somebody else since is recognised as a stranger's.
pub(crate) fn is_ours(pid: u32, mark: &str) -> bool {
    fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|cmdline| {
        cmdline
            .split(|byte| *byte == 0)
            .any(|argument| argument == mark.as_bytes())
    })
}

/// The id in the first line of a pid file.
pub(crate) fn pid_in(file: &Path) -> Option<u32> {
    fs::read_to_string(file)
        .ok()?
        .lines()
        .next()?
        .trim()
        .parse()
        .ok()
}

/// Sends a signal; a process that is gone already is no error.
pub(crate) fn signal(pid: u32, signal: Signal) {
    let Ok(raw) = i32::try_from(pid) else {
        return;
    };
    match kill(Pid::from_raw(raw), signal) {
        Ok(()) | Err(Errno::ESRCH) => {}
        Err(error) => tracing::warn!(process.pid = pid, %signal, %error, "could not signal"),
    }
}

/// Ends a leftover that is verifiably ours: politely, then by force. `true` where none is left.
pub(crate) async fn end_leftover(pid: u32, mark: &str, polite: Signal, patience: Duration) -> bool {
    for (step, patience) in [
        (polite, patience),
        (Signal::SIGKILL, Duration::from_secs(5)),
    ] {
        if !is_ours(pid, mark) {
            return true;
        }
        signal(pid, step);
        let deadline = Instant::now() + patience;
        while Instant::now() < deadline {
            if !is_ours(pid, mark) {
                return true;
            }
            sleep(LOOK_EVERY).await;
        }
    }
    !is_ours(pid, mark)
}

/// True where some process has the folder as its working directory, as every Postgres process has its data directory.
pub(crate) fn is_working_dir_of_any(dir: &Path) -> bool {
    let Ok(entries) = fs::read_dir("/proc") else {
        return false;
    };
    entries.flatten().any(|entry| {
        entry
            .file_name()
            .to_string_lossy()
            .bytes()
            .all(|b| b.is_ascii_digit())
            && fs::read_link(entry.path().join("cwd")).is_ok_and(|cwd| cwd == dir)
    })
}

/// The last lines of a log, on one line, for an error message.
pub(crate) fn log_tail(log: &Path) -> String {
    let text = fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<&str> = text.lines().rev().take(4).collect();
    lines.into_iter().rev().collect::<Vec<_>>().join(" | ")
}
