//! What keeps somebody from being erased.

use commands::CommandError;
use event_store::seal::{AnchorError, AnchoringError, SealError, TombstoneError};
use event_store::vault::VaultError;
use projections::ReadError;
use projections::positions::PositionError;
use uuid::Uuid;

/// Why somebody is not erased yet. The next round goes on from there.
#[derive(Debug, thiserror::Error)]
pub enum ErasureError {
    #[error("could not look for who is to be erased")]
    Look(#[source] ReadError),
    #[error("a command of the erasure failed")]
    Command(#[source] CommandError),
    #[error("the record is not of somebody who is erased")]
    NotErased,
    #[error("could not seal the log")]
    Seal(#[source] SealError),
    #[error("could not bring the seals to an anchor")]
    Anchoring(#[source] Box<AnchoringError>),
    #[error("could not ask anchor {name} who was erased")]
    AskAnchor { name: String, source: AnchorError },
    #[error("could not take over what anchor {name} holds")]
    TakeOver {
        name: String,
        source: Box<TombstoneError>,
    },
    #[error("could not tell anchor {name}")]
    Anchor {
        name: String,
        source: Box<TombstoneError>,
    },
    #[error("could not destroy the keys")]
    Destroy(#[source] VaultError),
    #[error("the provider has not destroyed the key that wrapped that of {subject}")]
    NotDestroyed { subject: Uuid },
    #[error("could not read the log")]
    ReadLog(#[source] sqlx::Error),
    #[error("could not read which events hold the person's data")]
    Index(#[source] VaultError),
    #[error("the event at position {position} does not decode")]
    Decode {
        position: i64,
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    #[error("could not read where the projections stand")]
    Positions(#[source] PositionError),
    #[error("the projections have not reached position {position} yet")]
    Behind { position: i64 },
    #[error("a certificate does not serialise")]
    Serialise(#[source] serde_json::Error),
}
