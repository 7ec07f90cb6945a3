//! The command.

use std::process::Stdio;

use nix::sys::signal::Signal;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::Command;
use tokio::time::timeout;

use crate::harness::{SOON, binary, signal, temp_dir};

pub(crate) fn engines() -> Command {
    let mut command = Command::new(binary());
    command
        .env_remove("DATABASE_URL")
        .env_remove("REDIS_URL")
        .env_remove("CLICKHOUSE_URL")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .kill_on_drop(true);
    command
}

#[tokio::test]
async fn run_gives_the_urls_passes_the_exit_code_on_and_leaves_nothing() {
    let temporary = temp_dir();
    let script = "test -n \"$DATABASE_URL\" && test -n \"$REDIS_URL\" && curl -sS \"$CLICKHOUSE_URL\" -d 'select 6*7'; exit 7";
    let output = engines()
        .env("TMPDIR", temporary.path())
        .args(["run", "--", "sh", "-c", script])
        .output();
    // The engines' user must be able to pass through the folder for temporary ones.
    open(temporary.path());
    let output = timeout(SOON, output).await.unwrap().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "42\n");
    assert_eq!(output.status.code(), Some(7));
    assert_eq!(std::fs::read_dir(temporary.path()).unwrap().count(), 0);
}

#[tokio::test]
async fn run_hands_sigterm_to_its_command_and_ends_with_it() {
    let dir = temp_dir();
    let mut child = engines()
        .args(["run", "--data-dir"])
        .arg(dir.path())
        .args([
            "--",
            "sh",
            "-c",
            "trap 'exit 9' TERM; echo started; while :; do sleep 0.05; done",
        ])
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert_eq!(
        timeout(SOON, lines.next_line())
            .await
            .unwrap()
            .unwrap()
            .as_deref(),
        Some("started")
    );
    signal(child.id().unwrap(), Signal::SIGTERM);
    let status = timeout(SOON, child.wait()).await.unwrap().unwrap();
    assert_eq!(status.code(), Some(9));
}

#[tokio::test]
async fn up_prints_the_urls_and_ends_at_sigint() {
    let dir = temp_dir();
    let mut child = engines()
        .args(["up", "--data-dir"])
        .arg(dir.path())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut keys = Vec::new();
    for _ in 0..3 {
        let line = timeout(SOON, lines.next_line())
            .await
            .unwrap()
            .unwrap()
            .unwrap();
        keys.push(line.split_once("=").unwrap().0.to_owned());
    }
    assert_eq!(keys, ["DATABASE_URL", "REDIS_URL", "CLICKHOUSE_URL"]);
    signal(child.id().unwrap(), Signal::SIGINT);
    let status = timeout(SOON, child.wait()).await.unwrap().unwrap();
    assert!(status.success());
}

#[tokio::test]
async fn a_missing_command_is_one_line_and_no_engine_stays() {
    let dir = temp_dir();
    let output = engines()
        .args(["run", "--data-dir"])
        .arg(dir.path())
        .args(["--", "no-such-command-anywhere"])
        .stderr(Stdio::piped())
        .output();
    let output = timeout(SOON, output).await.unwrap().unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1));
    let last = text.lines().last().unwrap();
    assert!(
        last.starts_with("engines: could not run no-such-command-anywhere"),
        "{text}"
    );
    assert!(!dir.path().join("postgres/postmaster.pid").exists());
}

fn open(dir: &std::path::Path) {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::set_permissions(dir, std::fs::Permissions::from_mode(0o755)).unwrap();
}
