//! Compares the log with what was signed for it, and names what differs.

use std::collections::{BTreeMap, BTreeSet};

use object_store::path::Path;
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

use super::anchor::{Anchor, AnchorError};
use super::books::{self, SealError};
use super::chain::{ChainError, KeyChain};
use super::comparison::Comparison;
use super::findings::{Finding, Findings};
use super::head::SignedHead;
use super::leaf;
use super::merkle::Hash;
use super::note::PublicKey;
use super::tree::{TILE, Tree};

/// Tiles whose rows are read at once, within the limit on a statement's time.
const TILES_PER_READ: u64 = 16;

/// Why the log could not be compared.
#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    #[error("could not read the seals")]
    Seal(#[from] SealError),
    #[error("could not read anchor {name}")]
    Anchor { name: String, source: AnchorError },
    #[error("the signing keys can't be trusted")]
    Keys(#[source] ChainError),
    #[error("there is no position {0} to begin at")]
    From(i64),
}

/// What was found.
#[derive(Debug)]
pub struct Verdict {
    pub incarnation: Uuid,
    /// The first and the last position that were compared; nothing was where the last is the smaller one.
    pub from: i64,
    pub to: i64,
    /// The log's last position.
    pub head: i64,
    /// Up to here there are signatures.
    pub sealed: i64,
    /// Up to here somebody outside of the database holds one, so that also who can write into the database, and has the signing
    /// key, can't alter the log unnoticed. 0 where there is no anchor.
    pub anchored: i64,
    /// The key that everything rests on.
    pub origin: PublicKey,
    pub findings: Vec<Finding>,
    /// How many there are, where not all are listed.
    pub findings_count: u64,
}

impl Verdict {
    pub fn is_clean(&self) -> bool {
        self.findings_count == 0
    }
}

/// Compares. `pool` connects as [`crate::Role::Sealer`].
pub struct Audit<'a> {
    pub pool: &'a PgPool,
    pub anchors: &'a [Anchor],
    /// A signing key, where the auditor knows one. Else what stands at the anchors is believed, and else what stands in the
    /// database.
    pub origin: Option<&'a PublicKey>,
    /// Earlier incarnations of the log of which it is known that a restore lost their end.
    pub restored: &'a [Uuid],
}

/// What is known of the log when the comparison begins.
struct Known {
    incarnation: Uuid,
    head: i64,
    /// By size; only those that were signed by who was to sign them.
    heads: BTreeMap<u64, Head>,
    anchored: i64,
    origin: PublicKey,
    /// What was signed for other incarnations of the log, by size.
    others: BTreeMap<Uuid, BTreeMap<u64, Hash>>,
}

#[derive(Clone, Copy)]
struct Head {
    root: Hash,
    is_anchored: bool,
}

/// How far a comparison has come.
#[derive(Default)]
struct Walk {
    /// Of what was signed for.
    tree: Tree,
    /// Where each anchor has the log's leaves; looked up when they are first needed.
    parts: Option<Vec<BTreeMap<u64, Path>>>,
    /// Whether the next tile is lost.
    is_broken: bool,
    /// Up to where other incarnations are the same as this one.
    agreed: BTreeMap<Uuid, u64>,
    /// Which of them are not, somewhere.
    differing: BTreeSet<Uuid>,
}

impl Audit<'_> {
    /// Compares the events from `from` to `to`, or to the end of what was sealed, with what was signed for. `progress` is told
    /// which position was reached, and the last one.
    pub async fn verify(
        &self,
        from: i64,
        to: Option<i64>,
        mut progress: impl FnMut(i64, i64),
    ) -> Result<Verdict, AuditError> {
        if from < 1 {
            return Err(AuditError::From(from));
        }
        let mut connection = self.pool.acquire().await.map_err(SealError::Read)?;
        let mut findings = Findings::default();
        let known = self.look(&mut connection, &mut findings).await?;
        let sealed = known.sealed();
        let to = to.map_or(sealed as i64, |to| to.min(sealed as i64));
        if from == 1 {
            // Nothing was signed for there, since nothing can be there.
            leaf::read(&mut connection, i64::MIN, 0, |position, _, _| {
                findings.inserted(position);
            })
            .await
            .map_err(SealError::ReadLog)?;
        }
        let mut walk = Walk::default();
        let mut compared = Comparison::new(from);
        let mut unproven = None;
        while walk.tree.size() < sealed {
            let begin = walk.tree.size() as i64 + 1;
            let expected = self
                .expected(&mut connection, &known, &mut walk, &mut findings)
                .await?;
            let end = begin + expected.len() as i64 - 1;
            let (first, last) = (begin.max(from), end.min(to));
            if first <= last {
                let expected = &expected[(first - begin) as usize..=(last - begin) as usize];
                compare(&mut connection, &mut compared, first, expected).await?;
                progress(last, to);
            }
            if walk.is_broken {
                unproven = Some(end + 1);
                break;
            }
        }
        findings.add(compared.finish());
        if let Some(from) = unproven {
            findings.unproven(from, sealed as i64);
        }
        for (incarnation, heads) in &known.others {
            let last = heads.last_key_value().map_or(0, |(size, _)| *size);
            let agreed = walk.agreed.get(incarnation).copied().unwrap_or(0);
            let differs = walk.differing.contains(incarnation) || agreed < last;
            if differs && !self.restored.contains(incarnation) {
                findings.rewritten(*incarnation, agreed, last);
            }
        }
        let (findings, findings_count) = findings.finish();
        Ok(Verdict {
            incarnation: known.incarnation,
            from,
            to,
            head: known.head,
            sealed: sealed as i64,
            anchored: known.anchored,
            origin: known.origin,
            findings,
            findings_count,
        })
    }

    /// Collects the heads that can be believed, from here and from the anchors.
    async fn look(
        &self,
        connection: &mut PgConnection,
        findings: &mut Findings,
    ) -> Result<Known, AuditError> {
        let log = sqlx::query!(
            r#"select incarnation,
                      coalesce((select position from es.events order by position desc limit 1), 0) as "head!"
               from es.log where name = 'events'"#
        )
        .fetch_one(&mut *connection)
        .await
        .map_err(SealError::ReadLog)?;
        let incarnation = log.incarnation;
        let here = books::key_notes(connection).await?;
        let mut chains = Vec::new();
        let mut outside = Vec::new();
        for anchor in self.anchors {
            let failed = |source| AuditError::Anchor {
                name: anchor.name().to_owned(),
                source,
            };
            chains.push(anchor.keys().await.map_err(failed)?);
            outside.extend(anchor.heads(incarnation).await.map_err(failed)?);
        }
        // Whoever may write into the database can't shorten what an anchor holds.
        let outside_keys = chains.into_iter().max_by_key(Vec::len).unwrap_or_default();
        let anchored = match outside_keys.is_empty() {
            true => None,
            false => Some(KeyChain::check(outside_keys, self.origin).map_err(AuditError::Keys)?),
        };
        let origin = anchored.as_ref().and_then(KeyChain::origin);
        let chain = match (KeyChain::check(here, self.origin.or(origin)), anchored) {
            (Ok(here), Some(anchored)) if !here.agrees_with(&anchored) => {
                findings
                    .keys("the anchor holds other statements about signing keys than the database");
                anchored
            }
            (Ok(here), Some(anchored)) if anchored.notes().count() > here.notes().count() => {
                findings.keys("statements about signing keys are missing from the database");
                anchored
            }
            (Ok(here), _) => here,
            (Err(error), Some(anchored)) => {
                findings.keys(&error.to_string());
                anchored
            }
            (Err(error), None) => return Err(AuditError::Keys(error)),
        };
        let origin = chain
            .origin()
            .cloned()
            .ok_or(AuditError::Keys(ChainError::Empty))?;
        let mut known = Known {
            incarnation,
            head: log.head,
            heads: BTreeMap::new(),
            anchored: 0,
            origin,
            others: BTreeMap::new(),
        };
        for other in chain.incarnations() {
            if other != incarnation {
                let heads = self.heads_of_other(connection, &chain, other).await?;
                known.others.insert(other, heads);
            }
        }
        for signed in outside {
            let size = signed.head.size;
            if known.take(&chain, signed, true, findings) {
                known.anchored = known.anchored.max(size as i64);
            }
        }
        for (size, text) in books::head_notes(connection, incarnation).await? {
            match text.parse::<SignedHead>() {
                Ok(signed) if signed.head.size == size => {
                    known.take(&chain, signed, false, findings);
                }
                _ => findings.head(size, "its text is malformed"),
            }
        }
        Ok(known)
    }

    /// What was signed for another incarnation of the log, here and outside.
    async fn heads_of_other(
        &self,
        connection: &mut PgConnection,
        chain: &KeyChain,
        incarnation: Uuid,
    ) -> Result<BTreeMap<u64, Hash>, AuditError> {
        let mut signed: Vec<SignedHead> = Vec::new();
        for anchor in self.anchors {
            let heads = anchor.heads(incarnation).await;
            signed.extend(heads.map_err(|source| AuditError::Anchor {
                name: anchor.name().to_owned(),
                source,
            })?);
        }
        let here = books::head_notes(connection, incarnation).await?;
        signed.extend(here.iter().filter_map(|(_, note)| note.parse().ok()));
        let believed = signed.into_iter().rev().filter(|signed: &SignedHead| {
            signed.head.incarnation == incarnation && chain.check_head(signed).is_ok()
        });
        // What an anchor holds comes last, and so counts.
        Ok(believed
            .map(|signed| (signed.head.size, signed.head.root))
            .collect())
    }

    /// The leaves of the next tiles that were signed for, which are taken into the tree.
    async fn expected(
        &self,
        connection: &mut PgConnection,
        known: &Known,
        walk: &mut Walk,
        findings: &mut Findings,
    ) -> Result<Vec<Hash>, AuditError> {
        let mut expected = Vec::new();
        for _ in 0..TILES_PER_READ {
            if walk.tree.size() >= known.sealed() {
                break;
            }
            let tile = walk.tree.edge_tile();
            let Some(leaves) = self.leaves(connection, known, walk, tile).await? else {
                walk.is_broken = true;
                break;
            };
            known.check_heads(&walk.tree, tile, &leaves, findings);
            known.compare_others(walk, tile, &leaves);
            for leaf in &leaves {
                walk.tree.push(*leaf);
            }
            expected.extend(leaves);
        }
        Ok(expected)
    }

    /// The leaves of a tile that were signed for, behind those of the tree. `None` where no copy of them is what was signed for.
    async fn leaves(
        &self,
        connection: &mut PgConnection,
        known: &Known,
        walk: &mut Walk,
        tile: u64,
    ) -> Result<Option<Vec<Hash>>, AuditError> {
        let first = tile * TILE as u64;
        let heads = known.heads_of(tile);
        let count = heads.last().map_or(0, |(count, _)| *count);
        let last = first + count as u64;
        // Every full tile has a head of its own, unless somebody removed it.
        if count < TILE && last < known.sealed() {
            return Ok(None);
        }
        // What is anchored decides, and else the last word.
        let mut deciding: Vec<_> = heads.iter().filter(|(_, head)| head.is_anchored).collect();
        if deciding.is_empty() {
            deciding.extend(heads.last());
        }
        let tree = &walk.tree;
        let is_signed = |leaves: &Vec<Hash>| {
            leaves.len() >= count
                && deciding
                    .iter()
                    .all(|(count, head)| tree.root_with(&leaves[..*count]) == head.root)
        };
        let here = books::tile(connection, known.incarnation, tile).await.ok();
        let mut found = here.flatten().filter(is_signed);
        if found.is_none() {
            let parts = match &mut walk.parts {
                Some(parts) => parts,
                none => none.insert(self.parts(known.incarnation).await?),
            };
            for (anchor, parts) in self.anchors.iter().zip(&*parts) {
                let copy = anchor.read_leaves(parts, first, last).await;
                let copy = copy.map_err(|source| AuditError::Anchor {
                    name: anchor.name().to_owned(),
                    source,
                })?;
                found = found.or(Some(copy).filter(is_signed));
            }
        }
        if found.is_none() {
            // Where the rows themselves are what was signed for, only the copies of their leaves are damaged.
            let mut rows = Vec::new();
            leaf::read(connection, first as i64, last as i64, |_, leaf, _| {
                rows.push(leaf)
            })
            .await
            .map_err(SealError::ReadLog)?;
            found = Some(rows).filter(is_signed);
        }
        Ok(found.map(|mut leaves| {
            leaves.truncate(count);
            leaves
        }))
    }

    async fn parts(&self, incarnation: Uuid) -> Result<Vec<BTreeMap<u64, Path>>, AuditError> {
        let mut parts = Vec::new();
        for anchor in self.anchors {
            let listed = anchor.leaves(incarnation).await;
            parts.push(listed.map_err(|source| AuditError::Anchor {
                name: anchor.name().to_owned(),
                source,
            })?);
        }
        Ok(parts)
    }
}

impl Known {
    /// The size of the last head.
    fn sealed(&self) -> u64 {
        self.heads.last_key_value().map_or(0, |(size, _)| *size)
    }

    /// The heads within a tile, by how many of its leaves they reach over.
    fn heads_of(&self, tile: u64) -> Vec<(usize, Head)> {
        let first = tile * TILE as u64;
        self.heads
            .range(first + 1..=first + TILE as u64)
            .map(|(size, head)| ((size - first) as usize, *head))
            .collect()
    }

    /// Names the heads of a tile whose root is not that of the leaves up to there.
    fn check_heads(&self, tree: &Tree, tile: u64, leaves: &[Hash], findings: &mut Findings) {
        for (count, head) in self.heads_of(tile) {
            if tree.root_with(&leaves[..count]) != head.root {
                let size = tile * TILE as u64 + count as u64;
                findings.head(size, "its root is not that of the events up to there");
            }
        }
    }

    /// Notes how far other incarnations are the same.
    fn compare_others(&self, walk: &mut Walk, tile: u64, leaves: &[Hash]) {
        let first = tile * TILE as u64;
        for (incarnation, heads) in &self.others {
            for (size, root) in heads.range(first + 1..=first + leaves.len() as u64) {
                if walk.tree.root_with(&leaves[..(size - first) as usize]) != *root {
                    walk.differing.insert(*incarnation);
                } else if !walk.differing.contains(incarnation) {
                    walk.agreed.insert(*incarnation, *size);
                }
            }
        }
    }

    /// Takes a head that the chain answers for. Answers whether it did.
    fn take(
        &mut self,
        chain: &KeyChain,
        signed: SignedHead,
        is_anchored: bool,
        findings: &mut Findings,
    ) -> bool {
        let size = signed.head.size;
        if signed.head.incarnation != self.incarnation {
            findings.head(size, "it is a head of another log");
            return false;
        }
        if let Err(error) = chain.check_head(&signed) {
            findings.head(size, &error.to_string());
            return false;
        }
        match self.heads.get(&size) {
            Some(head) if head.root != signed.head.root => {
                findings.head(size, "another head was signed for the same size");
                false
            }
            Some(_) => true,
            None => {
                let root = signed.head.root;
                self.heads.insert(size, Head { root, is_anchored });
                true
            }
        }
    }
}

/// Compares the rows from position `begin` on with their leaves.
async fn compare(
    connection: &mut PgConnection,
    log: &mut Comparison,
    begin: i64,
    expected: &[Hash],
) -> Result<(), SealError> {
    let mut compared = log.stretch(begin, expected);
    let to = begin + expected.len() as i64 - 1;
    leaf::read(connection, begin - 1, to, |position, leaf, row| {
        compared.row(position, leaf, row);
    })
    .await
    .map_err(SealError::ReadLog)?;
    compared.end();
    Ok(())
}
