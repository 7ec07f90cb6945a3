//! Who holds the keys that wrap the subjects' keys.

use std::error::Error;
use std::io;
use std::path::PathBuf;

use chrono::{DateTime, Utc};
use futures::future::BoxFuture;
use uuid::Uuid;

use super::{KeyBucket, SubjectKey};

/// How many keys wrap everybody's at a time. Which bucket shares which rests on it; never change.
pub(super) const KEY_BUCKETS: u16 = 64;

/// Wraps and unwraps the keys of trees, and those that subjects or the platform have of their own, under bucket keys that never leave
/// it. Each call names the id of what it wraps (`subject`) as associated data, so a wrapped key opens for that only.
pub trait KeyProvider: Send + Sync {
    /// The name of the key that new keys of this bucket are wrapped under.
    fn current(&self, bucket: KeyBucket) -> BoxFuture<'_, Result<String, ProviderError>>;

    /// Wraps under the key of that name.
    fn wrap<'a>(
        &'a self,
        key_id: &'a str,
        subject: Uuid,
        key: &'a SubjectKey,
    ) -> BoxFuture<'a, Result<Vec<u8>, ProviderError>>;

    /// Unwraps what [`KeyProvider::wrap`] returned under the key of that name.
    fn unwrap<'a>(
        &'a self,
        key_id: &'a str,
        subject: Uuid,
        wrapped: &'a [u8],
    ) -> BoxFuture<'a, Result<SubjectKey, ProviderError>>;

    /// Whether it has a key of that name, so that what this wrapped can be opened.
    fn holds<'a>(&'a self, key_id: &'a str) -> BoxFuture<'a, Result<bool, ProviderError>>;

    /// Puts a new key in the place of this one, which can still unwrap. Answers the new one's name; where one took its
    /// place already, the name of that.
    fn renew<'a>(&'a self, key_id: &'a str) -> BoxFuture<'a, Result<String, ProviderError>>;

    /// Destroys a key that was renewed: what it wrapped opens no more. Doing so again is no error.
    fn destroy<'a>(&'a self, key_id: &'a str) -> BoxFuture<'a, Result<Destroyed, ProviderError>>;
}

/// What a provider says of a key that it destroyed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Destroyed {
    /// The provider's own word for what it did.
    pub receipt: String,
    /// From then on nobody can undo it.
    pub final_at: DateTime<Utc>,
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
    #[error("key {0} is in use")]
    InUse(String),
    #[error("a wrapped key does not open: it was altered, or belongs to another subject")]
    Refused,
    #[error("the key provider can't be reached, or can't serve now")]
    Unreachable(#[source] Box<dyn Error + Send + Sync>),
    #[error("the key provider denies it to this process")]
    Denied(#[source] Box<dyn Error + Send + Sync>),
    #[error("the key provider answered what nobody expects")]
    Unexpected(#[source] Box<dyn Error + Send + Sync>),
    #[error("could not agree in the key database on which key is current")]
    Agree(#[source] sqlx::Error),
}

impl ProviderError {
    /// Whether the same attempt may succeed later, as it does where only an operator has to give a permission back.
    pub fn is_transient(&self) -> bool {
        matches!(
            self,
            Self::Unreachable(_) | Self::Denied(_) | Self::Agree(_)
        )
    }
}
