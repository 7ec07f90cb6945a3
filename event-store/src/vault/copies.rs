//! Copies, outside of the key database, of keys that were wrapped anew.
//!
//! Erasing somebody destroys the provider's key that wrapped theirs, and with it what a backup of the key database holds of
//! everybody else under that key. So the others' keys, as they are wrapped from then on, are copied before it is destroyed: a
//! backup and the copies since then hold the key of everybody who is not erased. Of who is erased later the copy is as useless
//! as the backup. The platform's own keys, of which there are few, are copied when they are made.

use std::collections::{BTreeMap, BTreeSet};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{KeyBucket, Vault, VaultError};
use crate::PlacePath;
use crate::place::{Place, PlaceError};
use crate::pool::begin;

const FOLDER: &str = "rewrapped";
/// What the place calls itself.
const PLACE: &str = "place.txt";
/// Keys in one file.
const COPIED_MAX: i64 = 10_000;

/// Where copies are kept: with the backups of the key database.
#[derive(Clone, Debug)]
pub struct KeyCopies(Place);

/// What copies had to give to a key database that was restored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Taken {
    /// Keys that the database had not, or only under what was destroyed.
    pub keys: u64,
    /// Keys that it has only under what was destroyed, and no copy has: of those who were erased since, as a rule.
    pub lost: i64,
}

/// A file's format. Stored; never rename.
#[derive(Serialize, Deserialize)]
struct Copied {
    version: u32,
    keys: Vec<CopiedKey>,
}

#[derive(Serialize, Deserialize)]
struct CopiedKey {
    subject: Uuid,
    tenant: Uuid,
    wrapped_by: String,
    /// Base64.
    wrapped: String,
}

impl KeyCopies {
    pub fn new(place: Place) -> Self {
        Self(place)
    }

    /// Removes copies that are older than every backup that is kept. Answers how many.
    pub async fn remove_before(&self, moment: DateTime<Utc>) -> Result<usize, PlaceError> {
        let mut removed = 0;
        for stored in self.0.list(&FOLDER.into()).await? {
            if stored.modified_at < moment {
                self.0.remove(&stored.path).await?;
                removed += 1;
            }
        }
        Ok(removed)
    }

    /// Never in the place of another one: two processes may copy the same keys, a little apart.
    async fn write(&self, why: &str, keys: Vec<CopiedKey>) -> Result<(), VaultError> {
        let path = PlacePath::from_iter([FOLDER, why, &format!("{}.json", Uuid::now_v7())]);
        let copied = serde_json::to_vec(&Copied { version: 1, keys });
        let copied = copied.expect("ids and texts serialise");
        self.0.put(&path, copied).await.map_err(VaultError::Copies)
    }

    /// What the place calls itself. `None` where it has no name.
    async fn name(&self) -> Result<Option<Uuid>, VaultError> {
        match self.0.read(&PLACE.into()).await {
            Ok(name) => {
                let name = String::from_utf8(name).ok();
                let name = name.and_then(|name| name.trim().parse().ok());
                name.map(Some)
                    .ok_or_else(|| VaultError::MalformedCopy(PLACE.to_owned()))
            }
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(VaultError::Copies(error)),
        }
    }

    /// Gives it one, unless it has.
    async fn named(&self) -> Result<Option<Uuid>, VaultError> {
        let name = format!("{}\n", Uuid::new_v4()).into_bytes();
        let named = self.0.create(&PLACE.into(), name).await;
        named.map_err(VaultError::Copies)?;
        self.name().await
    }

    async fn read(&self, path: &PlacePath) -> Result<Vec<CopiedKey>, VaultError> {
        let bytes = self.0.read(path).await.map_err(VaultError::Copies)?;
        match serde_json::from_slice(&bytes) {
            Ok(Copied { version: 1, keys }) => Ok(keys),
            _ => Err(VaultError::MalformedCopy(path.to_string())),
        }
    }
}

impl Vault {
    /// Copies every key that was wrapped by the old one of the provider's and now is by another.
    pub(super) async fn copy_rewrapped(&self, old: &str) -> Result<(), VaultError> {
        self.check_place().await?;
        let mut after = Uuid::nil();
        loop {
            let rows = sqlx::query!(
                r#"with recursive heir (id) as (
                     select successor_id from keys.successor where provider_key_id = $1
                     union
                     select s.successor_id from keys.successor s join heir on s.provider_key_id = heir.id
                   )
                   select subject_id, tenant_id, provider_key_id as "provider_key_id!", wrapped_key as "wrapped_key!"
                   from keys.subject
                   where wrapped_key is not null and provider_key_id in (select id from heir) and subject_id > $2
                   order by subject_id limit $3"#,
                old,
                after,
                COPIED_MAX
            )
            .fetch_all(&self.keys)
            .await
            .map_err(VaultError::ReadKeys)?;
            let Some(last) = rows.last() else {
                return Ok(());
            };
            after = last.subject_id;
            let keys = rows.into_iter().map(|row| CopiedKey {
                subject: row.subject_id,
                tenant: row.tenant_id,
                wrapped_by: row.provider_key_id,
                wrapped: STANDARD.encode(row.wrapped_key),
            });
            self.copies.write(old, keys.collect()).await?;
        }
    }

    /// Refuses to copy to another place than the one that the key database knows; the first one is remembered.
    async fn check_place(&self) -> Result<(), VaultError> {
        let bound = async || {
            sqlx::query_scalar!("select id from keys.copies_place")
                .fetch_optional(&self.keys)
                .await
                .map_err(VaultError::ReadKeys)
        };
        if let Some(bound) = bound().await? {
            let same = self.copies.name().await? == Some(bound);
            return same.then_some(()).ok_or(VaultError::OtherCopies);
        }
        let named = self.copies.named().await?;
        sqlx::query!(
            "insert into keys.copies_place (id) values ($1) on conflict do nothing",
            named
        )
        .execute(&self.keys)
        .await
        .map_err(VaultError::StoreKey)?;
        let same = bound().await? == named;
        same.then_some(()).ok_or(VaultError::OtherCopies)
    }

    /// Copies a key that is not in any backup yet.
    pub(super) async fn copy(&self, id: Uuid) -> Result<(), VaultError> {
        self.check_place().await?;
        let row = sqlx::query!(
            r#"select tenant_id, provider_key_id as "provider_key_id!", wrapped_key as "wrapped_key!" from keys.subject
               where subject_id = $1 and wrapped_key is not null"#,
            id
        )
        .fetch_optional(&self.keys)
        .await
        .map_err(VaultError::ReadKeys)?
        .ok_or(VaultError::KeyMissing(id))?;
        let key = CopiedKey {
            subject: id,
            tenant: row.tenant_id,
            wrapped_by: row.provider_key_id,
            wrapped: STANDARD.encode(row.wrapped_key),
        };
        self.copies.write(&id.to_string(), vec![key]).await
    }

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
        let mut taken = 0;
        let listed = self.copies.0.list(&FOLDER.into()).await;
        for stored in listed.map_err(VaultError::Copies)? {
            let mut usable = Vec::new();
            for key in self.copies.read(&stored.path).await? {
                if held.is(self, &key.wrapped_by).await? {
                    usable.push(key);
                }
            }
            taken += self.take(usable, &gone, &stored.path).await?;
        }
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
        keys: Vec<CopiedKey>,
        gone: &[String],
        path: &PlacePath,
    ) -> Result<u64, VaultError> {
        let malformed = || VaultError::MalformedCopy(path.to_string());
        let (mut subjects, mut tenants, mut buckets) = (Vec::new(), Vec::new(), Vec::new());
        let (mut wrapped_by, mut wrapped) = (Vec::new(), Vec::new());
        for key in keys {
            subjects.push(key.subject);
            tenants.push(key.tenant);
            buckets.push(KeyBucket::of(key.subject).0.cast_signed());
            wrapped.push(STANDARD.decode(&key.wrapped).map_err(|_| malformed())?);
            wrapped_by.push(key.wrapped_by);
        }
        let announced: Vec<String> = BTreeSet::from_iter(wrapped_by.clone())
            .into_iter()
            .collect();
        let mut tx = begin(&self.keys).await.map_err(VaultError::StoreKey)?;
        sqlx::query!(
            "insert into keys.provider_key (id) select unnest($1::text[]) on conflict do nothing",
            &announced
        )
        .execute(&mut *tx)
        .await
        .map_err(VaultError::StoreKey)?;
        let taken = sqlx::query!(
            "insert into keys.subject as s (subject_id, tenant_id, bucket, provider_key_id, wrapped_key)
             select * from unnest($1::uuid[], $2::uuid[], $3::smallint[], $4::text[], $5::bytea[])
             on conflict (subject_id) do update
             set provider_key_id = excluded.provider_key_id, wrapped_key = excluded.wrapped_key
             where s.tenant_id = excluded.tenant_id and s.wrapped_key is not null and s.provider_key_id = any($6)",
            &subjects,
            &tenants,
            &buckets,
            &wrapped_by,
            &wrapped,
            gone
        )
        .execute(&mut *tx)
        .await
        .map_err(VaultError::StoreKey)?;
        tx.commit().await.map_err(VaultError::StoreKey)?;
        Ok(taken.rows_affected())
    }
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
