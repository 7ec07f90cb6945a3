//! The vault: personal data is sealed before it is stored and opened when it is read, under a key per data subject.

mod cipher;
mod copies;
mod envelope;
mod erasure;
mod key_file;
mod provider;
mod remote;
mod root;
mod subject_events;
mod taking;
mod tree;
mod trees;

use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures::stream::{self, StreamExt as _, TryStreamExt as _};
use serde_json::Value;
use sqlx::PgPool;
use uuid::Uuid;
use zeroize::{Zeroize, ZeroizeOnDrop};

pub use self::copies::KeyCopies;
use self::erasure::Watch;
pub use self::erasure::{Erasure, FORGOTTEN_WITHIN};
pub use self::key_file::LocalKeyFile;
pub use self::provider::{Destroyed, KeyProvider, ProviderError};
pub use self::remote::{Gone, KeyService, RemoteKeys};
pub use self::root::Root;
pub use self::subject_events::{Claim, SubjectEvents};
pub use self::taking::Taken;
use self::trees::{CachedTrees, Turns};
use crate::bucket::Bucket;
use crate::place::PlaceError;

/// Whose the platform's own keys are. No account has this id.
const PLATFORM: Uuid = Uuid::nil();
/// How many unwrapped keys a process holds, and for how long: bounds what a memory dump shows.
const CACHED_KEYS_MAX: u64 = 50_000;
const CACHED_KEY_AGE: Duration = Duration::from_secs(300);
/// How often a new key is wrapped anew because the key that wraps was renewed just then.
const WRAPS_MAX: u32 = 5;
/// How many calls of the provider one of ours waits for at the same time: it may be far away.
const CALLS_AT_ONCE: usize = 16;

/// The 256-bit data key of one subject. Wiped when dropped; `Debug` prints nothing of it.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct SubjectKey([u8; 32]);

impl SubjectKey {
    pub(crate) fn random() -> Self {
        Self(rand::random())
    }

    /// `None` where the slice is not 32 bytes long.
    pub fn from_slice(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }

    /// The bare key, for ciphers and providers only.
    pub fn expose(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for SubjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SubjectKey(…)")
    }
}

/// Keys that are wrapped, and one day rewrapped, together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyBucket(pub u16);

impl KeyBucket {
    fn of(subject: Uuid) -> Self {
        Self(Bucket::of(subject).as_i16().cast_unsigned())
    }
}

/// Why personal data could not be sealed or opened.
#[derive(Debug, thiserror::Error)]
pub enum VaultError {
    #[error("an envelope of personal data is malformed")]
    Malformed,
    #[error("event {event} holds personal data that is not sealed")]
    Unsealed { event: Uuid },
    #[error("sealed personal data of event {event} does not open: it was altered or moved")]
    Altered { event: Uuid },
    #[error("subject {0} was erased; new personal data about it is refused")]
    Erased(Uuid),
    #[error("subject {0} belongs to another tenant")]
    ForeignSubject(Uuid),
    #[error(
        "no key {0} is stored, though data under it is: the key database is older than the log"
    )]
    KeyMissing(Uuid),
    #[error("the key database was made with other keys than this process was given")]
    OtherProvider,
    #[error(
        "the key database holds no root: no platform was started with it and this key provider"
    )]
    NoRoot,
    #[error("could not read subject keys")]
    ReadKeys(#[source] sqlx::Error),
    #[error("could not store a subject key")]
    StoreKey(#[source] sqlx::Error),
    #[error("the tree of key {0} does not open: it was altered")]
    AlteredTree(Uuid),
    #[error("the index of subjects' events has not reached position {position}")]
    IndexBehind { position: i64 },
    #[error("could not erase subject keys")]
    EraseKeys(#[source] sqlx::Error),
    #[error("the keys that wrap subject {0}'s are being renewed")]
    Renewing(Uuid),
    #[error("could not reach the copies of keys that were wrapped anew")]
    Copies(#[source] PlaceError),
    #[error(
        "keys are copied to another place than the one this key database knows; give this process the same"
    )]
    OtherCopies,
    #[error("{0} is no copy of keys")]
    MalformedCopy(String),
    #[error("the key provider failed")]
    Provider(#[from] ProviderError),
}

impl VaultError {
    /// Whether the same attempt may succeed later.
    pub fn is_transient(&self) -> bool {
        matches!(
            self,
            Self::ReadKeys(_)
                | Self::StoreKey(_)
                | Self::EraseKeys(_)
                | Self::Copies(_)
                | Self::IndexBehind { .. }
                | Self::Renewing(_)
        ) || matches!(self, Self::Provider(error) if error.is_transient())
    }
}

/// Seals and opens payloads. Cheap to clone.
#[derive(Clone)]
pub struct Vault {
    keys: PgPool,
    provider: Arc<dyn KeyProvider>,
    copies: KeyCopies,
    cached: Cached,
    trees: CachedTrees,
    turns: Arc<Turns>,
    _watch: Arc<Watch>,
}

/// By tenant and subject. `None` stands for an erased subject: erasure is final, so that may be cached too.
type Cached = moka::sync::Cache<(Uuid, Uuid), Option<Arc<SubjectKey>>>;

type Keys = HashMap<Uuid, Option<Arc<SubjectKey>>>;

impl Vault {
    /// `keys` is a pool on the key database, as role `proofline_vault`. Within a runtime: looking for subjects that others erased
    /// is a task of its own.
    pub fn new(keys: PgPool, provider: Arc<dyn KeyProvider>, copies: KeyCopies) -> Self {
        let cached = moka::sync::Cache::builder()
            .max_capacity(CACHED_KEYS_MAX)
            .time_to_live(CACHED_KEY_AGE)
            .build();
        let trees = trees::cache();
        Self {
            _watch: Arc::new(Watch::start(keys.clone(), cached.clone(), trees.clone())),
            keys,
            provider,
            copies,
            cached,
            trees,
            turns: Arc::default(),
        }
    }

    /// Refuses to go on with another provider than the key database was made with; the first one is remembered.
    /// `fingerprint` is that of the root.
    pub async fn bind(&self, fingerprint: [u8; 32]) -> Result<(), VaultError> {
        sqlx::query!(
            "insert into keys.provider (fingerprint) values ($1) on conflict do nothing",
            &fingerprint
        )
        .execute(&self.keys)
        .await
        .map_err(VaultError::StoreKey)?;
        let bound = sqlx::query_scalar!("select fingerprint from keys.provider")
            .fetch_one(&self.keys)
            .await
            .map_err(VaultError::ReadKeys)?;
        if bound == fingerprint {
            Ok(())
        } else {
            Err(VaultError::OtherProvider)
        }
    }

    /// Seals every envelope of the payload under its subject's key.
    pub async fn seal(
        &self,
        tenant: Uuid,
        event: Uuid,
        payload: &mut Value,
    ) -> Result<(), VaultError> {
        let subjects = distinct(envelope::subjects(payload)?);
        if subjects.is_empty() {
            return Ok(());
        }
        let keys = self.keys_of(tenant, subjects, true).await?;
        envelope::rewrite(payload, &mut |pointer, subject, envelope| {
            let key = keys[&subject]
                .as_deref()
                .ok_or(VaultError::Erased(subject))?;
            envelope::seal(envelope, key, event, pointer)
        })
    }

    /// Opens every envelope of a stored payload; those of erased subjects come back without a value.
    pub async fn open(
        &self,
        tenant: Uuid,
        event: Uuid,
        payload: &mut Value,
    ) -> Result<(), VaultError> {
        let subjects = distinct(envelope::subjects(payload)?);
        if subjects.is_empty() {
            return Ok(());
        }
        let keys = self.keys_of(tenant, subjects, false).await?;
        envelope::rewrite(payload, &mut |pointer, subject, envelope| {
            let key = keys.get(&subject).ok_or(VaultError::KeyMissing(subject))?;
            envelope::open(envelope, key.as_deref(), event, pointer)
        })
    }

    /// A key of the platform's own, which is kept as a subject's is.
    pub(crate) async fn platform_key(&self, id: Uuid) -> Result<Arc<SubjectKey>, VaultError> {
        let key = self.find(PLATFORM, &[id]).await?.remove(&id);
        key.ok_or(VaultError::KeyMissing(id))?
            .ok_or(VaultError::Erased(id))
    }

    /// The same, made where there is none. It is copied before it is used: nothing else could take its place after a restore.
    pub(crate) async fn new_platform_key(&self, id: Uuid) -> Result<Arc<SubjectKey>, VaultError> {
        let key = match self.platform_key(id).await {
            Err(VaultError::KeyMissing(_)) => {
                self.create(PLATFORM, id).await?;
                self.platform_key(id).await
            }
            found => found,
        }?;
        self.copy(id, None).await?;
        Ok(key)
    }

    /// The keys of those of the subjects that have one of their own.
    async fn find(&self, tenant: Uuid, subjects: &[Uuid]) -> Result<Keys, VaultError> {
        let mut keys = Keys::new();
        let mut missing = Vec::new();
        for subject in subjects {
            match self.cached.get(&(tenant, *subject)) {
                Some(key) => drop(keys.insert(*subject, key)),
                None => missing.push(*subject),
            }
        }
        if missing.is_empty() {
            return Ok(keys);
        }
        let stored = match self.stored(tenant, &missing).await {
            // Wrapped anew, and the old key destroyed, between the reading and the unwrapping.
            Err(VaultError::Provider(ProviderError::UnknownKey(_))) => {
                self.stored(tenant, &missing).await?
            }
            stored => stored?,
        };
        for (subject, key) in stored {
            self.cached.insert((tenant, subject), key.clone());
            keys.insert(subject, key);
        }
        Ok(keys)
    }

    /// As the key database has them, unwrapped.
    async fn stored(
        &self,
        tenant: Uuid,
        subjects: &[Uuid],
    ) -> Result<Vec<(Uuid, Option<Arc<SubjectKey>>)>, VaultError> {
        let rows = sqlx::query!(
            "select subject_id, tenant_id, provider_key_id, wrapped_key from keys.subject where subject_id = any($1)",
            subjects
        )
        .fetch_all(&self.keys)
        .await
        .map_err(VaultError::ReadKeys)?;
        if let Some(foreign) = rows.iter().find(|row| row.tenant_id != tenant) {
            return Err(VaultError::ForeignSubject(foreign.subject_id));
        }
        let unwrapped = stream::iter(rows).map(async |row| {
            let key = match row.provider_key_id.zip(row.wrapped_key) {
                Some((wrapped_by, wrapped)) => {
                    let unwrapped = self.provider.unwrap(&wrapped_by, row.subject_id, &wrapped);
                    Some(Arc::new(unwrapped.await?))
                }
                None => None,
            };
            Ok((row.subject_id, key))
        });
        unwrapped.buffered(CALLS_AT_ONCE).try_collect().await
    }

    /// Makes and stores a key, unless one was made already.
    async fn create(&self, tenant: Uuid, id: Uuid) -> Result<(), VaultError> {
        let bucket = KeyBucket::of(id);
        let key = SubjectKey::random();
        let mut provider_key_id = self.provider.current(bucket).await?;
        for _ in 0..WRAPS_MAX {
            match self.provider.wrap(&provider_key_id, id, &key).await {
                // Renewed elsewhere, and destroyed already.
                Err(ProviderError::UnknownKey(_)) => {}
                wrapped => {
                    let new = NewKey {
                        id,
                        tenant,
                        bucket,
                        provider_key_id: &provider_key_id,
                        wrapped: wrapped?,
                    };
                    if self.store(new).await.map_err(VaultError::StoreKey)? {
                        return Ok(());
                    }
                }
            }
            provider_key_id = match self.provider.renew(&provider_key_id).await {
                Err(ProviderError::UnknownKey(_)) => self.provider.current(bucket).await?,
                renewed => renewed?,
            };
        }
        Err(VaultError::Renewing(id))
    }

    /// Answers whether there is a key then. There is none where what wraps it was renewed meanwhile.
    async fn store(&self, new: NewKey<'_>) -> Result<bool, sqlx::Error> {
        sqlx::query!(
            "insert into keys.provider_key (id) values ($1) on conflict do nothing",
            new.provider_key_id
        )
        .execute(&self.keys)
        .await?;
        // The share lock keeps what wraps from being retired between the look and the commit: nothing is left under a key that
        // is destroyed.
        sqlx::query!(
            "with k as materialized (select id from keys.provider_key where id = $4 and retired_at is null for share)
             insert into keys.subject (subject_id, tenant_id, bucket, provider_key_id, wrapped_key, holds)
             select $1, $2, $3, k.id, $5, $6 from k on conflict do nothing",
            new.id,
            new.tenant,
            new.bucket.0.cast_signed(),
            new.provider_key_id,
            new.wrapped,
            if new.tenant == PLATFORM { "platform" } else { "tree" }
        )
        .execute(&self.keys)
        .await?;
        sqlx::query_scalar!(
            r#"select exists (select from keys.subject where subject_id = $1) as "there!""#,
            new.id
        )
        .fetch_one(&self.keys)
        .await
    }
}

/// A key that was just made, wrapped.
struct NewKey<'a> {
    id: Uuid,
    tenant: Uuid,
    bucket: KeyBucket,
    provider_key_id: &'a str,
    wrapped: Vec<u8>,
}

/// Whether an envelope stands anywhere in it, or something that looks like one and is malformed.
pub(crate) fn holds_personal_data(value: &Value) -> bool {
    envelope::subjects(value).map_or(true, |subjects| !subjects.is_empty())
}

fn distinct(subjects: Vec<Uuid>) -> Vec<Uuid> {
    subjects
        .into_iter()
        .collect::<BTreeSet<_>>()
        .into_iter()
        .collect()
}
