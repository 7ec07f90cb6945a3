//! What is noted outside of the databases about every subject that was erased, so that putting back an old copy of the keys
//! brings nobody back.

use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, SecondsFormat, Utc};
use uuid::Uuid;

use super::anchor::{Anchor, AnchorError};
use super::chain::{ChainError, KeyChain};
use super::note::NoteError;
use crate::vault::{Vault, VaultError};

const TITLE: &str = "proofline.erased-subject";
const TENANT: &str = "tenant ";
const SUBJECT: &str = "subject ";
const ERASED_AT: &str = "erased_at ";

/// That a subject was erased. Stored at the anchor, as a signed note.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tombstone {
    pub tenant: Uuid,
    pub subject: Uuid,
    /// To the millisecond.
    pub erased_at: DateTime<Utc>,
}

impl fmt::Display for Tombstone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at = self.erased_at.to_rfc3339_opts(SecondsFormat::Millis, true);
        writeln!(f, "{TITLE}")?;
        writeln!(f, "{TENANT}{}", self.tenant)?;
        writeln!(f, "{SUBJECT}{}", self.subject)?;
        writeln!(f, "{ERASED_AT}{at}")
    }
}

impl FromStr for Tombstone {
    type Err = NoteError;

    fn from_str(text: &str) -> Result<Self, NoteError> {
        parse(text)
            .filter(|tombstone| tombstone.to_string() == text)
            .ok_or(NoteError::Malformed)
    }
}

fn parse(text: &str) -> Option<Tombstone> {
    let mut lines = text.lines();
    if lines.next()? != TITLE {
        return None;
    }
    let mut field = |name| lines.next()?.strip_prefix(name);
    Some(Tombstone {
        tenant: field(TENANT)?.parse().ok()?,
        subject: field(SUBJECT)?.parse().ok()?,
        erased_at: DateTime::parse_from_rfc3339(field(ERASED_AT)?)
            .ok()?
            .to_utc(),
    })
}

/// Why the keys could not be brought up to what the anchor knows.
#[derive(Debug, thiserror::Error)]
pub enum TombstoneError {
    #[error("could not ask anchor {name} who was erased")]
    Anchor { name: String, source: AnchorError },
    #[error("the signing keys at anchor {name} are no chain")]
    Chain { name: String, source: ChainError },
    #[error(
        "anchor {name} says that subject {subject} was erased, and no signing key has signed for it"
    )]
    NotSigned { name: String, subject: Uuid },
    #[error("could not look for the keys of erased subjects")]
    Look(#[source] VaultError),
    #[error("could not erase subject {subject} again")]
    Erase { subject: Uuid, source: VaultError },
}

/// Erases again whomever the anchor knows to be erased and the key database does not: it was put back. Answers whom. To be
/// done before anything is served.
pub async fn erase_again(anchor: &Anchor, vault: &Vault) -> Result<Vec<Uuid>, TombstoneError> {
    let failed = |source| TombstoneError::Anchor {
        name: anchor.name().to_owned(),
        source,
    };
    let erased = anchor.erased_subjects().await.map_err(failed)?;
    let returned = vault
        .not_erased(&erased)
        .await
        .map_err(TombstoneError::Look)?;
    if returned.is_empty() {
        return Ok(returned);
    }
    let keys = anchor.keys().await.map_err(failed)?;
    let chain = KeyChain::check(keys, None).map_err(|source| TombstoneError::Chain {
        name: anchor.name().to_owned(),
        source,
    })?;
    for subject in &returned {
        let note = anchor.tombstone(*subject).await.map_err(failed)?;
        let tombstone: Option<Tombstone> = note.text().parse().ok();
        let Some(tombstone) = tombstone.filter(|_| chain.has_signed(&note)) else {
            return Err(TombstoneError::NotSigned {
                name: anchor.name().to_owned(),
                subject: *subject,
            });
        };
        vault
            .erase(tombstone.tenant, &[tombstone.subject])
            .await
            .map_err(|source| TombstoneError::Erase {
                subject: *subject,
                source,
            })?;
        tracing::warn!(
            subject = %subject,
            "a subject that was erased had a key again: the keys were put back; it is erased again"
        );
    }
    Ok(returned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tombstone_has_one_spelling() {
        let tombstone = Tombstone {
            tenant: Uuid::from_u128(1),
            subject: Uuid::from_u128(2),
            erased_at: "2026-03-01T12:00:00.250Z".parse().unwrap(),
        };
        let text = tombstone.to_string();
        assert_eq!(
            text,
            "proofline.erased-subject\ntenant 00000000-0000-0000-0000-000000000001\n\
             subject 00000000-0000-0000-0000-000000000002\nerased_at 2026-03-01T12:00:00.250Z\n"
        );
        assert_eq!(text.parse(), Ok(tombstone));
        for bad in [
            "",
            "proofline.erased-subject\n",
            &format!("{text}\n"),
            &text[1..],
        ] {
            assert_eq!(bad.parse::<Tombstone>(), Err(NoteError::Malformed), "{bad}");
        }
    }
}
