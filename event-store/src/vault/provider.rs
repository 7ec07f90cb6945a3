//! Who holds the keys that wrap the subjects' keys.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use aes_gcm::aead::{Aead as _, KeyInit as _, Payload};
use aes_gcm::{Aes256Gcm, Nonce};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures::future::BoxFuture;
use hmac::{Hmac, Mac as _};
use serde::{Deserialize, Serialize};
use sha2::Sha256;
use uuid::Uuid;
use zeroize::Zeroizing;

use super::{KeyBucket, SubjectKey};

const NONCE_BYTES: usize = 12;
const KEY_BUCKETS: u16 = 64;

/// Wraps and unwraps the data keys of subjects under bucket keys that never leave it. Each call names the subject as
/// associated data, so a wrapped key opens for its own subject only.
pub trait KeyProvider: Send + Sync {
    /// Wraps under the bucket's current key. Answers with the provider's name of that key and the wrapped bytes.
    fn wrap<'a>(
        &'a self,
        bucket: KeyBucket,
        subject: Uuid,
        key: &'a SubjectKey,
    ) -> BoxFuture<'a, Result<(String, Vec<u8>), ProviderError>>;

    /// Unwraps what [`KeyProvider::wrap`] returned under the key of that name.
    fn unwrap<'a>(
        &'a self,
        key_id: &'a str,
        subject: Uuid,
        wrapped: &'a [u8],
    ) -> BoxFuture<'a, Result<SubjectKey, ProviderError>>;
}

/// Why a provider could not serve.
#[derive(Debug, thiserror::Error)]
pub enum ProviderError {
    #[error("could not read the key file {path}")]
    Read { path: PathBuf, source: io::Error },
    #[error("could not write the key file {path}")]
    Write { path: PathBuf, source: io::Error },
    #[error("the key file {path} may be read by others: its mode is {mode:o}, not 600")]
    Exposed { path: PathBuf, mode: u32 },
    #[error("the key file {path} is not one of ours")]
    Malformed { path: PathBuf },
    #[error("the provider holds no key {0}")]
    UnknownKey(String),
    #[error("a wrapped key does not open: it was altered, or belongs to another subject")]
    Refused,
}

/// A local key file with mode 0600: for development and single machines. Whoever reads the file reads everything;
/// erasure is only as good as the deletion of the file's old copies.
pub struct LocalKeyFile {
    keys: BTreeMap<String, Zeroizing<[u8; 32]>>,
    current: BTreeMap<u16, String>,
    root: Zeroizing<[u8; 32]>,
}

/// The file's format. Stored; never rename.
#[derive(Serialize, Deserialize)]
struct Stored {
    version: u32,
    /// What other secrets of the platform are derived from.
    root: String,
    bucket_keys: Vec<StoredKey>,
}

#[derive(Serialize, Deserialize)]
struct StoredKey {
    id: String,
    bucket: u16,
    key: String,
}

impl LocalKeyFile {
    /// Opens the file, or makes it with fresh random keys where there is none.
    pub fn open_or_create(path: &Path) -> Result<Self, ProviderError> {
        match Self::open(path) {
            Err(ProviderError::Read { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
                Self::create(path)?;
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
        let read = |source| ProviderError::Read {
            path: path.to_owned(),
            source,
        };
        let malformed = || ProviderError::Malformed {
            path: path.to_owned(),
        };
        let mode = fs::metadata(path).map_err(read)?.permissions().mode() & 0o777;
        if mode & 0o077 != 0 {
            return Err(ProviderError::Exposed {
                path: path.to_owned(),
                mode,
            });
        }
        let bytes = Zeroizing::new(fs::read(path).map_err(read)?);
        let stored: Stored = serde_json::from_slice(&bytes).map_err(|_| malformed())?;
        if stored.version != 1 {
            return Err(malformed());
        }
        let key = |text: &str| decode_key(text).ok_or_else(malformed);
        let mut keys = BTreeMap::new();
        let mut current = BTreeMap::new();
        for entry in stored.bucket_keys {
            keys.insert(entry.id.clone(), key(&entry.key)?);
            current.insert(entry.bucket, entry.id);
        }
        if (0..KEY_BUCKETS).any(|bucket| !current.contains_key(&bucket)) {
            return Err(malformed());
        }
        Ok(Self {
            keys,
            current,
            root: key(&stored.root)?,
        })
    }

    /// Written beside its place, synced and linked in without replacing, so that two processes that start together
    /// end with one file.
    fn create(path: &Path) -> Result<(), ProviderError> {
        let write = |source| ProviderError::Write {
            path: path.to_owned(),
            source,
        };
        let stored = Stored {
            version: 1,
            root: STANDARD.encode(*random_key()),
            bucket_keys: (0..KEY_BUCKETS)
                .map(|bucket| StoredKey {
                    id: Uuid::now_v7().to_string(),
                    bucket,
                    key: STANDARD.encode(*random_key()),
                })
                .collect(),
        };
        let bytes = Zeroizing::new(
            serde_json::to_vec_pretty(&stored).map_err(|error| write(error.into()))?,
        );
        let directory = path
            .parent()
            .filter(|parent| !parent.as_os_str().is_empty())
            .unwrap_or(Path::new("."));
        fs::create_dir_all(directory).map_err(write)?;
        let beside = directory.join(format!(".keys-{}", Uuid::now_v7()));
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&beside)
            .map_err(write)?;
        let linked = file
            .write_all(&bytes)
            .and_then(|()| file.sync_all())
            .and_then(|()| fs::hard_link(&beside, path))
            .and_then(|()| File::open(directory)?.sync_all());
        fs::remove_file(&beside).map_err(write)?;
        match linked {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            other => other.map_err(write),
        }
    }

    /// Tells one key file from another; [`super::Vault::bind`] remembers it.
    pub fn fingerprint(&self) -> [u8; 32] {
        self.derive("fingerprint")
    }

    /// A secret of the platform's own for one purpose: HMAC-SHA256 of the label under the file's root.
    pub fn derive(&self, label: &str) -> [u8; 32] {
        let mut mac =
            Hmac::<Sha256>::new_from_slice(&*self.root).expect("HMAC takes a key of any length");
        mac.update(label.as_bytes());
        mac.finalize().into_bytes().into()
    }

    fn cipher(&self, key_id: &str) -> Result<Aes256Gcm, ProviderError> {
        let key = self
            .keys
            .get(key_id)
            .ok_or_else(|| ProviderError::UnknownKey(key_id.to_owned()))?;
        Ok(Aes256Gcm::new((&**key).into()))
    }

    fn wrap_now(
        &self,
        bucket: KeyBucket,
        subject: Uuid,
        key: &SubjectKey,
    ) -> Result<(String, Vec<u8>), ProviderError> {
        let key_id = &self.current[&(bucket.0 % KEY_BUCKETS)];
        let mut wrapped = random_nonce().to_vec();
        let payload = Payload {
            msg: key.expose(),
            aad: subject.as_bytes(),
        };
        let sealed = self
            .cipher(key_id)?
            .encrypt(&nonce(&wrapped), payload)
            .map_err(|_| ProviderError::Refused)?;
        wrapped.extend(sealed);
        Ok((key_id.clone(), wrapped))
    }

    fn unwrap_now(
        &self,
        key_id: &str,
        subject: Uuid,
        wrapped: &[u8],
    ) -> Result<SubjectKey, ProviderError> {
        let (prefix, sealed) = wrapped
            .split_at_checked(NONCE_BYTES)
            .ok_or(ProviderError::Refused)?;
        let opened = self
            .cipher(key_id)?
            .decrypt(
                &nonce(prefix),
                Payload {
                    msg: sealed,
                    aad: subject.as_bytes(),
                },
            )
            .map_err(|_| ProviderError::Refused)?;
        SubjectKey::from_slice(&Zeroizing::new(opened)).ok_or(ProviderError::Refused)
    }
}

impl KeyProvider for LocalKeyFile {
    fn wrap<'a>(
        &'a self,
        bucket: KeyBucket,
        subject: Uuid,
        key: &'a SubjectKey,
    ) -> BoxFuture<'a, Result<(String, Vec<u8>), ProviderError>> {
        Box::pin(async move { self.wrap_now(bucket, subject, key) })
    }

    fn unwrap<'a>(
        &'a self,
        key_id: &'a str,
        subject: Uuid,
        wrapped: &'a [u8],
    ) -> BoxFuture<'a, Result<SubjectKey, ProviderError>> {
        Box::pin(async move { self.unwrap_now(key_id, subject, wrapped) })
    }
}

pub(super) fn random_nonce() -> [u8; NONCE_BYTES] {
    rand::random()
}

/// The nonce at the front of a sealed value. The caller has checked or made its length.
pub(super) fn nonce(prefix: &[u8]) -> Nonce<aes_gcm::aead::consts::U12> {
    Nonce::try_from(&prefix[..NONCE_BYTES]).expect("twelve bytes")
}

fn random_key() -> Zeroizing<[u8; 32]> {
    Zeroizing::new(rand::random())
}

fn decode_key(text: &str) -> Option<Zeroizing<[u8; 32]>> {
    let bytes = Zeroizing::new(STANDARD.decode(text).ok()?);
    Some(Zeroizing::new(bytes.as_slice().try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_file_is_made_once_and_opens_what_it_wrapped() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("nested/keys.json");
        let first = LocalKeyFile::open_or_create(&path).unwrap();
        let second = LocalKeyFile::open_or_create(&path).unwrap();
        let (subject, key) = (Uuid::now_v7(), SubjectKey::random());
        let (key_id, wrapped) = first.wrap_now(KeyBucket(1000), subject, &key).unwrap();
        assert_eq!(
            second
                .unwrap_now(&key_id, subject, &wrapped)
                .unwrap()
                .expose(),
            key.expose()
        );
        assert_eq!(first.derive("a"), second.derive("a"));
        assert_ne!(first.derive("a"), first.derive("b"));
    }

    /// Stored for ever: hashes of API keys and ids of subjects rest on it. Computed with another implementation of HMAC.
    #[test]
    fn what_derives_from_the_root_stays_what_it_is() {
        let file = LocalKeyFile {
            keys: BTreeMap::new(),
            current: BTreeMap::new(),
            root: Zeroizing::new([5; 32]),
        };
        let hex: String = file
            .derive("api-key")
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        assert_eq!(
            hex,
            "d3af6b2c4880c90aab6ec648cfbba27d659425a6b76d8ae86670710b0447f063"
        );
    }

    #[test]
    fn a_wrapped_key_opens_for_nobody_else_and_not_when_altered() {
        let directory = tempfile::tempdir().unwrap();
        let file = LocalKeyFile::open_or_create(&directory.path().join("keys.json")).unwrap();
        let subject = Uuid::now_v7();
        let (key_id, wrapped) = file
            .wrap_now(KeyBucket(0), subject, &SubjectKey::random())
            .unwrap();
        assert!(matches!(
            file.unwrap_now(&key_id, Uuid::now_v7(), &wrapped),
            Err(ProviderError::Refused)
        ));
        for byte in 0..wrapped.len() {
            let mut altered = wrapped.clone();
            altered[byte] ^= 1;
            assert!(matches!(
                file.unwrap_now(&key_id, subject, &altered),
                Err(ProviderError::Refused)
            ));
        }
        assert!(matches!(
            file.unwrap_now("gone", subject, &wrapped),
            Err(ProviderError::UnknownKey(_))
        ));
    }

    #[test]
    fn a_key_file_that_others_may_read_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("keys.json");
        LocalKeyFile::open_or_create(&path).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        assert!(matches!(
            LocalKeyFile::open_or_create(&path),
            Err(ProviderError::Exposed { .. })
        ));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        fs::write(&path, "{}").unwrap();
        assert!(matches!(
            LocalKeyFile::open_or_create(&path),
            Err(ProviderError::Malformed { .. })
        ));
    }
}
