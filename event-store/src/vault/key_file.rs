//! The provider of a single machine: a local file.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures::future::BoxFuture;
use serde::{Deserialize, Serialize};
use uuid::Uuid;
use zeroize::Zeroizing;

use super::provider::{Destroyed, KEY_BUCKETS, KeyProvider, ProviderError};
use super::{KeyBucket, Root, SubjectKey, cipher};

/// What a new state of the file is called before it takes its place.
const BESIDE: &str = ".keys-";

/// A local key file with mode 0600: for development and single machines. Whoever reads the file reads everything;
/// erasure is only as good as the deletion of the file's old copies. Several processes may share it: each sees what
/// another changed with its next look.
pub struct LocalKeyFile {
    path: PathBuf,
    root: Root,
    read: Mutex<Arc<Read>>,
}

/// The file as it was read last.
struct Read {
    stamp: Stamp,
    keys: BTreeMap<String, Zeroizing<[u8; 32]>>,
    current: BTreeMap<u16, String>,
}

/// Tells one state of the file from another: each is a file of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    inode: u64,
    modified: Option<SystemTime>,
}

/// The file's format. Stored; never rename.
#[derive(Serialize, Deserialize)]
struct Stored {
    version: u32,
    /// What other secrets of the platform are derived from.
    root: String,
    /// The last one of a bucket is current.
    bucket_keys: Vec<StoredKey>,
}

#[derive(Serialize, Deserialize)]
struct StoredKey {
    id: String,
    bucket: u16,
    key: String,
}

impl StoredKey {
    fn random(bucket: u16) -> Self {
        Self {
            id: Uuid::now_v7().to_string(),
            bucket,
            key: STANDARD.encode(*random_key()),
        }
    }
}

impl Drop for StoredKey {
    fn drop(&mut self) {
        zeroize::Zeroize::zeroize(&mut self.key);
    }
}

impl Drop for Stored {
    fn drop(&mut self) {
        zeroize::Zeroize::zeroize(&mut self.root);
    }
}

impl LocalKeyFile {
    /// Opens the file, or makes it with fresh random keys where there is none.
    pub fn open_or_create(path: &Path) -> Result<Self, ProviderError> {
        match Self::open(path) {
            Err(ProviderError::Read { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
                create(path)?;
                tracing::warn!(
                    path = %path.display(),
                    "made a local key file: whoever reads it can open all personal data; keep it apart from backups"
                );
                Self::open(path)
            }
            opened => opened,
        }
    }

    /// Opens a file that is there.
    pub fn open(path: &Path) -> Result<Self, ProviderError> {
        let (stored, stamp) = load(path)?;
        let root = decode_key(&stored.root).ok_or_else(|| malformed(path))?;
        Ok(Self {
            path: path.to_owned(),
            root: Root::new(root),
            read: Mutex::new(Arc::new(Read::of(&stored, stamp, path)?)),
        })
    }

    /// What the platform's own secrets derive from.
    pub fn root(&self) -> &Root {
        &self.root
    }

    /// The file as it is now.
    fn look(&self) -> Result<Arc<Read>, ProviderError> {
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        if stamp(&self.path)? != read.stamp {
            let (stored, stamp) = load(&self.path)?;
            *read = Arc::new(Read::of(&stored, stamp, &self.path)?);
        }
        Ok(read.clone())
    }

    /// Changes the file, one process at a time. What is answered as unchanged is not written.
    fn change<T>(
        &self,
        change: impl FnOnce(&mut Stored) -> Result<(T, bool), ProviderError>,
    ) -> Result<T, ProviderError> {
        let path = &*self.path;
        let failed = write_error(path);
        let lock = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(path.with_extension("lock"))
            .map_err(&failed)?;
        lock.lock().map_err(&failed)?;
        // What a process that died here left behind holds keys that may be destroyed since.
        remove_leftovers(path).map_err(&failed)?;
        let (mut stored, _) = load(path)?;
        let (answer, changed) = change(&mut stored)?;
        if changed {
            let beside = write_beside(path, &stored)?;
            fs::rename(&beside, path).map_err(&failed)?;
            sync_folder(path).map_err(&failed)?;
        }
        Ok(answer)
    }

    fn wrap_now(
        &self,
        key_id: &str,
        subject: Uuid,
        key: &SubjectKey,
    ) -> Result<Vec<u8>, ProviderError> {
        let read = self.look()?;
        Ok(cipher::seal(
            read.key(key_id)?,
            subject.as_bytes(),
            key.expose(),
        ))
    }

    fn unwrap_now(
        &self,
        key_id: &str,
        subject: Uuid,
        wrapped: &[u8],
    ) -> Result<SubjectKey, ProviderError> {
        let read = self.look()?;
        let opened = cipher::open(read.key(key_id)?, subject.as_bytes(), wrapped);
        opened
            .and_then(|key| SubjectKey::from_slice(&key))
            .ok_or(ProviderError::Refused)
    }

    fn renew_now(&self, key_id: &str) -> Result<String, ProviderError> {
        self.change(|stored| {
            let unknown = || ProviderError::UnknownKey(key_id.to_owned());
            let of = |key: &&StoredKey| key.id == key_id;
            let bucket = stored
                .bucket_keys
                .iter()
                .find(of)
                .ok_or_else(unknown)?
                .bucket;
            let current = stored.bucket_keys.iter().rfind(|key| key.bucket == bucket);
            match current {
                Some(current) if current.id != key_id => Ok((current.id.clone(), false)),
                _ => {
                    let renewed = StoredKey::random(bucket);
                    let id = renewed.id.clone();
                    stored.bucket_keys.push(renewed);
                    Ok((id, true))
                }
            }
        })
    }

    fn destroy_now(&self, key_id: &str) -> Result<Destroyed, ProviderError> {
        self.change(|stored| {
            let keys = &mut stored.bucket_keys;
            let found = keys.iter().position(|key| key.id == key_id);
            if let Some(at) = found {
                let bucket = keys[at].bucket;
                if !keys[at + 1..].iter().any(|later| later.bucket == bucket) {
                    return Err(ProviderError::InUse(key_id.to_owned()));
                }
                keys.remove(at);
            }
            Ok(((), found.is_some()))
        })?;
        let written = self.look()?.stamp.modified;
        Ok(Destroyed {
            receipt: format!("removed key {key_id} from the local key file"),
            final_at: written.unwrap_or(SystemTime::UNIX_EPOCH).into(),
        })
    }
}

impl Read {
    fn of(stored: &Stored, stamp: Stamp, path: &Path) -> Result<Self, ProviderError> {
        let mut read = Self {
            stamp,
            keys: BTreeMap::new(),
            current: BTreeMap::new(),
        };
        for entry in &stored.bucket_keys {
            let key = decode_key(&entry.key).ok_or_else(|| malformed(path))?;
            read.keys.insert(entry.id.clone(), key);
            read.current.insert(entry.bucket, entry.id.clone());
        }
        if (0..KEY_BUCKETS).all(|bucket| read.current.contains_key(&bucket)) {
            Ok(read)
        } else {
            Err(malformed(path))
        }
    }

    fn key(&self, key_id: &str) -> Result<&[u8; 32], ProviderError> {
        self.keys
            .get(key_id)
            .map(|key| &**key)
            .ok_or_else(|| ProviderError::UnknownKey(key_id.to_owned()))
    }
}

impl KeyProvider for LocalKeyFile {
    fn current(&self, bucket: KeyBucket) -> BoxFuture<'_, Result<String, ProviderError>> {
        Box::pin(async move { Ok(self.look()?.current[&(bucket.0 % KEY_BUCKETS)].clone()) })
    }

    fn wrap<'a>(
        &'a self,
        key_id: &'a str,
        subject: Uuid,
        key: &'a SubjectKey,
    ) -> BoxFuture<'a, Result<Vec<u8>, ProviderError>> {
        Box::pin(async move { self.wrap_now(key_id, subject, key) })
    }

    fn unwrap<'a>(
        &'a self,
        key_id: &'a str,
        subject: Uuid,
        wrapped: &'a [u8],
    ) -> BoxFuture<'a, Result<SubjectKey, ProviderError>> {
        Box::pin(async move { self.unwrap_now(key_id, subject, wrapped) })
    }

    fn holds<'a>(&'a self, key_id: &'a str) -> BoxFuture<'a, Result<bool, ProviderError>> {
        Box::pin(async move { Ok(self.look()?.keys.contains_key(key_id)) })
    }

    fn renew<'a>(&'a self, key_id: &'a str) -> BoxFuture<'a, Result<String, ProviderError>> {
        Box::pin(async move { self.renew_now(key_id) })
    }

    fn destroy<'a>(&'a self, key_id: &'a str) -> BoxFuture<'a, Result<Destroyed, ProviderError>> {
        Box::pin(async move { self.destroy_now(key_id) })
    }
}

/// Reads the file, which nobody else may read.
fn load(path: &Path) -> Result<(Stored, Stamp), ProviderError> {
    let read = |source| ProviderError::Read {
        path: path.to_owned(),
        source,
    };
    // Before the content: what changes meanwhile is seen with the next look.
    let stamp = stamp(path)?;
    let mode = fs::metadata(path).map_err(read)?.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(ProviderError::Exposed {
            path: path.to_owned(),
            mode,
        });
    }
    let bytes = Zeroizing::new(fs::read(path).map_err(read)?);
    let stored: Stored = serde_json::from_slice(&bytes).map_err(|_| malformed(path))?;
    if stored.version == 1 {
        Ok((stored, stamp))
    } else {
        Err(malformed(path))
    }
}

fn stamp(path: &Path) -> Result<Stamp, ProviderError> {
    let metadata = fs::metadata(path).map_err(|source| ProviderError::Read {
        path: path.to_owned(),
        source,
    })?;
    Ok(Stamp {
        inode: metadata.ino(),
        modified: metadata.modified().ok(),
    })
}

/// Written beside its place, synced and linked in without replacing, so that two processes that start together
/// end with one file.
fn create(path: &Path) -> Result<(), ProviderError> {
    let failed = write_error(path);
    let stored = Stored {
        version: 1,
        root: STANDARD.encode(*random_key()),
        bucket_keys: (0..KEY_BUCKETS).map(StoredKey::random).collect(),
    };
    fs::create_dir_all(folder(path)).map_err(&failed)?;
    let beside = write_beside(path, &stored)?;
    let linked = fs::hard_link(&beside, path).and_then(|()| sync_folder(path));
    fs::remove_file(&beside).map_err(&failed)?;
    match linked {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        other => other.map_err(failed),
    }
}

/// A file in the same folder that is on the disk when this returns.
fn write_beside(path: &Path, stored: &Stored) -> Result<PathBuf, ProviderError> {
    let failed = write_error(path);
    let bytes = serde_json::to_vec_pretty(stored).map_err(|error| failed(error.into()))?;
    let bytes = Zeroizing::new(bytes);
    let beside = folder(path).join(format!("{BESIDE}{}", Uuid::now_v7()));
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&beside)
        .map_err(&failed)?;
    file.write_all(&bytes)
        .and_then(|()| file.sync_all())
        .map_err(failed)?;
    Ok(beside)
}

/// Files of [`write_beside`] that nobody renamed. Not those of a file that is just being made, which has no lock.
fn remove_leftovers(path: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder(path))? {
        let entry = entry?;
        if entry.file_name().to_string_lossy().starts_with(BESIDE) {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

fn folder(path: &Path) -> &Path {
    path.parent()
        .filter(|parent| !parent.as_os_str().is_empty())
        .unwrap_or(Path::new("."))
}

fn sync_folder(path: &Path) -> io::Result<()> {
    File::open(folder(path))?.sync_all()
}

fn write_error(path: &Path) -> impl Fn(io::Error) -> ProviderError {
    let path = path.to_owned();
    move |source| ProviderError::Write {
        path: path.clone(),
        source,
    }
}

fn malformed(path: &Path) -> ProviderError {
    ProviderError::Malformed {
        path: path.to_owned(),
    }
}

fn random_key() -> Zeroizing<[u8; 32]> {
    Zeroizing::new(rand::random())
}

fn decode_key(text: &str) -> Option<Zeroizing<[u8; 32]>> {
    let bytes = Zeroizing::new(STANDARD.decode(text).ok()?);
    Some(Zeroizing::new(bytes.as_slice().try_into().ok()?))
}

#[cfg(test)]
mod tests;
