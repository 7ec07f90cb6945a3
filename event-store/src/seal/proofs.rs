//! Proofs that events are in the log that a head was signed for, made from the leaves that are kept.

use std::collections::HashMap;

use sqlx::PgConnection;
use uuid::Uuid;

use super::books::{self, SealError};
use super::head::SignedHead;
use super::merkle::{self, Hash, Subtrees};
use super::note::Note;
use super::tree::TILE;

/// The tree of one signed head.
pub struct Proofs {
    signed: SignedHead,
    keys: Vec<Note>,
    /// Of all tiles; the last one may not be full.
    roots: Vec<Hash>,
    /// The leaves of tiles that were asked for.
    tiles: HashMap<u64, Vec<Hash>>,
}

impl Proofs {
    /// Of the last head of an incarnation of the log. `connection` is one of [`crate::Role::Sealer`].
    pub async fn of_last_head(
        connection: &mut PgConnection,
        incarnation: Uuid,
    ) -> Result<Self, SealError> {
        let note = books::last_head_note(connection, incarnation)
            .await?
            .ok_or(SealError::NoKey)?;
        let signed: SignedHead = note.parse().map_err(SealError::Note)?;
        let size = signed.head.size;
        let mut roots = books::roots(connection, incarnation).await?;
        roots.truncate(size.div_ceil(TILE as u64) as usize);
        let mut proofs = Self {
            keys: books::key_notes(connection).await?,
            signed,
            roots,
            tiles: HashMap::new(),
        };
        // The last tile may have grown since.
        let last = (size - 1) / TILE as u64;
        let edge = merkle::root(proofs.tile(connection, last).await?);
        if let Some(root) = proofs.roots.get_mut(last as usize) {
            *root = edge;
        }
        if merkle::root(&proofs.roots) == proofs.signed.head.root {
            Ok(proofs)
        } else {
            Err(SealError::TilesDiffer { size })
        }
    }

    pub fn head(&self) -> &SignedHead {
        &self.signed
    }

    /// The statements about signing keys.
    pub fn keys(&self) -> &[Note] {
        &self.keys
    }

    /// The leaf at a position, and the hashes beside its way to the root. `None` where the head does not reach it.
    pub async fn inclusion(
        &mut self,
        connection: &mut PgConnection,
        position: i64,
    ) -> Result<Option<(Hash, Vec<Hash>)>, SealError> {
        let Some(index) = (position.cast_unsigned())
            .checked_sub(1)
            .filter(|index| *index < self.signed.head.size)
        else {
            return Ok(None);
        };
        let (tile, within) = (index / TILE as u64, (index % TILE as u64) as usize);
        // Positions come in order, as a rule: one tile is enough.
        self.tiles.retain(|kept, _| *kept == tile);
        let leaves = self.tile(connection, tile).await?;
        let leaf = leaves[within];
        let mut path = merkle::path(within, leaves).ok_or(SealError::Tile { tile })?;
        path.extend(merkle::path(tile as usize, &self.roots).ok_or(SealError::Tile { tile })?);
        Ok(Some((leaf, path)))
    }

    /// The hashes by which an earlier head's tree is shown to begin this one's.
    pub async fn consistency(
        &mut self,
        connection: &mut PgConnection,
        old: u64,
    ) -> Result<Vec<Hash>, SealError> {
        let size = self.signed.head.size;
        for edge in [old, size] {
            if edge > 0 && edge <= size {
                self.tile(connection, (edge - 1) / TILE as u64).await?;
            }
        }
        merkle::consistency(self, old, size)
    }

    /// The leaves of a tile, as far as the head reaches.
    async fn tile(
        &mut self,
        connection: &mut PgConnection,
        tile: u64,
    ) -> Result<&[Hash], SealError> {
        if !self.tiles.contains_key(&tile) {
            let leaves = books::tile(connection, self.signed.head.incarnation, tile).await?;
            let mut leaves = leaves.ok_or(SealError::Tile { tile })?;
            let count = (self.signed.head.size - tile * TILE as u64).min(TILE as u64) as usize;
            if leaves.len() < count {
                return Err(SealError::Tile { tile });
            }
            leaves.truncate(count);
            self.tiles.insert(tile, leaves);
        }
        Ok(&self.tiles[&tile])
    }
}

impl Subtrees for Proofs {
    type Error = SealError;

    fn subtree(&self, from: u64, to: u64) -> Result<Hash, SealError> {
        let (size, tile_size) = (self.signed.head.size, TILE as u64);
        let tile = from / tile_size;
        if from.is_multiple_of(tile_size) && (to.is_multiple_of(tile_size) || to == size) {
            let roots = self
                .roots
                .get(tile as usize..to.div_ceil(tile_size) as usize);
            return roots.map(merkle::root).ok_or(SealError::Tile { tile });
        }
        let first = tile * tile_size;
        self.tiles
            .get(&tile)
            .and_then(|leaves| leaves.get((from - first) as usize..(to - first) as usize))
            .map(merkle::root)
            .ok_or(SealError::Tile { tile })
    }
}
