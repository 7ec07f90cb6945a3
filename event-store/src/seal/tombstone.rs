//! What is noted outside of the databases about every subject that was erased, so that putting back an old copy of the keys
//! brings nobody back.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, SecondsFormat, Utc};
use futures::future;
use sqlx::PgPool;
use uuid::Uuid;

use super::anchor::{Anchor, AnchorError};
use super::books::{self, SealError};
use super::chain::{ChainError, KeyChain};
use super::note::{Note, NoteError};
use super::outbox;
use super::sealer::Sealer;
use crate::vault::{Vault, VaultError};

const TITLE: &str = "proofline.erased-subject";
const TENANT: &str = "tenant ";
const SUBJECT: &str = "subject ";
const ERASED_AT: &str = "erased_at ";
/// A store that is far answers many at once as fast as one.
const READ_AT_ONCE: usize = 32;

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

/// Why tombstones could not be set or heeded.
#[derive(Debug, thiserror::Error)]
pub enum TombstoneError {
    #[error("could not write to anchor {name}")]
    Write { name: String, source: AnchorError },
    #[error("could not ask anchor {name} who was erased")]
    Read { name: String, source: AnchorError },
    #[error("could not note what anchor {name} holds")]
    Note { name: String, source: SealError },
    #[error("could not read who signs")]
    Keys(#[source] SealError),
    #[error("could not read what was anchored")]
    Anchored(#[source] sqlx::Error),
    #[error("seals were anchored, and {name} has none: it is not the anchor, or was emptied")]
    Empty { name: String },
    #[error("the signing keys at anchor {name} are no chain")]
    Chain { name: String, source: ChainError },
    #[error("anchor {name} holds other statements about signing keys than the database")]
    OtherKeys { name: String },
    #[error(
        "anchor {name} says that subject {subject} was erased, and no signing key has signed for it"
    )]
    NotSigned { name: String, subject: Uuid },
    #[error("could not look for the keys of erased subjects")]
    Look(#[source] VaultError),
    #[error("could not erase subjects of {tenant} again")]
    Erase { tenant: Uuid, source: VaultError },
}

impl Tombstone {
    /// Notes it at an anchor. Where the subject was erased before, in a time that the log has lost since, that stands. Answers
    /// what stands.
    pub async fn put(&self, anchor: &Anchor, note: Note) -> Result<Note, TombstoneError> {
        let put = anchor.put_tombstone(self.subject, &note).await;
        let Err(AnchorError::Differs { .. }) = put else {
            let put = put.map(|()| note);
            return put.map_err(|source| TombstoneError::Write {
                name: anchor.name().to_owned(),
                source,
            });
        };
        let chain = chain(anchor).await?;
        let (standing, note) = read(anchor, chain.as_ref(), self.subject).await?;
        if standing.tenant == self.tenant {
            Ok(note)
        } else {
            Err(TombstoneError::NotSigned {
                name: anchor.name().to_owned(),
                subject: self.subject,
            })
        }
    }
}

impl Sealer {
    /// Notes tombstones as they stand at the anchor, for whoever is told of every note.
    pub async fn note_tombstones(&self, tombstones: &[(Uuid, Note)]) -> Result<(), SealError> {
        outbox::note_tombstones(&self.pool, tombstones).await
    }

    /// The same with those of subjects whose tombstones nobody noted: from a time that the log has lost since, or of processes of an
    /// earlier build.
    pub async fn take_tombstones_over(
        &self,
        anchor: &Anchor,
        subjects: &[Uuid],
    ) -> Result<(), TombstoneError> {
        let failed = |source| TombstoneError::Note {
            name: anchor.name().to_owned(),
            source,
        };
        let new = outbox::not_noted(&self.pool, subjects).await;
        let new = new.map_err(failed)?;
        if new.is_empty() {
            return Ok(());
        }
        let chain = chain(anchor).await?;
        // One that can't be read keeps no other from being noted.
        let mut unread = Ok(());
        for some in new.chunks(READ_AT_ONCE) {
            let read = some
                .iter()
                .map(|subject| read(anchor, chain.as_ref(), *subject));
            let mut notes = Vec::with_capacity(some.len());
            for read in future::join_all(read).await {
                match read {
                    Ok((tombstone, note)) => notes.push((tombstone.subject, note)),
                    Err(error) => unread = unread.and(Err(error)),
                }
            }
            self.note_tombstones(&notes).await.map_err(failed)?;
        }
        unread
    }
}

/// Erases again whomever the anchor knows to be erased and the key database does not: it was put back. Answers whom. To be
/// done before anything is served. `pool` connects as [`crate::Role::Sealer`]: an anchor is believed that goes with the
/// database's own statements about who signs.
pub async fn erase_again(
    pool: &PgPool,
    anchor: &Anchor,
    vault: &Vault,
) -> Result<Vec<Uuid>, TombstoneError> {
    let chain = check_is_the_anchor(pool, anchor).await?;
    let erased = anchor.erased_subjects().await;
    let erased = erased.map_err(|source| TombstoneError::Read {
        name: anchor.name().to_owned(),
        source,
    })?;
    let returned = vault.not_erased(&erased).await;
    let returned = returned.map_err(TombstoneError::Look)?;
    if returned.is_empty() {
        return Ok(returned);
    }
    let mut by_tenant: BTreeMap<Uuid, Vec<Uuid>> = BTreeMap::new();
    for subject in &returned {
        let (tombstone, _) = read(anchor, chain.as_ref(), *subject).await?;
        by_tenant
            .entry(tombstone.tenant)
            .or_default()
            .push(*subject);
    }
    for (tenant, subjects) in by_tenant {
        let erased = vault.erase(tenant, &subjects).await;
        erased.map_err(|source| TombstoneError::Erase { tenant, source })?;
        tracing::warn!(
            tenant = %tenant,
            subjects = subjects.len(),
            "subjects that were erased had keys again: these were put back; they are erased again"
        );
    }
    Ok(returned)
}

/// Who signs, by the anchor, which must go with what the database says of that. `None` where neither knows anybody.
async fn check_is_the_anchor(
    pool: &PgPool,
    anchor: &Anchor,
) -> Result<Option<KeyChain>, TombstoneError> {
    let name = || anchor.name().to_owned();
    let mut connection = pool.acquire().await.map_err(TombstoneError::Anchored)?;
    let own = books::chain(&mut connection).await;
    let own = own.map_err(TombstoneError::Keys)?;
    let theirs = chain(anchor).await?;
    match (&own, &theirs) {
        (Some(own), Some(theirs)) if !own.agrees_with(theirs) => {
            return Err(TombstoneError::OtherKeys { name: name() });
        }
        (Some(_), None) => {
            let anchored = sqlx::query_scalar!(
                r#"select exists (select from es.anchored_heads) as "anchored!""#
            );
            let anchored = anchored.fetch_one(&mut *connection).await;
            if anchored.map_err(TombstoneError::Anchored)? {
                return Err(TombstoneError::Empty { name: name() });
            }
        }
        (Some(_), Some(_)) | (None, _) => {}
    }
    Ok(theirs)
}

/// Who signs, by the anchor. `None` where it holds no statement about that.
async fn chain(anchor: &Anchor) -> Result<Option<KeyChain>, TombstoneError> {
    let name = || anchor.name().to_owned();
    let keys = anchor.keys().await;
    let keys = keys.map_err(|source| TombstoneError::Read {
        name: name(),
        source,
    })?;
    if keys.is_empty() {
        return Ok(None);
    }
    let chain = KeyChain::check(keys, None);
    chain.map(Some).map_err(|source| TombstoneError::Chain {
        name: name(),
        source,
    })
}

/// What stands about a subject, signed.
async fn read(
    anchor: &Anchor,
    chain: Option<&KeyChain>,
    subject: Uuid,
) -> Result<(Tombstone, Note), TombstoneError> {
    let name = || anchor.name().to_owned();
    let note = anchor.tombstone(subject).await;
    let note = note.map_err(|source| TombstoneError::Read {
        name: name(),
        source,
    })?;
    let tombstone: Option<Tombstone> = note.text().parse().ok();
    let is_signed = chain.is_some_and(|chain| chain.has_signed(&note));
    let signed = |tombstone: &Tombstone| tombstone.subject == subject && is_signed;
    tombstone
        .filter(signed)
        .map(|tombstone| (tombstone, note))
        .ok_or_else(|| TombstoneError::NotSigned {
            name: name(),
            subject,
        })
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
