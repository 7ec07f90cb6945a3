//! The tree as it is kept: its leaves in tiles.

use super::merkle::{self, Frontier, Hash};

/// Leaves in a full tile. A power of two, so that full tiles are perfect subtrees and the tree over the roots of all tiles is
/// the tree over all leaves. Stored; never change.
pub(super) const TILE: usize = 4096;

/// A tree that grows at its right edge.
#[derive(Clone, Debug, Default)]
pub(super) struct Tree {
    full: Frontier,
    /// The leaves of the last tile, which is not full.
    edge: Vec<Hash>,
}

impl Tree {
    pub(super) fn of<'a>(full: impl IntoIterator<Item = &'a Hash>, edge: Vec<Hash>) -> Self {
        Self {
            full: Frontier::of(full),
            edge,
        }
    }

    pub(super) fn size(&self) -> u64 {
        self.full.size() * TILE as u64 + self.edge.len() as u64
    }

    /// Which tile the edge is, from 0.
    pub(super) fn edge_tile(&self) -> u64 {
        self.full.size()
    }

    /// Of the tree as it would be with these leaves in the last tile.
    pub(super) fn root_with(&self, edge: &[Hash]) -> Hash {
        let mut whole = self.full.clone();
        if !edge.is_empty() {
            whole.push(merkle::root(edge));
        }
        whole.root()
    }

    pub(super) fn root(&self) -> Hash {
        self.root_with(&self.edge)
    }

    /// Appends a leaf. Answers the tile that it filled.
    pub(super) fn push(&mut self, leaf: Hash) -> Option<Vec<Hash>> {
        self.edge.push(leaf);
        (self.edge.len() == TILE).then(|| {
            let tile = std::mem::take(&mut self.edge);
            self.full.push(merkle::root(&tile));
            tile
        })
    }

    pub(super) fn edge(&self) -> &[Hash] {
        &self.edge
    }
}

/// Leaves as bytes.
pub(super) fn to_bytes(leaves: &[Hash]) -> Vec<u8> {
    leaves.concat()
}

/// `None` where the bytes are not leaves.
pub(super) fn from_bytes(bytes: &[u8]) -> Option<Vec<Hash>> {
    let (leaves, rest) = bytes.as_chunks::<32>();
    (rest.is_empty() && leaves.len() <= TILE).then(|| leaves.to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tree_in_tiles_has_the_root_of_its_leaves() {
        let leaves: Vec<Hash> = (0..3 * TILE as u32 + 5)
            .map(|n| merkle::leaf(&n.to_be_bytes()))
            .collect();
        let mut tree = Tree::default();
        let mut tiles = Vec::new();
        for (count, leaf) in leaves.iter().enumerate() {
            tiles.extend(tree.push(*leaf));
            if count % 1000 == 0 || count % TILE > TILE - 3 {
                assert_eq!(tree.root(), merkle::root(&leaves[..=count]), "{count}");
            }
        }
        assert_eq!((tree.size(), tree.edge_tile()), (leaves.len() as u64, 3));
        assert_eq!(tiles.concat(), leaves[..3 * TILE]);
        let roots: Vec<Hash> = tiles.iter().map(|tile| merkle::root(tile)).collect();
        let again = Tree::of(&roots, tree.edge().to_vec());
        assert_eq!(again.root(), tree.root());
    }

    #[test]
    fn leaves_survive_their_bytes() {
        let leaves = vec![[1; 32], [2; 32]];
        assert_eq!(from_bytes(&to_bytes(&leaves)), Some(leaves));
        assert_eq!(from_bytes(&[0; 33]), None);
        assert_eq!(from_bytes(&vec![0; 32 * (TILE + 1)]), None);
    }
}
