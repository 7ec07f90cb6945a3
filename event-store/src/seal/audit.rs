//! Compares the log with what was signed for it, and names what differs.

use std::collections::BTreeMap;

use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

use super::anchor::{Anchor, AnchorError};
use super::books::{self, SealError};
use super::chain::{ChainError, KeyChain};
use super::findings::{Compared, Finding, Findings};
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
    /// The first signing key, where the auditor knows it. Else what stands at the first anchor is believed, and else what stands
    /// in the database.
    pub origin: Option<&'a PublicKey>,
}

/// What is known of the log when the comparison begins.
struct Known {
    incarnation: Uuid,
    head: i64,
    /// By size; only those that were signed by who was to sign them.
    heads: BTreeMap<u64, Hash>,
    anchored: i64,
    origin: PublicKey,
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
        let sealed = known.heads.last_key_value().map_or(0, |(size, _)| *size);
        let to = to.map_or(sealed as i64, |to| to.min(sealed as i64));
        let mut tree = Tree::default();
        let mut tile = 0;
        while tile * (TILE as u64) < sealed {
            let last = (tile + TILES_PER_READ).min(sealed.div_ceil(TILE as u64));
            let first_position = (tile * TILE as u64) as i64 + 1;
            let mut expected = Vec::new();
            let mut broken = false;
            for tile in tile..last {
                match self
                    .leaves(&mut connection, &known, &mut tree, tile)
                    .await?
                {
                    Some(leaves) => expected.extend(leaves),
                    None => {
                        broken = true;
                        break;
                    }
                }
            }
            let last_position = first_position + expected.len() as i64 - 1;
            let (begin, end) = (first_position.max(from), last_position.min(to));
            if begin <= end {
                let expected =
                    &expected[(begin - first_position) as usize..][..(end - begin + 1) as usize];
                let compared = compare(&mut connection, begin, expected).await?;
                findings.add(compared);
                progress(end, to);
            }
            if broken {
                findings.unproven(last_position + 1, sealed as i64);
                break;
            }
            tile = last;
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
        };
        for signed in outside {
            let size = signed.head.size;
            if known.take(&chain, signed, findings) {
                known.anchored = known.anchored.max(size as i64);
            }
        }
        for (size, text) in books::head_notes(connection, incarnation).await? {
            match text.parse::<SignedHead>() {
                Ok(signed) if signed.head.size == size => {
                    known.take(&chain, signed, findings);
                }
                _ => findings.head(size, "its text is malformed"),
            }
        }
        Ok(known)
    }

    /// The leaves of a tile that were signed for, taken into the tree. `None` where no copy of them is what was signed for.
    async fn leaves(
        &self,
        connection: &mut PgConnection,
        known: &Known,
        tree: &mut Tree,
        tile: u64,
    ) -> Result<Option<Vec<Hash>>, AuditError> {
        let first = tile * TILE as u64;
        let within = known.heads.range(first + 1..=first + TILE as u64);
        let heads: Vec<(usize, Hash)> = within
            .map(|(size, root)| ((size - first) as usize, *root))
            .collect();
        let count = heads.last().map_or(0, |(count, _)| *count);
        let signed = |leaves: &[Hash], tree: &Tree| {
            leaves.len() >= count
                && heads
                    .iter()
                    .all(|(count, root)| tree.root_with(&leaves[..*count]) == *root)
        };
        let mut candidates = Vec::new();
        candidates.extend(
            books::tile(connection, known.incarnation, tile)
                .await
                .ok()
                .flatten(),
        );
        if !candidates.iter().any(|leaves| signed(leaves, tree)) {
            for anchor in self.anchors {
                let copy = anchor.tile(known.incarnation, tile, count).await;
                candidates.extend(copy.map_err(|source| AuditError::Anchor {
                    name: anchor.name().to_owned(),
                    source,
                })?);
            }
            // Last, what the rows themselves say: where it was signed for, only the copy of the leaves is damaged.
            let mut rows = Vec::new();
            let to = (first as usize + count) as i64;
            leaf::read(connection, first as i64, to, |_, leaf, _| rows.push(leaf))
                .await
                .map_err(SealError::ReadLog)?;
            candidates.push(rows);
        }
        let Some(mut leaves) = candidates.into_iter().find(|leaves| signed(leaves, tree)) else {
            return Ok(None);
        };
        leaves.truncate(count);
        for leaf in &leaves {
            tree.push(*leaf);
        }
        Ok(Some(leaves))
    }
}

impl Known {
    /// Takes a head that the chain answers for. Answers whether it did.
    fn take(&mut self, chain: &KeyChain, signed: SignedHead, findings: &mut Findings) -> bool {
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
            Some(root) if *root != signed.head.root => {
                findings.head(size, "another head was signed for the same size");
                false
            }
            _ => {
                self.heads.insert(size, signed.head.root);
                true
            }
        }
    }
}

/// Compares the rows from position `begin` on with their leaves.
async fn compare<'a>(
    connection: &mut PgConnection,
    begin: i64,
    expected: &'a [Hash],
) -> Result<Compared<'a>, SealError> {
    let mut compared = Compared::new(begin, expected);
    let to = begin + expected.len() as i64 - 1;
    leaf::read(connection, begin - 1, to, |position, leaf, row| {
        compared.row(position, leaf, row);
    })
    .await
    .map_err(SealError::ReadLog)?;
    compared.classify();
    Ok(compared)
}
