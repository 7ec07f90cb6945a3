//! The folder that holds everything: locked by one platform, with secrets only its owner reads.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{Read as _, Seek as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _, chown};
use std::path::{Path, PathBuf};

use nix::fcntl::{Flock, FlockArg};

use crate::Engine;
use crate::error::{EnginesError, FileContext as _};
use crate::run_as::RunAs;

/// The name of the lock file. Stored; never rename.
pub const LOCK_FILE: &str = "lock";

/// Looked at when an engine starts.
const LOG_BYTES_MAX: u64 = 16 << 20;

/// A data directory that this process alone uses, until it is dropped.
#[derive(Debug)]
pub(crate) struct DataDir {
    root: PathBuf,
    run_as: Option<RunAs>,
    _lock: Flock<File>,
}

impl DataDir {
    /// Creates the folder where it is missing and locks it.
    ///
    /// The lock is the kernel's (`flock`): it ends with its process, however that ended.
    pub(crate) fn open(root: &Path) -> Result<Self, EnginesError> {
        fs::create_dir_all(root).at("create", root)?;
        let root = root.canonicalize().at("resolve", root)?;
        let lock = lock(&root.join(LOCK_FILE))?;
        let run_as = RunAs::unprivileged(&root.join(Engine::Postgres.key()))?;
        if let Some(user) = &run_as {
            // A temporary directory is made with mode 0700; the engines' user must be able to pass through.
            let mode = fs::metadata(&root).at("inspect", &root)?.mode();
            fs::set_permissions(&root, Permissions::from_mode(mode | 0o711))
                .at("open the way through", &root)?;
            user.can_reach(&root)?;
        }
        Ok(Self {
            root,
            run_as,
            _lock: lock,
        })
    }

    pub(crate) fn run_as(&self) -> Option<&RunAs> {
        self.run_as.as_ref()
    }

    pub(crate) fn engine_dir(&self, engine: Engine) -> PathBuf {
        self.root.join(engine.key())
    }

    pub(crate) fn log(&self, engine: Engine) -> PathBuf {
        self.root.join(format!("{}.log", engine.key()))
    }

    /// Creates a folder with mode 0700 that belongs to the user as whom engines run.
    pub(crate) fn private_dir(&self, dir: &Path) -> Result<(), EnginesError> {
        fs::create_dir_all(dir).at("create", dir)?;
        fs::set_permissions(dir, Permissions::from_mode(0o700)).at("protect", dir)?;
        self.give(dir)
    }

    /// Makes the file the property of the user as whom engines run.
    pub(crate) fn give(&self, path: &Path) -> Result<(), EnginesError> {
        match &self.run_as {
            Some(user) => {
                chown(path, Some(user.uid), Some(user.gid)).at("change the owner of", path)
            }
            None => Ok(()),
        }
    }

    /// The engine's password: made once from 192 random bits, kept in a file with mode 0600.
    pub(crate) fn password(&self, engine: Engine) -> Result<String, EnginesError> {
        let path = self.password_file(engine);
        match fs::read_to_string(&path) {
            Ok(password) if !password.trim().is_empty() => return Ok(password.trim().to_owned()),
            Ok(_) => {}
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(error).at("read", path),
        }
        let password: String = rand::random::<[u8; 24]>()
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        write_private(&path, password.as_bytes())?;
        Ok(password)
    }

    pub(crate) fn password_file(&self, engine: Engine) -> PathBuf {
        self.root.join(format!("{}.password", engine.key()))
    }
}

/// Opens a log for appending. One that has grown long gives way to a new one and is kept as `….old`.
pub(crate) fn open_log(path: &Path) -> Result<File, EnginesError> {
    if fs::metadata(path).is_ok_and(|found| found.len() > LOG_BYTES_MAX) {
        let mut old = path.as_os_str().to_owned();
        old.push(".old");
        fs::rename(path, old).at("rename", path)?;
    }
    OpenOptions::new()
        .create(true)
        .append(true)
        .mode(0o600)
        .open(path)
        .at("open", path)
}

/// Replaces a file with mode 0600, all or nothing.
pub(crate) fn write_private(path: &Path, bytes: &[u8]) -> Result<(), EnginesError> {
    let mut fresh = path.as_os_str().to_owned();
    fresh.push(".new");
    let fresh = PathBuf::from(fresh);
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&fresh)
        .at("create", &fresh)?;
    file.write_all(bytes).at("write", &fresh)?;
    file.sync_all().at("flush", &fresh)?;
    fs::rename(&fresh, path).at("replace", path)
}

fn lock(path: &Path) -> Result<Flock<File>, EnginesError> {
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o644)
        .open(path)
        .at("open", path)?;
    match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
        Ok(mut held) => {
            held.set_len(0).at("write", path)?;
            held.rewind().at("write", path)?;
            writeln!(held, "{}", std::process::id()).at("write", path)?;
            Ok(held)
        }
        Err((mut file, nix::errno::Errno::EWOULDBLOCK)) => {
            let mut holder = String::new();
            file.read_to_string(&mut holder).at("read", path)?;
            let holder = match holder.trim() {
                "" => "(unknown)".to_owned(),
                pid => pid.to_owned(),
            };
            let dir = path.parent().unwrap_or(path);
            Err(EnginesError::Locked {
                path: dir.to_owned(),
                holder,
            })
        }
        Err((_, errno)) => Err(std::io::Error::from(errno)).at("lock", path),
    }
}
