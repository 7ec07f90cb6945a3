//! What anchors know is asked before anything is signed.

use sqlx::{PgConnection, Postgres, Transaction};
use uuid::Uuid;

use super::anchoring;
use super::books::{self, SealError, lock};
use super::head::SignedHead;
use super::note::Note;
use super::sealer::{Log, Sealer, look};
use crate::pool::begin;

/// What stands outside about the log as it was when somebody asked.
pub(super) struct Seen {
    incarnation: Uuid,
    sealed: Option<SignedHead>,
    anchors: Vec<SeenAt>,
}

struct SeenAt {
    name: String,
    keys: Vec<Note>,
    last: Option<SignedHead>,
}

impl Seen {
    /// Whether nothing was signed since. What was, has to be asked about as well: it may be forged, too.
    pub(super) fn is_about(&self, log: &Log) -> bool {
        self.incarnation == log.incarnation && self.sealed == log.sealed
    }

    /// Compares with it. Keys that only an anchor knows are taken over, as after a restore; a head that only an anchor knows
    /// says that the database was put back or altered, and nothing is signed on top of that.
    pub(super) async fn compare(self, tx: &mut PgConnection) -> Result<(), SealError> {
        for SeenAt { name, keys, last } in self.anchors {
            let here = books::key_notes(tx).await?;
            if here.iter().zip(&keys).any(|(here, there)| here != there) {
                return Err(SealError::OtherKeys { name });
            }
            for note in keys.iter().skip(here.len()) {
                books::write_key(tx, note).await?;
            }
            if let Some(last) = last
                && !books::has_head(tx, &last).await?
            {
                let size = last.head.size;
                return Err(SealError::AnchorAhead { name, size });
            }
        }
        Ok(())
    }
}

impl Sealer {
    /// Asks every anchor, also where nothing is to be signed for the log: before something else is signed.
    pub async fn ask_anchors(&self) -> Result<(), SealError> {
        let (tx, _) = self.asked().await?;
        tx.commit().await.map_err(SealError::Write)
    }

    /// What was asked about, and nobody signs on top of meanwhile.
    pub(super) async fn asked(&self) -> Result<(Transaction<'static, Postgres>, Log), SealError> {
        loop {
            let seen = self.ask(&self.look().await?).await?;
            let mut tx = begin(&self.pool).await.map_err(SealError::Write)?;
            lock(&mut tx).await?;
            let log = look(&mut tx).await?;
            if seen.is_about(&log) {
                seen.compare(&mut tx).await?;
                return Ok((tx, log));
            }
        }
    }

    /// Asks every anchor what was signed.
    pub(super) async fn ask(&self, log: &Log) -> Result<Seen, SealError> {
        let incarnation = log.incarnation;
        let mut anchors = Vec::new();
        for anchor in &self.anchors {
            let name = anchor.name().to_owned();
            let failed = |error| SealError::Anchor {
                name: name.clone(),
                source: Box::new(error),
            };
            let noted = anchoring::anchored(&self.pool, anchor, incarnation).await?;
            anchors.push(SeenAt {
                keys: anchor.keys().await.map_err(failed)?,
                last: anchor.last_head(incarnation, noted).await.map_err(failed)?,
                name,
            });
        }
        Ok(Seen {
            incarnation,
            sealed: log.sealed.clone(),
            anchors,
        })
    }
}
