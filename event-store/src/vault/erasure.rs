//! Destroying the keys of subjects, so that what was sealed under them opens no more, wherever copies of it are.
//!
//! Removing a wrapped key from its row is not enough: its bytes stay in dead tuples, in the write-ahead log and in backups. So
//! the provider's key that wrapped it is destroyed, after every other subject's key was wrapped anew under another one. Each
//! step can be cut short and done again:
//!
//! 1. The provider puts new keys in the place of those that wrap keys of the subjects' own.
//! 2. One transaction notes who is erased, removes keys of their own and retires what wrapped them; no new key comes under those
//!    from then on. Every process takes the subjects out of the trees that it holds.
//! 3. They are taken out of the trees that are stored: each gets a new key, and what wrapped its old one is retired.
//! 4. The keys of everybody else are wrapped anew, batch by batch.
//! 5. They are copied to where key backups are, since older backups hold them under the retired keys.
//! 6. The provider destroys the retired keys, and what it says of that is kept.

use std::time::Duration;

use chrono::{DateTime, Utc};
use futures::stream::{self, StreamExt as _, TryStreamExt as _};
use sqlx::{PgConnection, PgPool};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use uuid::Uuid;

use super::trees::{self, CachedTrees};
use super::{CALLS_AT_ONCE, Cached, KeyBucket, PLATFORM, ProviderError, Vault, VaultError};
use crate::pool::begin;

/// Keys wrapped anew in one transaction.
const REWRAPPED_MAX: i64 = 500;
/// How often a process looks for subjects that others erased.
const WATCHED_EVERY: Duration = Duration::from_secs(1);
/// How long such a look may take.
const HEARD_WITHIN: Duration = Duration::from_secs(5);
/// After so long no process holds a key that was erased: it has heard of that, or forgotten all.
pub const FORGOTTEN_WITHIN: Duration = Duration::from_secs(7);
/// How far back it looks each time: a transaction that began before the last look may have committed after it.
const WATCHED_AGAIN: chrono::TimeDelta = chrono::TimeDelta::seconds(60);

/// What became of a subject's key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Erasure {
    pub subject: Uuid,
    pub erased_at: DateTime<Utc>,
    /// The provider's key that wrapped it, or the tree's that it derived from; `None` while it is not taken out of that.
    pub provider_key_id: Option<String>,
    /// What the provider says of that key's destruction; `None` while it is not destroyed, or one that it descends from.
    pub receipt: Option<String>,
    /// From then on nobody can undo it.
    pub final_at: Option<DateTime<Utc>>,
}

impl Vault {
    /// Erases subjects of one tenant: nothing that is sealed for them can be opened when this returns, and nothing new be
    /// sealed. A provider that could not destroy what wrapped the keys is asked again by [`Vault::finish_erasures`]; such an erasure
    /// has no receipt yet. Doing it again answers the same.
    pub async fn erase(&self, tenant: Uuid, subjects: &[Uuid]) -> Result<Vec<Erasure>, VaultError> {
        self.renew(subjects).await?;
        let mut tx = begin(&self.keys).await.map_err(VaultError::EraseKeys)?;
        remove(&mut tx, tenant, subjects).await?;
        tx.commit().await.map_err(VaultError::EraseKeys)?;
        for subject in subjects {
            self.cached.insert((tenant, *subject), None);
            trees::evict(&self.trees, tenant, *subject);
        }
        if let Err(error) = self.finish_erasures().await {
            // Perhaps of somebody else's key; whose is not destroyed yet has no receipt.
            tracing::error!(
                error = &error as &dyn std::error::Error,
                "a wrapping key could not be destroyed and will be tried again"
            );
        }
        self.erasures(tenant, subjects).await
    }

    /// Destroys keys of the platform's own.
    pub(crate) async fn erase_platform_keys(&self, ids: &[Uuid]) -> Result<(), VaultError> {
        self.erase(PLATFORM, ids).await.map(drop)
    }

    /// What became of the keys of those of the subjects that were erased.
    pub async fn erasures(
        &self,
        tenant: Uuid,
        subjects: &[Uuid],
    ) -> Result<Vec<Erasure>, VaultError> {
        sqlx::query_as!(
            Erasure,
            r#"with recursive erased as (
                 select subject_id, erased_at, provider_key_id from keys.subject
                 where tenant_id = $1 and subject_id = any($2) and erased_at is not null
               ), line (last, id) as (
                 select distinct provider_key_id, provider_key_id from erased where provider_key_id is not null
                 union
                 select l.last, s.provider_key_id from line l join keys.successor s on s.successor_id = l.id
               ), ended as (
                 select l.last, max(k.final_at) as final_at
                 from line l join keys.provider_key k on k.id = l.id
                 group by l.last having bool_and(k.destroyed_at is not null)
               )
               select e.subject_id as "subject!", e.erased_at as "erased_at!", e.provider_key_id, k.receipt as "receipt?",
                      d.final_at as "final_at?"
               from erased e
               left join ended d on d.last = e.provider_key_id
               left join keys.provider_key k on k.id = d.last
               order by e.subject_id"#,
            tenant,
            subjects
        )
        .fetch_all(&self.keys)
        .await
        .map_err(VaultError::ReadKeys)
    }

    /// Those of the subjects, whoever's they are, that have a key or are not known.
    pub async fn not_erased(&self, subjects: &[Uuid]) -> Result<Vec<Uuid>, VaultError> {
        sqlx::query_scalar!(
            r#"select n.subject_id as "subject_id!" from unnest($1::uuid[]) n(subject_id)
               where not exists (select from keys.subject s where s.subject_id = n.subject_id and s.erased_at is not null)
               order by 1"#,
            subjects
        )
        .fetch_all(&self.keys)
        .await
        .map_err(VaultError::ReadKeys)
    }

    /// Puts new keys in the place of all that wrap, wraps every subject's key anew, and has the provider destroy the old ones.
    /// No event is touched. Answers how many it were; what is cut short, [`Vault::finish_erasures`] finishes.
    pub async fn rotate(&self) -> Result<usize, VaultError> {
        let old = sqlx::query_scalar!(
            "select id from keys.provider_key where retired_at is null order by id"
        )
        .fetch_all(&self.keys)
        .await
        .map_err(VaultError::ReadKeys)?;
        for key_id in &old {
            match self.provider.renew(key_id).await {
                // Gone since the key database was backed up: what it wraps, if anything, opens no more.
                Err(ProviderError::UnknownKey(_)) => continue,
                renewed => drop(renewed?),
            }
            sqlx::query!(
                "update keys.provider_key set retired_at = clock_timestamp() where id = $1 and retired_at is null",
                key_id
            )
            .execute(&self.keys)
            .await
            .map_err(VaultError::EraseKeys)?;
        }
        self.finish_erasures().await?;
        Ok(old.len())
    }

    /// Takes whoever is erased out of their trees, wraps anew what retired keys still wrap, and has the provider destroy these. Any
    /// number of processes may, at once.
    pub async fn finish_erasures(&self) -> Result<(), VaultError> {
        let punctured = self.puncture_trees().await;
        let retired = sqlx::query_scalar!(
            "select id from keys.provider_key where retired_at is not null and destroyed_at is null order by id"
        )
        .fetch_all(&self.keys)
        .await
        .map_err(VaultError::ReadKeys)?;
        let mut finished = punctured;
        for old in retired {
            // One that can't be finished does not keep the others from it.
            finished = finished.and(self.finish(&old).await);
        }
        finished
    }

    async fn finish(&self, old: &str) -> Result<(), VaultError> {
        let mut new = match self.provider.renew(old).await {
            // It was destroyed and nobody came to write that down, or wraps nothing any more that says whose place to take.
            Err(ProviderError::UnknownKey(_)) => {
                self.copy_rewrapped(old).await?;
                return self.destroy(old).await;
            }
            renewed => renewed?,
        };
        loop {
            match self.rewrap(old, &new).await? {
                Rewrapped::Some => {}
                Rewrapped::Nothing => {
                    self.copy_rewrapped(old).await?;
                    return self.destroy(old).await;
                }
                Rewrapped::UnderRetired => new = self.provider.renew(&new).await?,
            }
        }
    }

    /// Has the provider destroy a key that wraps nothing any more.
    async fn destroy(&self, old: &str) -> Result<(), VaultError> {
        let wraps = sqlx::query_scalar!(
            r#"select exists (select from keys.subject where provider_key_id = $1 and wrapped_key is not null) as "wraps!""#,
            old
        )
        .fetch_one(&self.keys)
        .await
        .map_err(VaultError::ReadKeys)?;
        if wraps {
            return Err(ProviderError::InUse(old.to_owned()).into());
        }
        let destroyed = self.provider.destroy(old).await?;
        sqlx::query!(
            "update keys.provider_key set destroyed_at = clock_timestamp(), final_at = $2, receipt = $3
             where id = $1 and destroyed_at is null",
            old,
            destroyed.final_at,
            destroyed.receipt
        )
        .execute(&self.keys)
        .await
        .map_err(VaultError::EraseKeys)?;
        tracing::info!(
            key = old,
            receipt = destroyed.receipt,
            "a wrapping key was destroyed"
        );
        Ok(())
    }

    /// Forgets the keys of subjects that any process erased since then, as it does by itself every second.
    pub async fn evict_erased(&self, since: DateTime<Utc>) -> Result<(), VaultError> {
        let evicted = evict(&self.keys, &self.cached, &self.trees, since).await;
        evicted.map(drop).map_err(VaultError::ReadKeys)
    }

    /// Puts new keys in the place of those that wrap the subjects', so that whoever comes next has one to be wrapped by once these
    /// are retired. What fails here is tried again, and told, when the erasure is finished.
    async fn renew(&self, subjects: &[Uuid]) -> Result<(), VaultError> {
        let wrapped_by = sqlx::query_scalar!(
            r#"select distinct provider_key_id as "provider_key_id!" from keys.subject
               where subject_id = any($1) and wrapped_key is not null"#,
            subjects
        )
        .fetch_all(&self.keys)
        .await
        .map_err(VaultError::ReadKeys)?;
        for key_id in wrapped_by {
            if let Err(error) = self.provider.renew(&key_id).await {
                tracing::warn!(key = key_id, error = %error, "could not renew a wrapping key");
            }
        }
        Ok(())
    }

    /// Wraps some keys anew.
    async fn rewrap(&self, old: &str, new: &str) -> Result<Rewrapped, VaultError> {
        let mut tx = begin(&self.keys).await.map_err(VaultError::EraseKeys)?;
        if !hold(&mut tx, new).await? {
            return Ok(Rewrapped::UnderRetired);
        }
        let rows = sqlx::query!(
            r#"select subject_id, wrapped_key as "wrapped_key!" from keys.subject
               where provider_key_id = $1 and wrapped_key is not null order by subject_id limit $2 for update"#,
            old,
            REWRAPPED_MAX
        )
        .fetch_all(&mut *tx)
        .await
        .map_err(VaultError::ReadKeys)?;
        let rewrapped = stream::iter(rows).map(async |row| {
            let subject = row.subject_id;
            let key = self.provider.unwrap(old, subject, &row.wrapped_key).await?;
            let wrapped = self.provider.wrap(new, subject, &key).await?;
            Ok::<_, ProviderError>((subject, wrapped))
        });
        let rewrapped: Vec<_> = rewrapped.buffered(CALLS_AT_ONCE).try_collect().await?;
        let (subjects, wrapped): (Vec<Uuid>, Vec<Vec<u8>>) = rewrapped.into_iter().unzip();
        if subjects.is_empty() {
            return Ok(Rewrapped::Nothing);
        }
        sqlx::query!(
            "update keys.subject s set provider_key_id = $1, wrapped_key = n.wrapped_key
             from unnest($2::uuid[], $3::bytea[]) n(subject_id, wrapped_key) where s.subject_id = n.subject_id",
            new,
            &subjects,
            &wrapped
        )
        .execute(&mut *tx)
        .await
        .map_err(VaultError::EraseKeys)?;
        succeed(&mut tx, old, new).await?;
        tx.commit().await.map_err(VaultError::EraseKeys)?;
        Ok(Rewrapped::Some)
    }
}

enum Rewrapped {
    Some,
    Nothing,
    /// The key that was to wrap them was retired itself.
    UnderRetired,
}

/// Removes wrapped keys, and retires what wrapped them. A subject without a key is noted as erased, too.
async fn remove(tx: &mut PgConnection, tenant: Uuid, subjects: &[Uuid]) -> Result<(), VaultError> {
    let buckets: Vec<i16> = subjects
        .iter()
        .map(|subject| KeyBucket::of(*subject).0.cast_signed())
        .collect();
    // In the order in which whoever stores a new key locks: wrapping keys first. Waits for them.
    sqlx::query!(
        "select k.id from keys.provider_key k
         where k.id in (select s.provider_key_id from keys.subject s where s.subject_id = any($1)) order by k.id for update",
        subjects
    )
    .fetch_all(&mut *tx)
    .await
    .map_err(VaultError::EraseKeys)?;
    let removed = sqlx::query!(
        "insert into keys.subject as s (subject_id, tenant_id, bucket, erased_at, holds)
         select n.subject_id, $1, n.bucket, clock_timestamp(), $4 from unnest($2::uuid[], $3::smallint[]) n(subject_id, bucket)
         order by n.subject_id
         on conflict (subject_id) do update set wrapped_key = null, erased_at = coalesce(s.erased_at, excluded.erased_at)
           where s.tenant_id = excluded.tenant_id
         returning s.subject_id, s.provider_key_id",
        tenant,
        subjects,
        &buckets,
        if tenant == PLATFORM { "platform" } else { "subject" }
    )
    .fetch_all(&mut *tx)
    .await
    .map_err(VaultError::EraseKeys)?;
    let foreign = |subject: &&Uuid| !removed.iter().any(|row| row.subject_id == **subject);
    if let Some(foreign) = subjects.iter().find(foreign) {
        return Err(VaultError::ForeignSubject(*foreign));
    }
    let wrapped_by: Vec<String> = removed
        .into_iter()
        .filter_map(|row| row.provider_key_id)
        .collect();
    retire(tx, &wrapped_by).await
}

/// Tells the key database of some of the provider's keys.
pub(super) async fn announce(tx: &mut PgConnection, ids: &[String]) -> Result<(), VaultError> {
    sqlx::query!(
        "insert into keys.provider_key (id) select unnest($1::text[]) on conflict do nothing",
        ids
    )
    .execute(tx)
    .await
    .map(drop)
    .map_err(VaultError::StoreKey)
}

/// No new key comes under these any more.
pub(super) async fn retire(tx: &mut PgConnection, ids: &[String]) -> Result<(), VaultError> {
    sqlx::query!(
        "update keys.provider_key set retired_at = clock_timestamp() where id = any($1) and retired_at is null",
        ids
    )
    .execute(tx)
    .await
    .map(drop)
    .map_err(VaultError::EraseKeys)
}

/// Notes which of the provider's keys took over something that another one wrapped.
pub(super) async fn succeed(tx: &mut PgConnection, old: &str, new: &str) -> Result<(), VaultError> {
    sqlx::query!(
        "insert into keys.successor (provider_key_id, successor_id) values ($1, $2) on conflict do nothing",
        old,
        new
    )
    .execute(tx)
    .await
    .map(drop)
    .map_err(VaultError::EraseKeys)
}

/// Keeps a wrapping key from being retired until the transaction ends. Answers whether it can still be used.
async fn hold(tx: &mut PgConnection, provider_key_id: &str) -> Result<bool, VaultError> {
    announce(tx, &[provider_key_id.to_owned()]).await?;
    let held = sqlx::query_scalar!(
        "select id from keys.provider_key where id = $1 and retired_at is null for share",
        provider_key_id
    )
    .fetch_optional(tx)
    .await
    .map_err(VaultError::ReadKeys)?;
    Ok(held.is_some())
}

async fn evict(
    keys: &PgPool,
    cached: &Cached,
    trees: &CachedTrees,
    since: DateTime<Utc>,
) -> Result<DateTime<Utc>, sqlx::Error> {
    let looked_at = now(keys).await?;
    let erased = sqlx::query!(
        "select subject_id, tenant_id from keys.subject where erased_at > $1 and holds <> 'tree'",
        since - WATCHED_AGAIN
    )
    .fetch_all(keys)
    .await?;
    for row in erased {
        cached.insert((row.tenant_id, row.subject_id), None);
        trees::evict(trees, row.tenant_id, row.subject_id);
    }
    // What was replaced is wiped when it is dropped, which the caches put off until they tidy up.
    cached.run_pending_tasks();
    trees.run_pending_tasks();
    Ok(looked_at)
}

pub(super) async fn now(keys: &PgPool) -> Result<DateTime<Utc>, sqlx::Error> {
    sqlx::query_scalar!(r#"select clock_timestamp() as "now!""#)
        .fetch_one(keys)
        .await
}

/// Looks for subjects that others erased, as long as the vault lives.
pub(super) struct Watch(JoinHandle<()>);

impl Watch {
    pub(super) fn start(keys: PgPool, cached: Cached, trees: CachedTrees) -> Self {
        Self(tokio::spawn(async move {
            let mut since = None;
            loop {
                // Of what was erased before the first look, nothing is cached.
                let look = async {
                    match since {
                        Some(since) => evict(&keys, &cached, &trees, since).await,
                        None => now(&keys).await,
                    }
                };
                match timeout(HEARD_WITHIN, look).await {
                    Ok(Ok(looked_at)) => since = Some(looked_at),
                    // Whoever can't hear of erasures must not go on with keys that may be gone.
                    failed => {
                        let error = failed.map(Result::err);
                        tracing::warn!(
                            ?error,
                            "could not look for erased subjects: all keys are forgotten"
                        );
                        cached.invalidate_all();
                        trees.invalidate_all();
                        cached.run_pending_tasks();
                        trees.run_pending_tasks();
                        since = None;
                    }
                }
                tokio::time::sleep(WATCHED_EVERY).await;
            }
        }))
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.0.abort();
    }
}
