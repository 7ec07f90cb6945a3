//! A key tree: one seed that the keys of any number of subjects derive from, and that keys can be taken out of for ever.
//!
//! It is a puncturable pseudorandom function: the binary tree of Goldreich, Goldwasser and Micali (1986), in which every node's
//! seed derives from its parent's and a subject's key is a leaf's. To take a leaf out, the seeds on the path to it are given up
//! and those beside the path kept, from which everybody else's key derives as before (Boneh and Waters 2013, section 4). Nobody
//! is noted when they come: a tree that nobody was taken out of is 32 bytes, and each who was adds at most 96 seeds.
//!
//! Stored for ever: a leaf's path is the first 96 bits of SHA-256 over `proofline.leaf.1` and the subject's 16 bytes; with as many
//! as a hundred million subjects in a tree, that two of them share a leaf has a probability below 10^-13. The seed below a node
//! is SHA-256 over `proofline.node.1`, the node's seed, and one byte, 0 for left and 1 for right.

use sha2::{Digest as _, Sha256};
use uuid::Uuid;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use super::SubjectKey;

const LEAF_DOMAIN: &[u8] = b"proofline.leaf.1";
const NODE_DOMAIN: &[u8] = b"proofline.node.1";
/// Levels below the root.
const DEPTH: u8 = 96;
const LEAF_BYTES: usize = 12;
const SEED_BYTES: usize = 32;
const NODE_BYTES: usize = LEAF_BYTES + 1 + SEED_BYTES;

/// The path to a subject's key, from the root down.
#[derive(Clone, Copy, Debug, Zeroize, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Leaf([u8; LEAF_BYTES]);

impl Leaf {
    pub(super) fn of(subject: Uuid) -> Self {
        let digest = digest(subject);
        Self(digest[..LEAF_BYTES].try_into().expect("it is longer"))
    }

    /// In the lower 96 bits.
    fn bits(self) -> u128 {
        let mut wide = [0; 16];
        wide[16 - LEAF_BYTES..].copy_from_slice(&self.0);
        u128::from_be_bytes(wide)
    }

    fn from_bits(bits: u128) -> Self {
        let wide = bits.to_be_bytes();
        Self(wide[16 - LEAF_BYTES..].try_into().expect("it is longer"))
    }

    /// Whether the path goes right to reach this depth, which is 1 below the root.
    fn is_right(self, depth: u8) -> bool {
        self.bits() >> (DEPTH - depth) & 1 == 1
    }

    /// The leftmost leaf below the node that a path leaves aside when it reaches this depth.
    fn beside(self, depth: u8) -> Self {
        let below = u32::from(DEPTH - depth);
        Self::from_bits((self.bits() >> below ^ 1) << below)
    }

    /// How many levels two paths have in common.
    fn shared_with(self, other: Self) -> u8 {
        let differing = self.bits() ^ other.bits();
        u8::try_from(differing.leading_zeros() - (u128::BITS - u32::from(DEPTH)))
            .expect("at most 96")
    }
}

/// What paths and shards are taken from.
pub(super) fn digest(subject: Uuid) -> [u8; 32] {
    let mut hash = Sha256::new();
    hash.update(LEAF_DOMAIN);
    hash.update(subject.as_bytes());
    hash.finalize().into()
}

type Seed = Zeroizing<[u8; SEED_BYTES]>;

/// The nodes whose leaves are all there and whose parents' are not, from left to right: the root alone as long as nobody was
/// taken out. Wiped when dropped.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub(super) struct Tree(Vec<Node>);

#[derive(Clone, Zeroize)]
struct Node {
    /// The leftmost leaf below it.
    first: Leaf,
    depth: u8,
    seed: [u8; SEED_BYTES],
}

impl Tree {
    pub(super) fn whole(root: &SubjectKey) -> Self {
        Self(vec![Node {
            first: Leaf([0; LEAF_BYTES]),
            depth: 0,
            seed: *root.expose(),
        }])
    }

    /// The key of a leaf; `None` where it was taken out.
    pub(super) fn key(&self, leaf: Leaf) -> Option<SubjectKey> {
        let node = self.above(leaf)?;
        let mut seed = Zeroizing::new(node.seed);
        for depth in node.depth + 1..=DEPTH {
            seed = child(&seed, leaf.is_right(depth));
        }
        SubjectKey::from_slice(&*seed)
    }

    pub(super) fn has(&self, leaf: Leaf) -> bool {
        self.above(leaf).is_some()
    }

    /// Takes a leaf out: nobody finds its key any more, whatever they know of what is left. Every other leaf's stays as it is.
    pub(super) fn puncture(&mut self, leaf: Leaf) {
        let Some(above) = self.above(leaf) else {
            return;
        };
        let (mut seed, depth) = (Zeroizing::new(above.seed), above.depth);
        // With room for all: what has to grow leaves copies behind.
        let mut left = Vec::with_capacity(self.0.len() + usize::from(DEPTH - depth));
        left.extend(self.0.iter().filter(|node| !node.leads_to(leaf)).cloned());
        for depth in depth + 1..=DEPTH {
            let right = leaf.is_right(depth);
            left.push(Node {
                first: leaf.beside(depth),
                depth,
                seed: *child(&seed, !right),
            });
            seed = child(&seed, right);
        }
        left.sort_unstable_by_key(|node| node.first);
        *self = Self(left);
    }

    /// The node that the leaf is below of.
    fn above(&self, leaf: Leaf) -> Option<&Node> {
        let before = self.0.partition_point(|node| node.first <= leaf);
        self.0[..before].last().filter(|node| node.leads_to(leaf))
    }

    /// Of each node 12 bytes of the leftmost leaf, one of depth, and 32 of the seed.
    pub(super) fn to_bytes(&self) -> Zeroizing<Vec<u8>> {
        let mut bytes = Zeroizing::new(Vec::with_capacity(self.0.len() * NODE_BYTES));
        for node in &self.0 {
            bytes.extend_from_slice(&node.first.0);
            bytes.push(node.depth);
            bytes.extend_from_slice(&node.seed);
        }
        bytes
    }

    /// `None` where the length is none that was stored.
    pub(super) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (nodes, rest) = bytes.as_chunks::<NODE_BYTES>();
        let mut tree = Self(Vec::with_capacity(nodes.len()));
        for node in nodes {
            let (first, node) = node.split_first_chunk()?;
            let (depth, seed) = node.split_first()?;
            tree.0.push(Node {
                first: Leaf(*first),
                depth: *depth,
                seed: seed.try_into().ok()?,
            });
        }
        rest.is_empty().then_some(tree)
    }

    /// What it takes in memory.
    pub(super) fn bytes(&self) -> usize {
        self.0.len() * size_of::<Node>()
    }
}

impl Node {
    fn leads_to(&self, leaf: Leaf) -> bool {
        self.first.shared_with(leaf) >= self.depth
    }
}

fn child(seed: &[u8; SEED_BYTES], right: bool) -> Seed {
    let mut hash = Sha256::new();
    hash.update(NODE_DOMAIN);
    hash.update(seed);
    hash.update([u8::from(right)]);
    Zeroizing::new(hash.finalize().into())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    fn whole() -> Tree {
        Tree::whole(&SubjectKey::from_slice(&[7; 32]).unwrap())
    }

    fn key(tree: &Tree, subject: u128) -> Option<[u8; 32]> {
        let key = tree.key(Leaf::of(Uuid::from_u128(subject)));
        key.map(|key| *key.expose())
    }

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// Stored for ever: what is sealed opens by them. Computed with another implementation of SHA-256.
    #[test]
    fn what_derives_from_a_tree_stays_what_it_is() {
        let leaf = Leaf::of(Uuid::from_u128(1));
        assert_eq!(hex(&leaf.0), "9232d93746192fe1132c5bdc");
        assert_eq!(
            hex(&key(&whole(), 1).unwrap()),
            "ee641f888736def973f2bd1e9728e41aedb8eea26aa1eb2b99bf8a7d32204e75"
        );
    }

    #[test]
    fn who_was_taken_out_has_no_key_and_everybody_else_the_same_one() {
        let mut tree = whole();
        let before: BTreeMap<u128, _> = (0..200).map(|one| (one, key(&tree, one))).collect();
        for out in 0..50 {
            tree.puncture(Leaf::of(Uuid::from_u128(out)));
            let again = tree.clone();
            tree.puncture(Leaf::of(Uuid::from_u128(out)));
            assert_eq!(tree.to_bytes(), again.to_bytes(), "once more is the same");
        }
        for (one, before) in before {
            let expected = if one < 50 { None } else { before };
            assert_eq!(key(&tree, one), expected, "{one}");
        }
        assert!(tree.to_bytes().len() < 50 * 96 * NODE_BYTES);
    }

    /// Leaves that share long paths, where random ones hardly share any.
    fn close() -> impl Strategy<Value = Leaf> {
        prop_oneof![0..8_u128, (0..8_u128).prop_map(|low| (1 << 96) - 1 - low)]
            .prop_map(Leaf::from_bits)
    }

    proptest! {
        /// No seed that is kept is one on the path to who was taken out.
        #[test]
        fn nothing_on_the_path_to_who_was_taken_out_is_kept(out in prop::collection::vec(close(), 1..12), other in close()) {
            let mut tree = whole();
            let expected = tree.key(other).map(|key| *key.expose());
            for leaf in &out {
                tree.puncture(*leaf);
            }
            let kept = tree.to_bytes();
            let given_up = out.iter().flat_map(|leaf| path(*leaf));
            for seed in given_up {
                prop_assert!(!kept.windows(32).any(|window| window == &seed[..]));
            }
            let expected = expected.filter(|_| !out.contains(&other));
            prop_assert_eq!(tree.key(other).map(|key| *key.expose()), expected);
            let read = Tree::from_bytes(&kept).unwrap();
            prop_assert_eq!(read.to_bytes(), kept.clone());
            prop_assert!(Tree::from_bytes(&kept[1..]).is_none());
        }
    }

    /// Every seed from the root to the leaf.
    fn path(leaf: Leaf) -> Vec<[u8; 32]> {
        let mut seed = Zeroizing::new([7; 32]);
        let mut path = vec![*seed];
        for depth in 1..=DEPTH {
            seed = child(&seed, leaf.is_right(depth));
            path.push(*seed);
        }
        path
    }
}
