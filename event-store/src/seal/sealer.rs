//! Signs for the log as it grows.

use std::convert::Infallible;
use std::time::Duration;

use chrono::{DateTime, SubsecRound as _, Utc};
use ed25519_dalek::SigningKey;
use sqlx::{PgConnection, PgPool};
use tokio::sync::Mutex;
use uuid::Uuid;

use super::anchor::Anchor;
use super::anchoring::{self, AnchoringError};
use super::books::{self, SealError, lock};
use super::chain::{KeyChain, KeyStatement, key_name};
use super::head::{SignedHead, TreeHead};
use super::leaf;
use super::merkle::Hash;
use super::note::{Note, PublicKey};
use super::tree::{TILE, Tree};
use crate::pool::{begin, recognise_cluster};
use crate::vault::Vault;

/// How often it looks whether there is something to sign.
const EVERY: Duration = Duration::from_secs(1);
/// After this, events that fill no tile are signed for, too.
const UNSEALED_MAX: chrono::TimeDelta = chrono::TimeDelta::seconds(60);
/// Read at once, within the limit on a statement's time.
const TILES_PER_ROUND: i64 = 16;
/// In place of a person's id: the signing keys are kept as subjects' keys are. The lowest bits are the key's number.
const SEED_IDS: Uuid = Uuid::from_u128(0x7072_6f6f_666c_8000_8000_7365_616c_0000);

/// Which events to sign for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Due {
    /// Full tiles at once, the others after a minute.
    InTime,
    /// All of them.
    Now,
}

/// Signs tree heads: one for each 4,096 events, and one a minute where there are fewer. Several processes may: they take
/// turns.
pub struct Sealer {
    pub(super) pool: PgPool,
    vault: Vault,
    pub(super) anchors: Vec<Anchor>,
    known: Mutex<Option<Known>>,
    /// Statements of keys that every anchor has.
    anchored_keys: Mutex<usize>,
}

/// What was signed last, by this process.
struct Known {
    incarnation: Uuid,
    tree: Tree,
}

impl Known {
    fn is_of(&self, log: &Log) -> bool {
        self.incarnation == log.incarnation && self.tree.size() == log.sealed() as u64
    }
}

/// What a round of sealing writes down.
#[derive(Default)]
struct Round {
    tiles: Vec<(u64, Vec<Hash>)>,
    heads: Vec<SignedHead>,
}

pub(super) struct Log {
    pub(super) incarnation: Uuid,
    head: i64,
    now: DateTime<Utc>,
    pub(super) sealed: Option<SignedHead>,
}

/// The key that signs now.
struct Signer {
    number: u32,
    name: String,
    key: SigningKey,
}

impl Signer {
    fn new(number: u32, seed: &[u8; 32]) -> Self {
        Self {
            number,
            name: key_name(number),
            key: SigningKey::from_bytes(seed),
        }
    }

    fn note(&self, text: String) -> Result<Note, SealError> {
        let signed = Note::new(text).and_then(|note| note.signed(&self.name, &self.key));
        signed.map_err(SealError::Note)
    }

    fn head(&self, head: TreeHead) -> Result<SignedHead, SealError> {
        let note = self.note(head.to_string())?;
        Ok(SignedHead { head, note })
    }
}

impl Sealer {
    /// `pool` connects as [`crate::Role::Sealer`].
    pub fn new(pool: PgPool, vault: Vault, anchors: Vec<Anchor>) -> Self {
        Self {
            pool,
            vault,
            anchors,
            known: Mutex::default(),
            anchored_keys: Mutex::default(),
        }
    }

    /// Seals as events come, and anchors what is sealed. Neither waits for the other.
    pub async fn run(&self) -> Infallible {
        let sealing = async {
            loop {
                match self.seal(Due::InTime).await {
                    Ok(sealed) => metrics::gauge!("proofline_sealed_position").set(sealed as f64),
                    Err(error) => failed("seal", &error),
                }
                tokio::time::sleep(EVERY).await;
            }
        };
        let anchoring = async {
            loop {
                if let Err(error) = self.anchor().await {
                    failed("anchor", &error);
                }
                tokio::time::sleep(EVERY).await;
            }
        };
        let (never, _): (_, Infallible) = tokio::join!(sealing, anchoring);
        never
    }

    /// Brings every head that was signed to every anchor. One anchor's failure does not keep the others from theirs; the first
    /// is answered.
    pub async fn anchor(&self) -> Result<(), AnchoringError> {
        let mut anchored = Ok(());
        for anchor in &self.anchors {
            anchored = anchored.and(anchoring::anchor(&self.pool, anchor).await);
        }
        anchored
    }

    /// Signs for what is due. Answers up to which position the log is sealed.
    pub async fn seal(&self, due: Due) -> Result<i64, SealError> {
        loop {
            let (sealed, left) = self.round(due).await?;
            if !left {
                return Ok(sealed);
            }
        }
    }

    /// Signs a text by the key that signs heads now, and that every anchor knows.
    pub async fn sign(&self, text: String) -> Result<Note, SealError> {
        let mut connection = self.pool.acquire().await.map_err(SealError::Read)?;
        let chain = books::chain(&mut connection).await?;
        drop(connection);
        let chain = chain.ok_or(SealError::NoKey)?;
        self.anchor_keys(&chain).await?;
        let last = chain.last().ok_or(SealError::NoKey)?;
        self.signer(last).await?.note(text)
    }

    /// Tells every anchor of the keys, before anything else that they signed comes there.
    async fn anchor_keys(&self, chain: &KeyChain) -> Result<(), SealError> {
        let mut anchored = self.anchored_keys.lock().await;
        for (place, note) in chain.notes().enumerate().skip(*anchored) {
            for anchor in &self.anchors {
                let put = anchor.put_key(place + 1, note).await;
                put.map_err(|error| SealError::Anchor {
                    name: anchor.name().to_owned(),
                    source: Box::new(error),
                })?;
            }
            *anchored = place + 1;
        }
        Ok(())
    }

    /// Introduces a new signing key, which signs from the next head on, and destroys the one before it.
    pub async fn rotate(&self) -> Result<PublicKey, SealError> {
        let (mut tx, log) = self.asked().await?;
        let chain = books::chain(&mut tx).await?.ok_or(SealError::NoKey)?;
        let last = chain.last().ok_or(SealError::NoKey)?;
        let introducer = self.signer(last).await?;
        let number = last.number + 1;
        let seed = self.vault.new_platform_key(seed_id(number)).await;
        let signer = Signer::new(number, seed.map_err(SealError::Key)?.expose());
        let after = log.sealed.as_ref().map_or(0, |sealed| sealed.head.size);
        let key = introduce(&mut tx, &introducer, &signer, &log, after).await?;
        let chain = books::chain(&mut tx).await?.ok_or(SealError::NoKey)?;
        tx.commit().await.map_err(SealError::Write)?;
        tracing::info!(number, key = %key, "introduced a new signing key");
        let anchored = self.anchor_keys(&chain).await;
        anchored.map_err(|error| SealError::NotAnchored(error.into()))?;
        self.destroy_before(number).await?;
        Ok(key)
    }

    /// Destroys every signing key before this one. There are some after a restore of keys from before they were replaced, and
    /// nothing can be destroyed that wraps them.
    async fn destroy_before(&self, number: u32) -> Result<(), SealError> {
        let earlier: Vec<Uuid> = (1..number).map(seed_id).collect();
        if earlier.is_empty() {
            return Ok(());
        }
        let destroyed = self.vault.erase_platform_keys(&earlier).await;
        destroyed.map_err(SealError::DestroyKey)
    }

    /// Answers up to where the log is sealed, and whether more is due.
    async fn round(&self, due: Due) -> Result<(i64, bool), SealError> {
        let mut known = self.known.lock().await;
        let log = self.look().await?;
        if log.due(due).is_none() {
            return Ok((log.sealed(), false));
        }
        // What this process did not sign itself, it does not build on before it has asked outside: before others wait for it.
        let seen = match &*known {
            Some(known) if known.is_of(&log) => None,
            _ => Some(self.ask(&log).await?),
        };
        let mut tx = begin(&self.pool).await.map_err(SealError::Write)?;
        lock(&mut tx).await?;
        let log = look(&mut tx).await?;
        let (sealed, Some(to)) = (log.sealed(), log.due(due)) else {
            return Ok((log.sealed(), false));
        };
        let (mut tree, has_asked) = match (known.take(), seen) {
            (Some(known), _) if known.is_of(&log) => (known.tree, false),
            (_, Some(seen)) if seen.is_about(&log) => {
                seen.compare(&mut tx).await?;
                (books::tree(&mut tx, log.incarnation).await?, true)
            }
            // Another process was faster, so that there is something to ask for.
            _ => return Ok((sealed, true)),
        };
        let signer = self.current(&mut tx, &log).await?;
        // What stands there was signed for: on anything else nothing may be built.
        if let Some(signed) = &log.sealed
            && (tree.size() != signed.head.size || tree.root() != signed.head.root)
        {
            return Err(SealError::TilesDiffer {
                size: signed.head.size,
            });
        }
        let to_now = to.min(sealed + TILES_PER_ROUND * TILE as i64);
        let round = grow(&mut tx, &mut tree, to_now, &log, &signer).await?;
        books::write(&mut tx, log.incarnation, &round.tiles, &round.heads).await?;
        tx.commit().await.map_err(SealError::Write)?;
        if has_asked {
            self.destroy_before(signer.number).await?;
        }
        let sealed = tree.size() as i64;
        *known = Some(Known {
            incarnation: log.incarnation,
            tree,
        });
        metrics::counter!("proofline_tree_heads_signed_total").increment(round.heads.len() as u64);
        tracing::debug!(
            event.position = sealed,
            heads = round.heads.len(),
            "sealed the log"
        );
        Ok((sealed, sealed < to))
    }

    pub(super) async fn look(&self) -> Result<Log, SealError> {
        let mut connection = self.pool.acquire().await.map_err(SealError::Read)?;
        look(&mut connection).await
    }

    /// The key that signs for this incarnation, which has told so before the first head.
    async fn current(&self, tx: &mut PgConnection, log: &Log) -> Result<Signer, SealError> {
        let chain = books::chain(tx).await?;
        let Some(last) = chain.as_ref().and_then(KeyChain::last) else {
            let seed = self.vault.new_platform_key(seed_id(1)).await;
            let signer = Signer::new(1, seed.map_err(SealError::Key)?.expose());
            introduce(tx, &signer, &signer, log, 0).await?;
            return Ok(signer);
        };
        let signer = self.signer(last).await?;
        if last.incarnation != log.incarnation {
            introduce(tx, &signer, &signer, log, 0).await?;
        }
        Ok(signer)
    }

    /// The key that a statement speaks of: never another one, whatever the key database holds.
    async fn signer(&self, statement: &KeyStatement) -> Result<Signer, SealError> {
        let number = statement.number;
        let seed = self.vault.platform_key(seed_id(number)).await;
        let signer = Signer::new(number, seed.map_err(SealError::Key)?.expose());
        if signer.key.verifying_key().as_bytes() == statement.key.as_bytes() {
            Ok(signer)
        } else {
            Err(SealError::OtherKey { number })
        }
    }
}

async fn introduce(
    tx: &mut PgConnection,
    introducer: &Signer,
    signer: &Signer,
    log: &Log,
    after: u64,
) -> Result<PublicKey, SealError> {
    let key = PublicKey::new(&signer.name, signer.key.verifying_key().as_bytes())
        .map_err(SealError::Note)?;
    let statement = KeyStatement {
        number: signer.number,
        key: key.clone(),
        incarnation: log.incarnation,
        after,
        created_at: log.now,
    };
    let note = introducer.note(statement.to_string())?;
    books::write_key(tx, &note).await?;
    Ok(key)
}

fn seed_id(number: u32) -> Uuid {
    Uuid::from_u128(SEED_IDS.as_u128() | u128::from(number))
}

fn failed(step: &'static str, error: &dyn std::error::Error) {
    tracing::error!(error = %error, source = ?error.source(), step, "the log could not be sealed or anchored");
    metrics::counter!("proofline_seal_failures_total", "step" => step).increment(1);
}

impl Log {
    /// Up to which position it is.
    fn sealed(&self) -> i64 {
        self.sealed
            .as_ref()
            .map_or(0, |sealed| sealed.head.size as i64)
    }

    /// Up to which position it is to be. `None` where it is.
    fn due(&self, due: Due) -> Option<i64> {
        let to = match due {
            Due::Now => self.head,
            Due::InTime if self.is_overdue() => self.head,
            Due::InTime => self.head - self.head % TILE as i64,
        };
        (to > self.sealed()).then_some(to)
    }

    /// Whether the last signature is older than a minute.
    fn is_overdue(&self) -> bool {
        self.sealed
            .as_ref()
            .is_none_or(|sealed| self.now - sealed.head.signed_at >= UNSEALED_MAX)
    }

    fn tree_head(&self, tree: &Tree) -> TreeHead {
        TreeHead {
            incarnation: self.incarnation,
            size: tree.size(),
            root: tree.root(),
            signed_at: self.now,
        }
    }
}

pub(super) async fn look(tx: &mut PgConnection) -> Result<Log, SealError> {
    recognise_cluster(tx).await.map_err(SealError::ReadLog)?;
    let row = sqlx::query!(
        r#"select l.incarnation, clock_timestamp() as "now!",
                  coalesce((select position from es.events order by position desc limit 1), 0) as "head!",
                  (select h.note from es.tree_heads h where h.incarnation = l.incarnation order by h.size desc limit 1) as note
           from es.log l where l.name = 'events'"#
    )
    .fetch_one(tx)
    .await
    .map_err(SealError::ReadLog)?;
    let sealed: Option<SignedHead> = row
        .note
        .map(|note| note.parse())
        .transpose()
        .map_err(SealError::Note)?;
    if let Some(sealed) = &sealed
        && sealed.head.size as i64 > row.head
    {
        return Err(SealError::LostTail {
            sealed: sealed.head.size as i64,
            head: row.head,
        });
    }
    Ok(Log {
        incarnation: row.incarnation,
        head: row.head,
        now: row.now.trunc_subsecs(3),
        sealed,
    })
}

/// Takes the events up to `to` into the tree, and signs for each full tile and for the end.
async fn grow(
    tx: &mut PgConnection,
    tree: &mut Tree,
    to: i64,
    log: &Log,
    signer: &Signer,
) -> Result<Round, SealError> {
    let mut leaves = Vec::new();
    let after = tree.size() as i64;
    let mut gap = None;
    leaf::read(tx, after, to, |position, leaf, _| {
        let expected = after + 1 + leaves.len() as i64;
        if position != expected && gap.is_none() {
            gap = Some((expected, position));
        }
        leaves.push(leaf);
    })
    .await
    .map_err(SealError::ReadLog)?;
    if let Some((expected, found)) = gap {
        return Err(SealError::NotContiguous { expected, found });
    }
    let mut round = Round::default();
    for leaf in leaves {
        let tile = tree.edge_tile();
        if let Some(full) = tree.push(leaf) {
            round.tiles.push((tile, full));
            round.heads.push(signer.head(log.tree_head(tree))?);
        }
    }
    if !tree.edge().is_empty() {
        round.tiles.push((tree.edge_tile(), tree.edge().to_vec()));
        round.heads.push(signer.head(log.tree_head(tree))?);
    }
    Ok(round)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_fills_no_tile_is_signed_for_after_a_minute() {
        let signer = Signer::new(1, &[7; 32]);
        let signed_at = DateTime::UNIX_EPOCH;
        let head = TreeHead {
            incarnation: Uuid::from_u128(1),
            size: 5_000,
            root: [0; 32],
            signed_at,
        };
        let after = |seconds, head_position| Log {
            incarnation: head.incarnation,
            head: head_position,
            now: signed_at + chrono::TimeDelta::seconds(seconds),
            sealed: Some(signer.head(head.clone()).unwrap()),
        };
        assert_eq!(after(59, 5_001).due(Due::InTime), None);
        assert_eq!(after(60, 5_001).due(Due::InTime), Some(5_001));
        assert_eq!(after(60, 5_000).due(Due::InTime), None);
        assert_eq!(after(1, 5_001).due(Due::Now), Some(5_001));
        assert_eq!(after(1, 8_200).due(Due::InTime), Some(8_192));
    }
}
