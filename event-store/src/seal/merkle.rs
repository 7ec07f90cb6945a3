//! The Merkle tree of RFC 6962, section 2.1, over SHA-256: roots, proofs that a leaf is in a tree, proofs that one tree
//! begins with another, and their verification after RFC 9162, sections 2.1.3.2 and 2.1.4.2.

use sha2::{Digest as _, Sha256};

/// SHA-256 of a leaf or of two nodes.
pub type Hash = [u8; 32];

const LEAF: [u8; 1] = [0];
const NODE: [u8; 1] = [1];

/// The hash of a leaf of these bytes.
pub fn leaf(bytes: &[u8]) -> Hash {
    let mut hasher = Sha256::new_with_prefix(LEAF);
    hasher.update(bytes);
    hasher.finalize().into()
}

fn node(left: &Hash, right: &Hash) -> Hash {
    let mut hasher = Sha256::new_with_prefix(NODE);
    hasher.update(left);
    hasher.update(right);
    hasher.finalize().into()
}

/// What is left of a tree to go on with it: the roots of its perfect subtrees, from left to right.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Frontier {
    size: u64,
    peaks: Vec<Hash>,
}

impl Frontier {
    pub fn of<'a>(hashes: impl IntoIterator<Item = &'a Hash>) -> Self {
        let mut frontier = Self::default();
        for hash in hashes {
            frontier.push(*hash);
        }
        frontier
    }

    /// Appends a leaf's hash, or that of a subtree where all are of subtrees of one size.
    pub fn push(&mut self, hash: Hash) {
        let mut merged = hash;
        for _ in 0..self.size.trailing_ones() {
            let left = self.peaks.pop().expect("a peak for each bit of the size");
            merged = node(&left, &merged);
        }
        self.peaks.push(merged);
        self.size += 1;
    }

    pub fn size(&self) -> u64 {
        self.size
    }

    /// Of the empty tree it is the hash of nothing.
    pub fn root(&self) -> Hash {
        let folded = self.peaks.iter().rev().copied();
        folded
            .reduce(|right, left| node(&left, &right))
            .unwrap_or_else(|| Sha256::digest([]).into())
    }
}

/// The root of the tree over these leaves' hashes.
pub fn root(hashes: &[Hash]) -> Hash {
    Frontier::of(hashes).root()
}

/// The hashes beside the way from a leaf to the root, from the leaf on. `None` where there is no such leaf.
pub fn path(index: usize, hashes: &[Hash]) -> Option<Vec<Hash>> {
    if index >= hashes.len() {
        return None;
    }
    let mut path = Vec::new();
    let (mut index, mut hashes) = (index, hashes);
    while hashes.len() > 1 {
        let (left, right) = hashes.split_at(split(hashes.len()));
        if index < left.len() {
            path.push(root(right));
            hashes = left;
        } else {
            path.push(root(left));
            index -= left.len();
            hashes = right;
        }
    }
    path.reverse();
    Some(path)
}

/// The largest power of two below `size`, which is at least 2.
fn split(size: usize) -> usize {
    1 << (size - 1).ilog2()
}

/// The root of a tree of `size` leaves in which `leaf` stands at `index`, by its path. `None` where the path is none of such
/// a tree.
pub fn root_by_path(leaf: Hash, index: u64, size: u64, path: &[Hash]) -> Option<Hash> {
    if index >= size {
        return None;
    }
    let (mut index, mut last, mut hash) = (index, size - 1, leaf);
    for beside in path {
        if last == 0 {
            return None;
        }
        if index % 2 == 1 || index == last {
            hash = node(beside, &hash);
            while index % 2 == 0 && index != 0 {
                index /= 2;
                last /= 2;
            }
        } else {
            hash = node(&hash, beside);
        }
        index /= 2;
        last /= 2;
    }
    (last == 0).then_some(hash)
}

/// A tree whose subtrees can be asked for their roots.
pub trait Subtrees {
    type Error;

    /// The root over leaves `from..to`, which is a perfect subtree or the tree's right edge.
    fn subtree(&self, from: u64, to: u64) -> Result<Hash, Self::Error>;
}

/// The hashes by which the tree of the first `old` leaves is shown to begin the tree of `size`. Empty where there is
/// nothing to show.
pub fn consistency<T: Subtrees>(tree: &T, old: u64, size: u64) -> Result<Vec<Hash>, T::Error> {
    let mut proof = Vec::new();
    if old == 0 || old >= size {
        return Ok(proof);
    }
    let (mut from, mut to) = (0, size);
    // Whether what is left of the old tree is the old tree as a whole, whose root the verifier has.
    let mut whole = true;
    while old != to {
        let middle = from + (1 << (to - from - 1).ilog2());
        if old <= middle {
            proof.push(tree.subtree(middle, to)?);
            to = middle;
        } else {
            proof.push(tree.subtree(from, middle)?);
            from = middle;
            whole = false;
        }
    }
    if !whole {
        proof.push(tree.subtree(from, to)?);
    }
    proof.reverse();
    Ok(proof)
}

/// Whether the proof shows that the tree of `old` leaves with this root begins the tree of `size` leaves with that root.
pub fn is_consistent(old: u64, old_root: Hash, size: u64, new_root: Hash, proof: &[Hash]) -> bool {
    if old == size {
        return proof.is_empty() && old_root == new_root;
    }
    if old == 0 || old > size {
        return false;
    }
    let first = if old.is_power_of_two() {
        Some(old_root)
    } else {
        None
    };
    let mut hashes = first.into_iter().chain(proof.iter().copied());
    let Some(seed) = hashes.next() else {
        return false;
    };
    let (mut index, mut last) = (old - 1, size - 1);
    while index % 2 == 1 {
        index /= 2;
        last /= 2;
    }
    let (mut begins, mut ends) = (seed, seed);
    for beside in hashes {
        if last == 0 {
            return false;
        }
        if index % 2 == 1 || index == last {
            begins = node(&beside, &begins);
            ends = node(&beside, &ends);
            while index % 2 == 0 && index != 0 {
                index /= 2;
                last /= 2;
            }
        } else {
            ends = node(&ends, &beside);
        }
        index /= 2;
        last /= 2;
    }
    last == 0 && begins == old_root && ends == new_root
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;

    /// Leaves of the test suite of Certificate Transparency's first implementation.
    const LEAVES: [&str; 8] = [
        "",
        "00",
        "10",
        "2021",
        "3031",
        "40414243",
        "5051525354555657",
        "606162636465666768696a6b6c6d6e6f",
    ];

    fn bytes(hex: &str) -> Vec<u8> {
        (0..hex.len())
            .step_by(2)
            .map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap())
            .collect()
    }

    fn hashes(count: usize) -> Vec<Hash> {
        (0..count).map(|n| leaf(&n.to_be_bytes())).collect()
    }

    fn hex(hash: Hash) -> String {
        hash.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    struct InMemory(Vec<Hash>);

    impl Subtrees for InMemory {
        type Error = Infallible;

        fn subtree(&self, from: u64, to: u64) -> Result<Hash, Infallible> {
            Ok(root(&self.0[from as usize..to as usize]))
        }
    }

    #[test]
    fn roots_are_those_of_certificate_transparency() {
        let all: Vec<Hash> = LEAVES.iter().map(|hex| leaf(&bytes(hex))).collect();
        let roots = [
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
            "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
            "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
            "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
            "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
            "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
            "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
            "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
            "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
        ];
        for (count, expected) in roots.into_iter().enumerate() {
            assert_eq!(hex(root(&all[..count])), expected, "{count} leaves");
        }
    }

    #[test]
    fn every_leaf_of_every_tree_has_a_path_that_leads_to_its_root_and_nothing_else_has() {
        for size in 1..=40 {
            let all = hashes(size);
            let root = root(&all);
            for index in 0..size {
                let path = path(index, &all).unwrap();
                let by_path = |index: usize, path: &[Hash]| {
                    root_by_path(all[index], index as u64, size as u64, path)
                };
                assert_eq!(by_path(index, &path), Some(root), "{index} of {size}");
                assert_ne!(
                    root_by_path(leaf(b"another"), index as u64, size as u64, &path),
                    Some(root)
                );
                if size > 1 {
                    assert_ne!(by_path(index, &path[1..]), Some(root));
                    assert_ne!(by_path((index + 1) % size, &path), Some(root));
                }
                let longer = [path, vec![root]].concat();
                assert_ne!(by_path(index, &longer), Some(root));
            }
            assert_eq!(path(size, &all), None);
        }
    }

    #[test]
    fn every_tree_is_shown_to_begin_every_longer_one_and_no_other() {
        let tree = InMemory(hashes(40));
        let root = |size: u64| root(&tree.0[..size as usize]);
        for size in 1..=40 {
            for old in 1..=size {
                let Ok(proof) = consistency(&tree, old, size);
                assert!(
                    is_consistent(old, root(old), size, root(size), &proof),
                    "{old} of {size}"
                );
                assert!(!is_consistent(old, leaf(b"x"), size, root(size), &proof));
                assert!(!is_consistent(old, root(old), size, leaf(b"x"), &proof));
                if !proof.is_empty() {
                    assert!(!is_consistent(
                        old,
                        root(old),
                        size,
                        root(size),
                        &proof[1..]
                    ));
                    let mut altered = proof.clone();
                    altered[0][0] ^= 1;
                    assert!(!is_consistent(old, root(old), size, root(size), &altered));
                }
            }
        }
    }

    /// A tile is a perfect subtree: the tree over the roots of tiles is the tree over their leaves.
    #[test]
    fn the_roots_of_equal_parts_make_the_root_of_the_whole() {
        for size in 1..=70 {
            let all = hashes(size);
            let parts: Vec<Hash> = all.chunks(8).map(root).collect();
            assert_eq!(root(&parts), root(&all), "{size}");
        }
    }
}
