//! Postgres's own programs that write and read dumps.

use std::process::{ExitStatus, Stdio};

use event_store::{Content, Place, PlacePath};
use futures::TryStreamExt as _;
use percent_encoding::percent_decode_str;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::{Child, ChildStderr, Command};
use tokio::task::JoinHandle;
use url::Url;

use super::BackupError;

const PG_DUMP: &str = "pg_dump";
const PG_RESTORE: &str = "pg_restore";
/// Of what a program says, which may name each of many tables.
const SAID_BYTES_MAX: u64 = 4_096;

/// Writes what a database holds, as of a moment that a transaction keeps where one is given.
pub(super) async fn dump(
    database: &Url,
    snapshot: Option<&str>,
    to: &Place,
    path: &PlacePath,
) -> Result<Content, BackupError> {
    let mut program = Program::of(PG_DUMP, database)?;
    program.command.args([
        "--format=custom",
        // A third of the time of the default level, for a tenth more room.
        "--compress=1",
        "--role=proofline_maintenance",
        "--enable-row-security",
        "--lock-wait-timeout=60s",
    ]);
    // Made anew from the log in any case.
    program
        .command
        .arg("--exclude-table-data=keys.subject_events*");
    if let Some(snapshot) = snapshot {
        program.command.arg(format!("--snapshot={snapshot}"));
    }
    let mut running = program.start(Stdio::null(), Stdio::piped())?;
    let output = running
        .child
        .stdout
        .take()
        .ok_or(BackupError::Pipe(PG_DUMP))?;
    // Where that fails, the program ends with it: nobody reads what it says any more.
    let content = to.write(path, output).await?;
    // Else it was cut off, though what came of it was written to its end.
    running.ended().await?;
    Ok(content)
}

/// Fills an empty database, as a whole or not at all.
pub(super) async fn restore(
    database: &Url,
    from: &Place,
    path: &PlacePath,
) -> Result<(), BackupError> {
    let mut program = Program::of(PG_RESTORE, database)?;
    program.command.arg("--single-transaction");
    feed(program, from, path).await
}

/// Reads the dump's table of contents.
pub(super) async fn list(from: &Place, path: &PlacePath) -> Result<(), BackupError> {
    let mut command = Command::new(PG_RESTORE);
    command.arg("--list");
    let program = Program {
        name: PG_RESTORE,
        command,
    };
    feed(program, from, path).await
}

async fn feed(program: Program, from: &Place, path: &PlacePath) -> Result<(), BackupError> {
    let name = program.name;
    let mut running = program.start(Stdio::piped(), Stdio::null())?;
    let mut input = running.child.stdin.take().ok_or(BackupError::Pipe(name))?;
    let mut pieces = from.stream(path).await?;
    while let Some(piece) = pieces.try_next().await? {
        // A program that has read enough, or has failed, says so by how it ends.
        if input.write_all(&piece).await.is_err() {
            break;
        }
    }
    drop(input);
    running.ended().await
}

struct Program {
    name: &'static str,
    command: Command,
}

struct Running {
    name: &'static str,
    child: Child,
    said: JoinHandle<String>,
}

impl Program {
    /// The password goes by the environment: arguments are seen by everybody on the machine.
    fn of(name: &'static str, database: &Url) -> Result<Self, BackupError> {
        let mut command = Command::new(name);
        if database.query_pairs().any(|(name, _)| name == "password") {
            return Err(BackupError::Url);
        }
        let mut bare = database.clone();
        if let Some(password) = database.password() {
            let password = percent_decode_str(password)
                .decode_utf8_lossy()
                .into_owned();
            command.env("PGPASSWORD", password);
            bare.set_password(None).map_err(|()| BackupError::Url)?;
        }
        command.arg("--no-password").arg(format!("--dbname={bare}"));
        Ok(Self { name, command })
    }

    fn start(mut self, input: Stdio, output: Stdio) -> Result<Running, BackupError> {
        let name = self.name;
        let started = self
            .command
            .stdin(input)
            .stdout(output)
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn();
        let mut child = started.map_err(|source| BackupError::Start { name, source })?;
        let errors = child.stderr.take().ok_or(BackupError::Pipe(name))?;
        let said = tokio::spawn(listen(errors));
        Ok(Running { name, child, said })
    }
}

impl Running {
    async fn ended(mut self) -> Result<(), BackupError> {
        let name = self.name;
        let status: ExitStatus = self
            .child
            .wait()
            .await
            .map_err(|source| BackupError::Start { name, source })?;
        let said = self.said.await.unwrap_or_default();
        if status.success() {
            Ok(())
        } else {
            Err(BackupError::Program { name, said })
        }
    }
}

/// Its first words; the rest is read, so that it never waits to be heard.
async fn listen(mut errors: ChildStderr) -> String {
    let mut said = Vec::new();
    let heard = (&mut errors)
        .take(SAID_BYTES_MAX)
        .read_to_end(&mut said)
        .await;
    if heard.is_ok() {
        drop(tokio::io::copy(&mut errors, &mut tokio::io::sink()).await);
    }
    String::from_utf8_lossy(&said).trim().to_owned()
}
