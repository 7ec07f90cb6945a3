//! Owners are spread over buckets by a hash that is part of the stored format, and buckets over virtual shards.

use sha2::{Digest, Sha256};
use uuid::Uuid;

/// How many buckets there are. Stored with every event; never changed.
pub const BUCKETS: u16 = 1024;

/// How many virtual shards a projection has. Changing the number is a rebuild.
pub const SHARDS: u16 = 64;

/// The unit of sharding, of order across aggregates, and of parking: a hash of the event's owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Bucket(u16);

/// One of the [`SHARDS`] virtual shards, each a contiguous range of buckets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Shard(u16);

impl Bucket {
    /// The first two bytes, big-endian, of SHA-256 over the owner's 16 bytes, modulo [`BUCKETS`].
    pub fn of(owner: Uuid) -> Self {
        let digest = Sha256::digest(owner.as_bytes());
        Self(u16::from_be_bytes([digest[0], digest[1]]) % BUCKETS)
    }

    /// A stored bucket. `None` where it is out of range, which no row that passed its constraints is.
    pub fn from_stored(stored: i16) -> Option<Self> {
        u16::try_from(stored)
            .ok()
            .filter(|bucket| *bucket < BUCKETS)
            .map(Self)
    }

    pub fn as_i16(self) -> i16 {
        self.0.cast_signed()
    }

    pub fn shard(self) -> Shard {
        Shard(self.0 / (BUCKETS / SHARDS))
    }
}

impl Shard {
    pub fn all() -> impl Iterator<Item = Self> {
        (0..SHARDS).map(Self)
    }

    pub fn index(self) -> usize {
        usize::from(self.0)
    }

    pub fn as_i16(self) -> i16 {
        self.0.cast_signed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Stored with every event: this table may grow and never change.
    #[test]
    fn buckets_of_known_owners_stay_what_they_are() {
        let owner = |text| Bucket::of(Uuid::parse_str(text).unwrap()).as_i16();
        assert_eq!(owner("00000000-0000-0000-0000-000000000000"), 839);
        assert_eq!(owner("00000000-0000-0000-0000-000000000001"), 60);
        assert_eq!(owner("0192f0c1-2345-7abc-8def-0123456789ab"), 1021);
    }

    #[test]
    fn every_bucket_has_a_shard_and_every_shard_as_many_buckets() {
        let mut buckets_per_shard = [0u16; SHARDS as usize];
        for stored in 0..BUCKETS.cast_signed() {
            buckets_per_shard[Bucket::from_stored(stored).unwrap().shard().index()] += 1;
        }
        assert!(
            buckets_per_shard
                .iter()
                .all(|count| *count == BUCKETS / SHARDS)
        );
        assert_eq!(Bucket::from_stored(BUCKETS.cast_signed()), None);
        assert_eq!(Bucket::from_stored(-1), None);
    }
}
