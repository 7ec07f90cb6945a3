//! Why a command was not done.

use domain::DomainError;
use event_store::vault::VaultError;
use event_store::{AppendError, StoreError};

/// Except for [`CommandError::Unavailable`], nothing was appended.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// A rule of the domain was broken.
    #[error("{0}")]
    Refused(Box<dyn DomainError>),
    /// What the command names is not there, or belongs to another account.
    #[error("not found")]
    NotFound,
    #[error("the aggregate is at version {actual}")]
    VersionMismatch { actual: i64 },
    #[error("the key was used for another request")]
    KeyReused,
    /// The person that the command tells of was erased.
    #[error("the person was erased")]
    SubjectErased,
    /// Another aggregate has what the command claims. Which one and whose is told to nobody.
    #[error("taken by another aggregate")]
    Taken,
    #[error("others kept changing the aggregate")]
    Contended,
    #[error("too many commands wait already")]
    Overloaded,
    /// The outcome may be unknown; repeating the command under its key settles it.
    #[error("the event store is not available")]
    Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
    #[error("the event store holds or was given what it should not")]
    Internal(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl From<StoreError> for CommandError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::NotFound => Self::NotFound,
            StoreError::ReadLog(_)
            | StoreError::ReadHead(_)
            | StoreError::ReadEvents(_)
            | StoreError::ReadSnapshot(_)
            | StoreError::ReadCommand(_)
            | StoreError::ReadTag(_) => Self::Unavailable(Box::new(error)),
            StoreError::Open { ref source, .. } if source.is_transient() => {
                Self::Unavailable(Box::new(error))
            }
            StoreError::Open { .. } | StoreError::Decode { .. } | StoreError::Encode { .. } => {
                Self::Internal(Box::new(error))
            }
        }
    }
}

impl From<AppendError> for CommandError {
    fn from(error: AppendError) -> Self {
        match error {
            // The executor decides a conflict again; whoever does not is out of luck once.
            AppendError::Conflict { .. } => Self::Contended,
            AppendError::ConditionFailed { .. } => Self::Taken,
            AppendError::KeyReused => Self::KeyReused,
            AppendError::NotFound => Self::NotFound,
            AppendError::Overloaded => Self::Overloaded,
            AppendError::Seal(ref source) if source.is_transient() => {
                Self::Unavailable(Box::new(error))
            }
            AppendError::Seal(ref source) if matches!(**source, VaultError::Erased(_)) => {
                Self::SubjectErased
            }
            AppendError::Unavailable(_) | AppendError::Ended => Self::Unavailable(Box::new(error)),
            AppendError::Closed | AppendError::Seal(_) | AppendError::Rejected(_) => {
                Self::Internal(Box::new(error))
            }
        }
    }
}
