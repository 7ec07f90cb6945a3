//! Copies, outside of the key database, of keys that were wrapped anew.
//!
//! Erasing somebody destroys the provider's key that wrapped theirs, and with it what a backup of the key database holds of
//! everybody else under that key. So the others' keys, as they are wrapped from then on, are copied before it is destroyed: a
//! backup and the copies since then hold the key of everybody who is not erased. Of who is erased later the copy is as useless
//! as the backup. The platform's own keys and the first ones of trees, of which there are few, are copied when they are made:
//! whatever the age of the backup, nobody's key is missing.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{Vault, VaultError};
use crate::PlacePath;
use crate::place::{Place, PlaceError};

pub(super) const FOLDER: &str = "rewrapped";
/// What the place calls itself.
const PLACE: &str = "place.txt";
/// Keys in one file.
const COPIED_MAX: usize = 1_000;

/// Where copies are kept: with the backups of the key database.
#[derive(Clone, Debug)]
pub struct KeyCopies(pub(super) Place);

/// A file's format. Stored; never rename.
#[derive(Serialize, Deserialize)]
pub(super) struct Copied {
    /// 1 before there were trees.
    version: u32,
    pub(super) keys: Vec<CopiedKey>,
    /// Whose keys are among these.
    #[serde(default)]
    pub(super) trees: Vec<CopiedTree>,
}

#[derive(Serialize, Deserialize)]
pub(super) struct CopiedKey {
    pub(super) subject: Uuid,
    pub(super) tenant: Uuid,
    pub(super) wrapped_by: String,
    /// Base64.
    pub(super) wrapped: String,
}

#[derive(Clone, Serialize, Deserialize)]
pub(super) struct CopiedTree {
    pub(super) tenant: Uuid,
    pub(super) shard: i16,
    pub(super) generation: i32,
    pub(super) key: Uuid,
    /// Base64; those of the first generation follow from its key.
    pub(super) nodes: Option<String>,
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
    async fn write(
        &self,
        why: &str,
        keys: Vec<CopiedKey>,
        trees: Vec<CopiedTree>,
    ) -> Result<(), VaultError> {
        let path = PlacePath::from_iter([FOLDER, why, &format!("{}.json", Uuid::now_v7())]);
        let copied = serde_json::to_vec(&Copied {
            version: 2,
            keys,
            trees,
        });
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

    pub(super) async fn read(&self, path: &PlacePath) -> Result<Copied, VaultError> {
        let bytes = self.0.read(path).await.map_err(VaultError::Copies)?;
        match serde_json::from_slice(&bytes) {
            Ok(copied @ Copied { version: 1 | 2, .. }) => Ok(copied),
            _ => Err(VaultError::MalformedCopy(path.to_string())),
        }
    }
}

impl Vault {
    /// Copies every key that was wrapped by the old one of the provider's and now is by another.
    pub(super) async fn copy_rewrapped(&self, old: &str) -> Result<(), VaultError> {
        self.check_place().await?;
        // At one moment: a tree's key may give its place to another in the next.
        let rows = sqlx::query!(
            r#"with recursive heir (id) as (
                 select successor_id from keys.successor where provider_key_id = $1
                 union
                 select s.successor_id from keys.successor s join heir on s.provider_key_id = heir.id
               )
               select s.subject_id, s.tenant_id, s.provider_key_id as "provider_key_id!", s.wrapped_key as "wrapped_key!",
                      t.shard as "shard?", t.generation as "generation?", t.nodes
               from keys.subject s left join keys.tree t on t.key_id = s.subject_id
               where s.wrapped_key is not null and s.provider_key_id in (select id from heir)
               order by s.subject_id"#,
            old
        )
        .fetch_all(&self.keys)
        .await
        .map_err(VaultError::ReadKeys)?;
        for rows in rows.chunks(COPIED_MAX) {
            let keys = rows.iter().map(|row| CopiedKey {
                subject: row.subject_id,
                tenant: row.tenant_id,
                wrapped_by: row.provider_key_id.clone(),
                wrapped: STANDARD.encode(&row.wrapped_key),
            });
            let trees = rows.iter().filter_map(|row| {
                Some(CopiedTree {
                    tenant: row.tenant_id,
                    shard: row.shard?,
                    generation: row.generation?,
                    key: row.subject_id,
                    nodes: row.nodes.as_ref().map(|nodes| STANDARD.encode(nodes)),
                })
            });
            let written = self.copies.write(old, keys.collect(), trees.collect());
            written.await?;
        }
        Ok(())
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

    /// Copies a key that is not in any backup yet, and the tree that it is of. Answers what wraps it in the copy.
    pub(super) async fn copy(
        &self,
        id: Uuid,
        tree: Option<CopiedTree>,
    ) -> Result<String, VaultError> {
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
            wrapped_by: row.provider_key_id.clone(),
            wrapped: STANDARD.encode(row.wrapped_key),
        };
        let trees = tree.into_iter().collect();
        self.copies.write(&id.to_string(), vec![key], trees).await?;
        Ok(row.provider_key_id)
    }

    /// The same once more, where it was wrapped anew since it was copied.
    pub(super) async fn copy_again(
        &self,
        id: Uuid,
        tree: CopiedTree,
        copied_under: &str,
    ) -> Result<(), VaultError> {
        let wrapped_by = sqlx::query_scalar!(
            "select provider_key_id from keys.subject where subject_id = $1 and wrapped_key is not null",
            id
        )
        .fetch_optional(&self.keys)
        .await
        .map_err(VaultError::ReadKeys)?
        .flatten();
        match wrapped_by {
            Some(wrapped_by) if wrapped_by != copied_under => {
                self.copy(id, Some(tree)).await.map(drop)
            }
            _ => Ok(()),
        }
    }
}
