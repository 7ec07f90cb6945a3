//! The key trees of tenants: read, made, and punctured.
//!
//! A tenant has up to 16 trees, so that what is read at once, and written anew when somebody is taken out, stays small. Stored for
//! ever: a subject's shard is the low half of the last byte of the digest that its path is taken from; the id of a tree's first
//! key is a UUID (version 8) of the first 16 bytes of SHA-256 over `proofline.tree.1`, the tenant's id and a byte for the shard.
//! The first key is the tree's root. Each later one seals the nodes that are left, in AES-256-GCM with `proofline.nodes.1` and
//! the key's id as associated data.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use moka::ops::compute::Op;
use sha2::{Digest as _, Sha256};
use sqlx::PgConnection;
use tokio::sync::{Mutex, MutexGuard};
use tokio::time::timeout;
use uuid::Uuid;

use super::copies::CopiedTree;
use super::erasure::{announce, retire, succeed};
use super::tree::{self, Leaf, Tree};
use super::{
    CACHED_KEY_AGE, KeyBucket, Keys, ProviderError, SubjectKey, Vault, VaultError, cipher,
};
use crate::pool::begin;

const TREE_DOMAIN: &[u8] = b"proofline.tree.1";
const NODES_DOMAIN: &[u8] = b"proofline.nodes.1";
const SHARDS: u8 = 16;
/// What the trees that a process holds may take, in bytes.
const CACHED_TREES_MAX: u64 = 64 << 20;
/// What the cache takes for one of them, beside its nodes.
const CACHE_ENTRY_BYTES: usize = 512;
const TURN_WITHIN: Duration = Duration::from_secs(1);
/// How often a tree is punctured anew because it, or the key that wraps its own, was renewed just then.
const PUNCTURES_MAX: u32 = 5;

/// Whose keys derive from one tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct TreeId {
    pub(super) tenant: Uuid,
    shard: u8,
}

impl TreeId {
    pub(super) fn of(tenant: Uuid, subject: Uuid) -> Self {
        let shard = tree::digest(subject)[31] % SHARDS;
        Self { tenant, shard }
    }

    fn shard(self) -> i16 {
        self.shard.into()
    }

    fn first_key(self) -> Uuid {
        let mut hash = Sha256::new();
        hash.update(TREE_DOMAIN);
        hash.update(self.tenant.as_bytes());
        hash.update([self.shard]);
        let digest: [u8; 32] = hash.finalize().into();
        Uuid::new_v8(digest[..16].try_into().expect("sixteen bytes"))
    }

    /// Of the tree that somebody else named. `None` where there is no such shard.
    pub(super) fn named(tenant: Uuid, shard: i16) -> Option<Self> {
        let shard = u8::try_from(shard).ok().filter(|shard| *shard < SHARDS)?;
        Some(Self { tenant, shard })
    }

    /// The same for every generation.
    pub(super) fn bucket(self) -> KeyBucket {
        KeyBucket::of(self.first_key())
    }
}

/// A tree as it was read, without those who are erased.
#[derive(Clone)]
pub(super) struct StoredTree {
    tree: Tree,
    generation: i32,
    key_id: Uuid,
    /// What wraps its key.
    wrapped_by: String,
    /// Who is still in it where it is stored.
    to_puncture: Vec<Uuid>,
    /// Whether some of its tenant's subjects have a key of their own.
    individual: bool,
}

/// A generation of a tree that is about to take the place of the one before.
struct NextGeneration {
    number: i32,
    key_id: Uuid,
    wrapped_by: String,
    wrapped: Vec<u8>,
    nodes: Vec<u8>,
}

/// Whose turn it is to read a tree, so that a hundred commands that need it at once ask for it once. Some trees share one.
pub(super) struct Turns(Vec<Mutex<()>>);

impl Turns {
    /// Whoever waits for long, because the provider does not answer, takes no turn.
    async fn take(&self, id: TreeId) -> Option<MutexGuard<'_, ()>> {
        let at = usize::from(id.tenant.as_bytes()[15] ^ (id.shard << 4));
        timeout(TURN_WITHIN, self.0[at].lock()).await.ok()
    }
}

impl Default for Turns {
    fn default() -> Self {
        Self((0..=u8::MAX).map(|_| Mutex::default()).collect())
    }
}

pub(super) type CachedTrees = moka::sync::Cache<TreeId, Arc<StoredTree>>;

pub(super) fn cache() -> CachedTrees {
    moka::sync::Cache::builder()
        .max_capacity(CACHED_TREES_MAX)
        .weigher(|_, stored: &Arc<StoredTree>| {
            u32::try_from(CACHE_ENTRY_BYTES + stored.tree.bytes()).unwrap_or(u32::MAX)
        })
        .time_to_live(CACHED_KEY_AGE)
        .build()
}

/// Takes somebody who was erased out of what is cached, at once and without the provider.
pub(super) fn evict(cached: &CachedTrees, tenant: Uuid, subject: Uuid) {
    let (id, leaf) = (TreeId::of(tenant, subject), Leaf::of(subject));
    if !cached.get(&id).is_some_and(|stored| stored.tree.has(leaf)) {
        return;
    }
    cached.entry(id).and_compute_with(|entry| match entry {
        Some(entry) => {
            let mut stored = StoredTree::clone(entry.value());
            stored.tree.puncture(leaf);
            Op::Put(Arc::new(stored))
        }
        None => Op::Nop,
    });
}

impl Vault {
    /// The keys of those of the subjects that are known: of their own where they have one, else from their trees, which `make` makes
    /// where they are missing.
    pub(super) async fn keys_of(
        &self,
        tenant: Uuid,
        subjects: Vec<Uuid>,
        make: bool,
    ) -> Result<Keys, VaultError> {
        let (mut from_trees, mut own) = (Vec::new(), Vec::new());
        for subject in subjects {
            let has_own = self.cached.contains_key(&(tenant, subject));
            let tree = match has_own {
                true => None,
                false => self.tree(TreeId::of(tenant, subject), make).await?,
            };
            if tree.as_ref().is_none_or(|tree| tree.individual) {
                own.push(subject);
            }
            from_trees.extend(tree.map(|tree| (subject, tree)));
        }
        let mut keys = self.find(tenant, &own).await?;
        for (subject, stored) in from_trees {
            let key = || stored.tree.key(Leaf::of(subject)).map(Arc::new);
            keys.entry(subject).or_insert_with(key);
        }
        Ok(keys)
    }

    /// As it is cached, or stored. One at a time reads a tree, or makes it, and whoever waits finds it cached.
    async fn tree(&self, id: TreeId, make: bool) -> Result<Option<Arc<StoredTree>>, VaultError> {
        if let Some(cached) = self.trees.get(&id) {
            return Ok(Some(cached));
        }
        let _turn = self.turns.take(id).await;
        if let Some(cached) = self.trees.get(&id) {
            return Ok(Some(cached));
        }
        let mut read = self.read_tree(id).await?;
        if read.is_none() && make {
            self.make_tree(id).await?;
            read = self.read_tree(id).await?;
        }
        let read = read.map(Arc::new);
        if let Some(read) = &read {
            metrics::counter!("proofline_key_tree_reads_total").increment(1);
            self.trees.insert(id, read.clone());
        }
        Ok(read)
    }

    /// Of several processes that make a tree at once, all make the same one. Its key is copied before it is used: nothing could
    /// take its place if the key database came back as it was before.
    async fn make_tree(&self, id: TreeId) -> Result<(), VaultError> {
        let key_id = id.first_key();
        self.create(id.tenant, key_id).await?;
        let tree = CopiedTree {
            tenant: id.tenant,
            shard: id.shard(),
            generation: 1,
            key: key_id,
            nodes: None,
        };
        let copied = match self.copy(key_id, Some(tree.clone())).await {
            // Another process made it, and somebody was taken out of it since.
            Err(VaultError::KeyMissing(_)) => return Ok(()),
            copied => copied?,
        };
        sqlx::query!(
            "insert into keys.tree (tenant_id, shard, generation, key_id) values ($1, $2, 1, $3) on conflict do nothing",
            id.tenant,
            id.shard(),
            key_id
        )
        .execute(&self.keys)
        .await
        .map_err(VaultError::StoreKey)?;
        // Until its row was there, whoever wrapped the key anew copied it as nobody's tree.
        match self.copy_again(key_id, tree, &copied).await {
            Err(VaultError::KeyMissing(_)) => Ok(()),
            copied => copied,
        }
    }

    async fn read_tree(&self, id: TreeId) -> Result<Option<StoredTree>, VaultError> {
        match self.read_tree_once(id).await {
            // Wrapped anew, and the old key destroyed, between the reading and the unwrapping.
            Err(VaultError::Provider(ProviderError::UnknownKey(_))) => {
                self.read_tree_once(id).await
            }
            read => read,
        }
    }

    async fn read_tree_once(&self, id: TreeId) -> Result<Option<StoredTree>, VaultError> {
        let row = sqlx::query!(
            r#"select t.generation, t.key_id, t.nodes, s.provider_key_id, s.wrapped_key,
                      exists (select from keys.individual i where i.tenant_id = t.tenant_id) as "individual!",
                      array(select e.subject_id from keys.subject e
                            where e.tenant_id = t.tenant_id and e.holds = 'subject' and e.erased_at is not null
                              and e.provider_key_id is null)
                        as "to_puncture!"
               from keys.tree t join keys.subject s on s.subject_id = t.key_id
               where t.tenant_id = $1 and t.shard = $2"#,
            id.tenant,
            id.shard()
        )
        .fetch_optional(&self.keys)
        .await
        .map_err(VaultError::ReadKeys)?;
        let Some(row) = row else {
            return Ok(None);
        };
        let key_id = row.key_id;
        let wrapped = row.provider_key_id.zip(row.wrapped_key);
        let (wrapped_by, wrapped) = wrapped.ok_or(VaultError::KeyMissing(key_id))?;
        let key = self.provider.unwrap(&wrapped_by, key_id, &wrapped).await?;
        let mut tree = match row.nodes {
            None => Tree::whole(&key),
            Some(sealed) => cipher::open(key.expose(), &associated_data(key_id), &sealed)
                .and_then(|nodes| Tree::from_bytes(&nodes))
                .ok_or(VaultError::AlteredTree(key_id))?,
        };
        let mut to_puncture = row.to_puncture;
        to_puncture.retain(|subject| TreeId::of(id.tenant, *subject) == id);
        for subject in &to_puncture {
            tree.puncture(Leaf::of(*subject));
        }
        Ok(Some(StoredTree {
            tree,
            generation: row.generation,
            key_id,
            wrapped_by,
            to_puncture,
            individual: row.individual,
        }))
    }

    /// Takes everybody who is erased out of their trees.
    pub(super) async fn puncture_trees(&self) -> Result<(), VaultError> {
        let erased = sqlx::query!(
            "select tenant_id, subject_id from keys.subject
             where holds = 'subject' and erased_at is not null and provider_key_id is null"
        )
        .fetch_all(&self.keys)
        .await
        .map_err(VaultError::ReadKeys)?;
        let trees: BTreeSet<TreeId> = erased
            .iter()
            .map(|row| TreeId::of(row.tenant_id, row.subject_id))
            .collect();
        let mut punctured = Ok(());
        for id in trees {
            // One that can't be punctured does not keep the others from it.
            punctured = punctured.and(self.puncture(id).await);
        }
        punctured
    }

    /// Takes everybody who is erased out of a tree.
    async fn puncture(&self, id: TreeId) -> Result<(), VaultError> {
        let mut retired: Option<String> = None;
        for _ in 0..PUNCTURES_MAX {
            let Some(read) = self.read_tree(id).await? else {
                // Whoever makes it later must not find them in it.
                self.make_tree(id).await?;
                continue;
            };
            if read.to_puncture.is_empty() {
                return Ok(());
            }
            let in_place_of = retired.as_deref().unwrap_or(&read.wrapped_by);
            let next = match self.next_generation(&read, in_place_of).await {
                // What wraps it was renewed, and destroyed already.
                Err(VaultError::Provider(ProviderError::UnknownKey(_))) => {
                    retired = None;
                    continue;
                }
                next => next?,
            };
            match self.replace(id, &read, &next).await? {
                Replaced::Done => {
                    tracing::info!(
                        tenant = %id.tenant,
                        generation = next.number,
                        people = read.to_puncture.len(),
                        "people were taken out of a key tree"
                    );
                    return Ok(());
                }
                Replaced::Changed => retired = None,
                Replaced::UnderRetired => retired = Some(next.wrapped_by),
            }
        }
        Err(VaultError::Renewing(id.first_key()))
    }

    async fn next_generation(
        &self,
        read: &StoredTree,
        in_place_of: &str,
    ) -> Result<NextGeneration, VaultError> {
        let (key_id, key) = (Uuid::new_v4(), SubjectKey::random());
        let wrapped_by = self.provider.renew(in_place_of).await?;
        Ok(NextGeneration {
            number: read.generation + 1,
            key_id,
            wrapped: self.provider.wrap(&wrapped_by, key_id, &key).await?,
            wrapped_by,
            nodes: cipher::seal(
                key.expose(),
                &associated_data(key_id),
                &read.tree.to_bytes(),
            ),
        })
    }

    /// Puts a generation in the place of the one that was read, and retires what wrapped that one's key.
    async fn replace(
        &self,
        id: TreeId,
        read: &StoredTree,
        next: &NextGeneration,
    ) -> Result<Replaced, VaultError> {
        let mut tx = begin(&self.keys).await.map_err(VaultError::EraseKeys)?;
        let failed = VaultError::EraseKeys;
        if !hold(&mut tx, &read.wrapped_by, &next.wrapped_by).await? {
            return Ok(Replaced::UnderRetired);
        }
        let removed = sqlx::query!(
            "update keys.subject set wrapped_key = null, erased_at = clock_timestamp()
             where subject_id = $1 and provider_key_id = $2 and wrapped_key is not null",
            read.key_id,
            read.wrapped_by
        )
        .execute(&mut *tx)
        .await
        .map_err(failed)?;
        let replaced = sqlx::query!(
            "update keys.tree set generation = $3, key_id = $4, nodes = $5
             where tenant_id = $1 and shard = $2 and key_id = $6",
            id.tenant,
            id.shard(),
            next.number,
            next.key_id,
            next.nodes,
            read.key_id
        )
        .execute(&mut *tx)
        .await
        .map_err(failed)?;
        if removed.rows_affected() == 0 || replaced.rows_affected() == 0 {
            return Ok(Replaced::Changed);
        }
        sqlx::query!(
            "insert into keys.subject (subject_id, tenant_id, bucket, provider_key_id, wrapped_key, holds)
             values ($1, $2, $3, $4, $5, 'tree')",
            next.key_id,
            id.tenant,
            id.bucket().0.cast_signed(),
            next.wrapped_by,
            next.wrapped
        )
        .execute(&mut *tx)
        .await
        .map_err(failed)?;
        sqlx::query!(
            "update keys.subject set provider_key_id = $2
             where subject_id = any($1) and erased_at is not null and provider_key_id is null",
            &read.to_puncture,
            read.wrapped_by
        )
        .execute(&mut *tx)
        .await
        .map_err(failed)?;
        // By this the new generation is found when it is copied.
        succeed(&mut tx, &read.wrapped_by, &next.wrapped_by).await?;
        retire(&mut tx, std::slice::from_ref(&read.wrapped_by)).await?;
        tx.commit().await.map_err(failed)?;
        Ok(Replaced::Done)
    }
}

/// What became of a generation that was to take another's place. Nothing is written but for `Done`.
enum Replaced {
    Done,
    /// The other is not what it was when it was read.
    Changed,
    /// The key that wraps the new one was retired itself.
    UnderRetired,
}

/// Keeps two wrapping keys from being retired by others until the transaction ends. Answers whether the new one can be used.
async fn hold(tx: &mut PgConnection, old: &str, new: &str) -> Result<bool, VaultError> {
    announce(tx, &[new.to_owned()]).await?;
    // In the order in which everybody locks them.
    let held = sqlx::query!(
        r#"select id, retired_at is null as "usable!" from keys.provider_key where id in ($1, $2) order by id for update"#,
        old,
        new
    )
    .fetch_all(tx)
    .await
    .map_err(VaultError::EraseKeys)?;
    Ok(held.iter().any(|key| key.id == new && key.usable))
}

fn associated_data(key_id: Uuid) -> Vec<u8> {
    [NODES_DOMAIN, key_id.as_bytes()].concat()
}

#[cfg(test)]
mod tests;
