//! Postgres refuses to run as root, rightly; as root, engines run as an unprivileged user instead.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;

use nix::unistd::{User, geteuid};

use crate::Engine;
use crate::error::{EnginesError, FileContext as _};

/// The user as whom Postgres and Redis run where this process is root.
#[derive(Debug, Clone)]
pub(crate) struct RunAs {
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) name: String,
}

impl RunAs {
    /// `None` where this process is not root: then engines run as whoever started it.
    ///
    /// A cluster that stands already is run as its owner, who may have made it without root.
    pub(crate) fn unprivileged(cluster: &Path) -> Result<Option<Self>, EnginesError> {
        if !geteuid().is_root() {
            return Ok(None);
        }
        let owner = fs::metadata(cluster)
            .ok()
            .filter(|found| found.uid() != 0)
            .and_then(|found| User::from_uid(found.uid().into()).ok().flatten());
        let by_name = |name: &&str| User::from_name(name).ok().flatten();
        owner
            .or_else(|| ["postgres", "nobody"].iter().find_map(by_name))
            .map(|user| {
                Some(Self {
                    uid: user.uid.as_raw(),
                    gid: user.gid.as_raw(),
                    name: user.name,
                })
            })
            .ok_or(EnginesError::NoUnprivilegedUser {
                engine: Engine::Postgres,
            })
    }

    /// Drops root (and, as std does with it, the supplementary groups) before the program starts.
    pub(crate) fn apply(&self, command: &mut Command) {
        command.uid(self.uid).gid(self.gid);
    }

    /// Every folder on the way must let the user pass.
    pub(crate) fn can_reach(&self, path: &Path) -> Result<(), EnginesError> {
        for dir in path.ancestors() {
            let found = fs::metadata(dir).at("inspect", dir)?;
            let wanted = match (found.uid() == self.uid, found.gid() == self.gid) {
                (true, _) => 0o100,
                (false, true) => 0o010,
                (false, false) => 0o001,
            };
            if found.mode() & wanted == 0 {
                return Err(EnginesError::Unreachable {
                    path: path.to_owned(),
                    blocked_at: dir.to_owned(),
                    user: self.name.clone(),
                });
            }
        }
        Ok(())
    }
}
