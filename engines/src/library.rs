//! The library file of the embedded ClickHouse: where it is looked for, and how it is fetched.
//!
//! It comes from the npm package of the chDB project, pinned by version, size and SHA-256. Version 26.7.3-stable.1
//! was tested against everything in `tests/it`; the engine in it calls itself 26.7.2.1.

use std::fs::{self, File};
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use sha2::{Digest as _, Sha256};

use crate::progress::Progress;

/// The pinned version of the package.
pub const VERSION: &str = "26.7.3-stable.1";
const PACKAGE: &str = "@chdb/lib-linux-x64-gnu";
const BYTES: u64 = 566_330_096;
const SHA256: &str = "36ad4e999882821ef13cf2d0f52c93f48e6ee1b4498b35a201c23ce4b8d15bf5";
/// Names the file to use instead.
pub const PATH_VARIABLE: &str = "PROOFLINE_LIBCHDB";
/// Where a checkout keeps it, from its root.
const FOLDER: &str = ".proofline/engines";
const STEP: &str = "Fetching ClickHouse (libchdb)";

#[derive(Debug, thiserror::Error)]
pub enum LibraryError {
    #[error(
        "the embedded ClickHouse is missing; run `make setup` in the checkout, or name the file in {PATH_VARIABLE}"
    )]
    Missing,
    #[error("{} does not exist", path.display())]
    NotThere { path: PathBuf },
    #[error(
        "the embedded ClickHouse is there for Linux on x86-64 only; set CLICKHOUSE_URL to a ClickHouse server"
    )]
    Platform,
    #[error("could not {action} {}", path.display())]
    File {
        action: &'static str,
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("{program} was not found; install it with: apt-get install {package}")]
    ProgramMissing {
        program: &'static str,
        package: &'static str,
    },
    #[error("{program} failed: {output}")]
    Program {
        program: &'static str,
        output: String,
    },
    #[error("{} is not the pinned file: {found}; remove it and fetch again", path.display())]
    Damaged { path: PathBuf, found: String },
}

/// Looks for the library: as configured, as `PROOFLINE_LIBCHDB` says, or in `.proofline/engines` of the working
/// directory and the folders above it.
pub fn find(configured: Option<&Path>) -> Result<PathBuf, LibraryError> {
    let named = configured
        .map(Path::to_owned)
        .or_else(|| std::env::var_os(PATH_VARIABLE).map(PathBuf::from));
    if let Some(path) = named {
        return match path.canonicalize() {
            Ok(path) => Ok(path),
            Err(_) => Err(LibraryError::NotThere { path }),
        };
    }
    let here = std::env::current_dir().map_err(|_| LibraryError::Missing)?;
    here.ancestors()
        .map(|dir| dir.join(FOLDER).join(file_name()))
        .find(|path| path.is_file())
        .ok_or(LibraryError::Missing)
}

/// Makes sure that the library lies below `root`; quick where it does.
pub fn fetch(root: &Path, progress: &dyn Progress) -> Result<PathBuf, LibraryError> {
    if !cfg!(all(target_os = "linux", target_arch = "x86_64")) {
        return Err(LibraryError::Platform);
    }
    let folder = root.join(FOLDER);
    let target = folder.join(file_name());
    if fs::metadata(&target).is_ok_and(|found| found.len() == BYTES) {
        return Ok(target);
    }
    progress.started(STEP);
    let fetched = fetch_into(&folder, &target, progress);
    progress.finished(STEP);
    fetched.map(|()| target)
}

fn file_name() -> String {
    format!("libchdb-{VERSION}.so")
}

/// Downloads and unpacks beside the target and renames at the end: what stands at its place is whole and checked.
fn fetch_into(folder: &Path, target: &Path, progress: &dyn Progress) -> Result<(), LibraryError> {
    let at = |action, path: &Path| {
        let path = path.to_owned();
        move |source| LibraryError::File {
            action,
            path,
            source,
        }
    };
    fs::create_dir_all(folder).map_err(at("create", folder))?;
    let work = tempfile::Builder::new()
        .prefix("fetch-")
        .tempdir_in(folder)
        .map_err(at("create a folder in", folder))?;
    let mut pack = Command::new("npm");
    pack.arg("pack")
        .arg(format!("{PACKAGE}@{VERSION}"))
        .arg("--silent")
        .current_dir(work.path());
    run(pack, "npm", "npm", || {
        progress.advanced(STEP, size_below(work.path()), BYTES)
    })?;
    let archive = format!("chdb-lib-linux-x64-gnu-{VERSION}.tgz");
    let mut unpack = Command::new("tar");
    unpack
        .args(["-xzf", &archive, "package/libchdb.so"])
        .current_dir(work.path());
    let unpacked = work.path().join("package/libchdb.so");
    run(unpack, "tar", "tar", || {
        progress.advanced(STEP, fs::metadata(&unpacked).map_or(0, |m| m.len()), BYTES);
    })?;
    check(&unpacked)?;
    fs::rename(&unpacked, target).map_err(at("put in place", target))
}

/// Runs a program to its end, ticking meanwhile.
fn run(
    mut command: Command,
    program: &'static str,
    package: &'static str,
    mut tick: impl FnMut(),
) -> Result<(), LibraryError> {
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|_| LibraryError::ProgramMissing { program, package })?;
    // Its few lines of output fit into the pipe, so they are read when it has ended.
    let failed = |output: String| LibraryError::Program { program, output };
    loop {
        match child.try_wait() {
            Ok(None) => {
                tick();
                thread::sleep(Duration::from_millis(100));
            }
            Ok(Some(status)) if status.success() => return Ok(()),
            Ok(Some(status)) => {
                let mut text = String::new();
                if let Some(mut stderr) = child.stderr.take() {
                    stderr.read_to_string(&mut text).ok();
                }
                let text = text
                    .lines()
                    .filter(|l| !l.is_empty())
                    .collect::<Vec<_>>()
                    .join(" | ");
                return Err(failed(format!("{status}: {text}")));
            }
            Err(error) => return Err(failed(error.to_string())),
        }
    }
}

fn size_below(folder: &Path) -> u64 {
    let Ok(entries) = fs::read_dir(folder) else {
        return 0;
    };
    entries
        .flatten()
        .filter_map(|entry| entry.metadata().ok())
        .map(|found| found.len())
        .sum()
}

fn check(path: &Path) -> Result<(), LibraryError> {
    let read = |source| LibraryError::File {
        action: "read",
        path: path.to_owned(),
        source,
    };
    let damaged = |found: String| LibraryError::Damaged {
        path: path.to_owned(),
        found,
    };
    let length = fs::metadata(path).map_err(read)?.len();
    if length != BYTES {
        return Err(damaged(format!("{length} bytes instead of {BYTES}")));
    }
    let mut file = File::open(path).map_err(read)?;
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 1 << 20];
    loop {
        let read_bytes = file.read(&mut buffer).map_err(read)?;
        if read_bytes == 0 {
            break;
        }
        hash.update(&buffer[..read_bytes]);
    }
    let found: String = hash
        .finalize()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    if found == SHA256 {
        Ok(())
    } else {
        Err(damaged(format!("SHA-256 {found}")))
    }
}
