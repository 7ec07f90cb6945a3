//! What copies of keys give to a key database that was restored.

use std::collections::{BTreeMap, BTreeSet};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sqlx::PgConnection;
use uuid::Uuid;

use super::copies::{Copied, CopiedTree, FOLDER};
use super::erasure::{announce, retire};
use super::trees::TreeId;
use super::{KeyBucket, PLATFORM, Vault, VaultError};
use crate::PlacePath;
use crate::pool::begin;

/// What copies had to give to a key database that was restored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Taken {
    /// Keys that the database had not, or only under what was destroyed.
    pub keys: u64,
    /// Keys that it has only under what was destroyed, and no copy has: of those who had one of their own and were erased since,
    /// as a rule.
    pub lost: i64,
}

impl Vault {
    /// Takes over from the copies what a backup of the key database has only under keys that were destroyed since. For a database
    /// that was just restored, before anything is served; doing it again changes nothing.
    pub async fn take_copies(&self) -> Result<Taken, VaultError> {
        let mut held = Held::default();
        let mut gone = Vec::new();
        for id in self.wrapping_keys().await? {
            if !held.is(self, &id).await? {
                gone.push(id);
            }
        }
        let listed = self.copies.0.list(&FOLDER.into()).await;
        let paths: Vec<PlacePath> = listed
            .map_err(VaultError::Copies)?
            .into_iter()
            .map(|stored| stored.path)
            .collect();
        let mut latest = self.latest_trees(&gone).await?;
        for path in &paths {
            for tree in self.usable(path, &mut held).await?.trees {
                latest.add(&tree);
            }
        }
        let (mut taken, mut outdated) = (0, Vec::new());
        for path in &paths {
            let copied = self.usable(path, &mut held).await?;
            let (keys, replaced) = self.take(copied, &latest, &gone, path).await?;
            taken += keys;
            outdated.extend(replaced);
        }
        self.retire(outdated).await?;
        let lost = sqlx::query_scalar!(
            r#"select count(*) as "lost!" from keys.subject where wrapped_key is not null and provider_key_id = any($1)"#,
            &gone
        );
        let lost = lost.fetch_one(&self.keys).await;
        Ok(Taken {
            keys: taken,
            lost: lost.map_err(VaultError::ReadKeys)?,
        })
    }

    /// What a copy has that the provider can open.
    async fn usable(&self, path: &PlacePath, held: &mut Held) -> Result<Copied, VaultError> {
        let mut copied = self.copies.read(path).await?;
        let mut usable = BTreeSet::new();
        for key in &copied.keys {
            if held.is(self, &key.wrapped_by).await? {
                usable.insert(key.subject);
            }
        }
        copied.keys.retain(|key| usable.contains(&key.subject));
        copied.trees.retain(|tree| usable.contains(&tree.key));
        Ok(copied)
    }

    /// The trees of the key database that the provider can open.
    async fn latest_trees(&self, gone: &[String]) -> Result<Latest, VaultError> {
        let rows = sqlx::query!(
            "select t.tenant_id, t.shard, t.generation, t.key_id from keys.tree t
             join keys.subject s on s.subject_id = t.key_id
             where s.wrapped_key is not null and s.provider_key_id <> all($1)",
            gone
        )
        .fetch_all(&self.keys)
        .await
        .map_err(VaultError::ReadKeys)?;
        let mut latest = Latest::default();
        for row in rows {
            latest.add(&CopiedTree {
                tenant: row.tenant_id,
                shard: row.shard,
                generation: row.generation,
                key: row.key_id,
                nodes: None,
            });
        }
        Ok(latest)
    }

    async fn wrapping_keys(&self) -> Result<Vec<String>, VaultError> {
        sqlx::query_scalar!(
            r#"select distinct provider_key_id as "id!" from keys.subject where wrapped_key is not null"#
        )
        .fetch_all(&self.keys)
        .await
        .map_err(VaultError::ReadKeys)
    }

    async fn take(
        &self,
        copied: Copied,
        latest: &Latest,
        gone: &[String],
        path: &PlacePath,
    ) -> Result<(u64, Vec<Outdated>), VaultError> {
        let malformed = || VaultError::MalformedCopy(path.to_string());
        let trees: BTreeMap<Uuid, &CopiedTree> =
            copied.trees.iter().map(|tree| (tree.key, tree)).collect();
        let (mut subjects, mut tenants, mut buckets) = (Vec::new(), Vec::new(), Vec::new());
        let (mut wrapped_by, mut wrapped, mut holds) = (Vec::new(), Vec::new(), Vec::new());
        let (mut individual, mut outdated) = (BTreeSet::new(), Vec::new());
        for key in &copied.keys {
            let (bucket, held) = match trees.get(&key.subject) {
                // Who was taken out of the tree since then is still in this one.
                Some(tree) if !latest.is(tree) => {
                    outdated.extend(latest.key_of(tree).map(|key_id| Outdated {
                        key_id,
                        wrapped_by: key.wrapped_by.clone(),
                    }));
                    continue;
                }
                Some(tree) => {
                    let id = TreeId::named(tree.tenant, tree.shard).ok_or_else(malformed)?;
                    (id.bucket(), "tree")
                }
                None if key.tenant == PLATFORM => (KeyBucket::of(key.subject), "platform"),
                None => {
                    individual.insert(key.tenant);
                    (KeyBucket::of(key.subject), "subject")
                }
            };
            subjects.push(key.subject);
            tenants.push(key.tenant);
            buckets.push(bucket.0.cast_signed());
            wrapped.push(STANDARD.decode(&key.wrapped).map_err(|_| malformed())?);
            wrapped_by.push(key.wrapped_by.clone());
            holds.push(held.to_owned());
        }
        let mut tx = begin(&self.keys).await.map_err(VaultError::StoreKey)?;
        announce(&mut tx, &wrapped_by).await?;
        let taken = sqlx::query!(
            "insert into keys.subject as s (subject_id, tenant_id, bucket, provider_key_id, wrapped_key, holds)
             select * from unnest($1::uuid[], $2::uuid[], $3::smallint[], $4::text[], $5::bytea[], $6::text[])
             on conflict (subject_id) do update
             set provider_key_id = excluded.provider_key_id, wrapped_key = excluded.wrapped_key
             where s.tenant_id = excluded.tenant_id and s.wrapped_key is not null and s.provider_key_id = any($7)",
            &subjects,
            &tenants,
            &buckets,
            &wrapped_by,
            &wrapped,
            &holds,
            gone
        )
        .execute(&mut *tx)
        .await
        .map_err(VaultError::StoreKey)?;
        let individual: Vec<Uuid> = individual.into_iter().collect();
        sqlx::query!(
            "insert into keys.individual (tenant_id) select unnest($1::uuid[]) on conflict do nothing",
            &individual
        )
        .execute(&mut *tx)
        .await
        .map_err(VaultError::StoreKey)?;
        for tree in copied.trees.iter().filter(|tree| latest.is(tree)) {
            let nodes = tree.nodes.as_ref().map(|nodes| STANDARD.decode(nodes));
            let nodes = nodes.transpose().map_err(|_| malformed())?;
            let erased = take_tree(&mut tx, tree, nodes).await?;
            let held = erased.filter(|wrapped_by| !gone.contains(wrapped_by));
            outdated.extend(held.map(|wrapped_by| Outdated {
                key_id: tree.key,
                wrapped_by,
            }));
        }
        // A key may be copied as it was wrapped before, or after what the key database has.
        let other = sqlx::query!(
            r#"select n.id as "id!", n.wrapped_by as "wrapped_by!" from unnest($1::uuid[], $2::text[]) n(id, wrapped_by)
               join keys.subject s on s.subject_id = n.id
               where s.wrapped_key is not null and s.provider_key_id <> n.wrapped_by"#,
            &subjects,
            &wrapped_by
        )
        .fetch_all(&mut *tx)
        .await
        .map_err(VaultError::StoreKey)?;
        outdated.extend(other.into_iter().map(|row| Outdated {
            key_id: row.id,
            wrapped_by: row.wrapped_by,
        }));
        tx.commit().await.map_err(VaultError::StoreKey)?;
        Ok((taken.rows_affected(), outdated))
    }

    /// What wraps a key as it was before may still be there, if whoever had it destroyed was cut short: it goes with the next that
    /// are, and until then nobody counts as erased for good whose key it leads to.
    async fn retire(&self, outdated: Vec<Outdated>) -> Result<(), VaultError> {
        let (keys, wrapped_by): (Vec<Uuid>, Vec<String>) = outdated
            .into_iter()
            .map(|outdated| (outdated.key_id, outdated.wrapped_by))
            .unzip();
        let mut tx = begin(&self.keys).await.map_err(VaultError::StoreKey)?;
        announce(&mut tx, &wrapped_by).await?;
        retire(&mut tx, &wrapped_by).await?;
        sqlx::query!(
            "insert into keys.successor (provider_key_id, successor_id)
             select distinct n.wrapped_by, s.provider_key_id from unnest($1::uuid[], $2::text[]) n(id, wrapped_by)
             join keys.subject s on s.subject_id = n.id
             where s.provider_key_id <> n.wrapped_by
             on conflict do nothing",
            &keys,
            &wrapped_by
        )
        .execute(&mut *tx)
        .await
        .map_err(VaultError::StoreKey)?;
        tx.commit().await.map_err(VaultError::StoreKey)
    }
}

/// What wraps a key, or a tree's earlier one, in a copy or in the backup, while the key database has it under another.
struct Outdated {
    /// The key that counts.
    key_id: Uuid,
    wrapped_by: String,
}

/// Of each tree the last generation that the provider can open, in the key database or a copy. Of two with one number, that of the
/// key database, which is added first.
#[derive(Default)]
struct Latest(BTreeMap<(Uuid, i16), (i32, Uuid)>);

impl Latest {
    fn add(&mut self, tree: &CopiedTree) {
        let latest = self.0.entry((tree.tenant, tree.shard));
        let latest = latest.or_insert((tree.generation, tree.key));
        if tree.generation > latest.0 {
            *latest = (tree.generation, tree.key);
        }
    }

    fn key_of(&self, tree: &CopiedTree) -> Option<Uuid> {
        let latest = self.0.get(&(tree.tenant, tree.shard));
        latest.map(|(_, key)| *key)
    }

    fn is(&self, tree: &CopiedTree) -> bool {
        self.0.get(&(tree.tenant, tree.shard)) == Some(&(tree.generation, tree.key))
    }
}

/// In the place of an earlier generation, whose key is erased. Answers what wrapped that.
async fn take_tree(
    tx: &mut PgConnection,
    tree: &CopiedTree,
    nodes: Option<Vec<u8>>,
) -> Result<Option<String>, VaultError> {
    let erased = sqlx::query_scalar!(
        r#"update keys.subject s set wrapped_key = null, erased_at = clock_timestamp()
           from keys.tree t
           where t.tenant_id = $1 and t.shard = $2 and t.generation < $3
             and s.subject_id = t.key_id and s.wrapped_key is not null
           returning s.provider_key_id as "provider_key_id!""#,
        tree.tenant,
        tree.shard,
        tree.generation
    )
    .fetch_optional(&mut *tx)
    .await
    .map_err(VaultError::StoreKey)?;
    let replaced = sqlx::query!(
        "insert into keys.tree as t (tenant_id, shard, generation, key_id, nodes) values ($1, $2, $3, $4, $5)
         on conflict (tenant_id, shard) do update
         set generation = excluded.generation, key_id = excluded.key_id, nodes = excluded.nodes
         where t.generation < excluded.generation",
        tree.tenant,
        tree.shard,
        tree.generation,
        tree.key,
        nodes
    )
    .execute(&mut *tx)
    .await
    .map_err(VaultError::StoreKey)?;
    if replaced.rows_affected() > 0 {
        puncture_anew(tx, tree).await?;
    }
    Ok(erased)
}

/// Whoever the key database knows to be erased may have been taken out of another generation than this.
async fn puncture_anew(tx: &mut PgConnection, tree: &CopiedTree) -> Result<(), VaultError> {
    let erased = sqlx::query_scalar!(
        "select subject_id from keys.subject where tenant_id = $1 and holds = 'subject' and erased_at is not null",
        tree.tenant
    )
    .fetch_all(&mut *tx)
    .await
    .map_err(VaultError::ReadKeys)?;
    let id = TreeId::named(tree.tenant, tree.shard);
    let erased: Vec<Uuid> = erased
        .into_iter()
        .filter(|subject| id == Some(TreeId::of(tree.tenant, *subject)))
        .collect();
    sqlx::query!(
        "update keys.subject set provider_key_id = null where subject_id = any($1)",
        &erased
    )
    .execute(tx)
    .await
    .map(drop)
    .map_err(VaultError::StoreKey)
}

/// Which of the provider's keys it still has, as far as that was asked.
#[derive(Default)]
struct Held(BTreeMap<String, bool>);

impl Held {
    async fn is(&mut self, vault: &Vault, id: &str) -> Result<bool, VaultError> {
        if let Some(held) = self.0.get(id) {
            return Ok(*held);
        }
        let held = vault.provider.holds(id).await?;
        self.0.insert(id.to_owned(), held);
        Ok(held)
    }
}
