//! Seals: what makes an alteration of the log show. All events are leaves of one Merkle tree (RFC 6962), whose root is signed
//! as the log grows, and kept outside of the database, too.

mod anchor;
mod anchoring;
mod asking;
mod audit;
mod books;
mod chain;
mod comparison;
mod findings;
mod head;
pub mod leaf;
pub mod merkle;
mod note;
mod outbox;
mod proofs;
mod sealer;
mod tombstone;
mod tree;

pub use self::anchor::{Anchor, AnchorError};
pub use self::anchoring::AnchoringError;
pub use self::audit::{Audit, AuditError, Verdict};
pub use self::books::SealError;
pub use self::chain::{ChainError, KeyChain, KeyStatement};
pub use self::findings::Finding;
pub use self::head::{SignedHead, TreeHead};
pub use self::note::{Note, NoteError, PublicKey};
pub use self::outbox::{Delivery, Next, Outbox};
pub use self::proofs::Proofs;
pub use self::sealer::{Due, Sealer};
pub use self::tombstone::{Tombstone, TombstoneError, erase_again};
