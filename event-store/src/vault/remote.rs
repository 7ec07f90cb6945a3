//! The provider of many machines: a service elsewhere holds the keys, and the key database knows which of them is current.
//!
//! The service is not asked for that: what it lists or names can be changed by two processes at once, and some services tell
//! old news for minutes. The key database decides by one row, as it does about retiring a key.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use futures::future::BoxFuture;
use sqlx::PgPool;
use tokio::sync::Mutex;
use uuid::Uuid;

use super::provider::{Destroyed, KEY_BUCKETS, KeyProvider, ProviderError};
use super::{KeyBucket, PLATFORM, Root, SubjectKey, VaultError, erasure};

/// A service that makes keys and uses them for us, and hands none out. Each call of [`KeyService::wrap`] and
/// [`KeyService::unwrap`] names the subject as associated data.
pub trait KeyService: Send + Sync {
    /// Makes a key for a purpose, such as `bucket-07`. Answers its name, which no other key ever has, once it can be used.
    fn create<'a>(&'a self, purpose: &'a str) -> BoxFuture<'a, Result<String, ProviderError>>;

    fn wrap<'a>(
        &'a self,
        key_id: &'a str,
        subject: Uuid,
        key: &'a SubjectKey,
    ) -> BoxFuture<'a, Result<Vec<u8>, ProviderError>>;

    fn unwrap<'a>(
        &'a self,
        key_id: &'a str,
        subject: Uuid,
        wrapped: &'a [u8],
    ) -> BoxFuture<'a, Result<SubjectKey, ProviderError>>;

    /// Whether it can still open what this key wrapped.
    fn holds<'a>(&'a self, key_id: &'a str) -> BoxFuture<'a, Result<bool, ProviderError>>;

    /// Destroys a key: what it wrapped opens no more. Doing so again is no error.
    fn destroy<'a>(&'a self, key_id: &'a str) -> BoxFuture<'a, Result<Gone, ProviderError>>;
}

/// What a service says of a key that it destroyed.
pub struct Gone {
    pub receipt: String,
    /// From then on nobody can undo it; `None` where nobody can any more.
    pub final_at: Option<DateTime<Utc>>,
}

/// The keys of a [`KeyService`] in the order of their generations. Any number of processes may share them.
pub struct RemoteKeys {
    service: Arc<dyn KeyService>,
    keys: PgPool,
    /// By bucket, as this process knows it. That another renewed one is noticed when the key database refuses the old one.
    current: Vec<Mutex<Option<String>>>,
}

struct Generation {
    number: i32,
    key_id: String,
}

impl RemoteKeys {
    /// `keys` is a pool on the key database, as role `proofline_vault`.
    pub fn new(service: Arc<dyn KeyService>, keys: PgPool) -> Self {
        Self {
            service,
            keys,
            current: (0..KEY_BUCKETS).map(|_| Mutex::default()).collect(),
        }
    }

    /// The root that the key database holds.
    pub async fn root(&self) -> Result<Root, VaultError> {
        self.stored_root()
            .await?
            .map(|(_, root)| root)
            .ok_or(VaultError::NoRoot)
    }

    /// The same, made where there is none. Of two processes that make one at once, both answer one.
    pub async fn root_or_new(&self) -> Result<Root, VaultError> {
        if let Some((_, root)) = self.stored_root().await? {
            return Ok(root);
        }
        if self.is_bound().await? {
            // With another root, which is not here.
            return Err(VaultError::OtherProvider);
        }
        let made = self.service.create("root").await?;
        let wrapped = self
            .service
            .wrap(&made, PLATFORM, &SubjectKey::random())
            .await?;
        sqlx::query!(
            "insert into keys.root (provider_key_id, wrapped) values ($1, $2) on conflict do nothing",
            made,
            wrapped
        )
        .execute(&self.keys)
        .await
        .map_err(VaultError::StoreKey)?;
        let (key_id, root) = self.stored_root().await?.ok_or(VaultError::NoRoot)?;
        if key_id != made {
            self.discard(&made).await;
        }
        Ok(root)
    }

    async fn stored_root(&self) -> Result<Option<(String, Root)>, VaultError> {
        let row = sqlx::query!("select provider_key_id, wrapped from keys.root")
            .fetch_optional(&self.keys)
            .await
            .map_err(VaultError::ReadKeys)?;
        let Some(row) = row else {
            return Ok(None);
        };
        let key_id = row.provider_key_id;
        let opened = self.service.unwrap(&key_id, PLATFORM, &row.wrapped).await?;
        Ok(Some((key_id, Root::new(*opened.expose()))))
    }

    /// Whether a root was in use with this key database before.
    async fn is_bound(&self) -> Result<bool, VaultError> {
        sqlx::query_scalar!(r#"select exists (select from keys.provider) as "bound!""#)
            .fetch_one(&self.keys)
            .await
            .map_err(VaultError::ReadKeys)
    }

    async fn current_now(&self, bucket: u16) -> Result<String, ProviderError> {
        let mut current = self.current[usize::from(bucket)].lock().await;
        if let Some(key_id) = &*current {
            return Ok(key_id.clone());
        }
        let key_id = self.current_but(bucket, None).await?;
        *current = Some(key_id.clone());
        Ok(key_id)
    }

    async fn renew_now(&self, key_id: &str) -> Result<String, ProviderError> {
        let bucket = self.bucket_of(key_id).await?;
        let bucket = bucket.ok_or_else(|| ProviderError::UnknownKey(key_id.to_owned()))?;
        let mut current = self.current[usize::from(bucket)].lock().await;
        let renewed = self.current_but(bucket, Some(key_id)).await?;
        *current = Some(renewed.clone());
        Ok(renewed)
    }

    /// The bucket's key of the highest generation, if that is another one and can be used; else a new one. It can't be where the
    /// key database was put back from before it was destroyed.
    async fn current_but(&self, bucket: u16, old: Option<&str>) -> Result<String, ProviderError> {
        let highest = self.highest(bucket).await?;
        if let Some(highest) = &highest
            && old != Some(&highest.key_id)
            && self.service.holds(&highest.key_id).await?
        {
            return Ok(highest.key_id.clone());
        }
        let made = self.service.create(&format!("bucket-{bucket:02}")).await?;
        let added = sqlx::query!(
            "insert into keys.bucket_key (bucket, generation, provider_key_id) values ($1, $2, $3) on conflict do nothing",
            bucket.cast_signed(),
            highest.map_or(0, |highest| highest.number) + 1,
            made
        )
        .execute(&self.keys)
        .await
        .map_err(ProviderError::Agree)?;
        if added.rows_affected() == 1 {
            return Ok(made);
        }
        self.discard(&made).await;
        let faster = self.highest(bucket).await?;
        Ok(faster.ok_or(ProviderError::UnknownKey(made))?.key_id)
    }

    async fn highest(&self, bucket: u16) -> Result<Option<Generation>, ProviderError> {
        sqlx::query_as!(
            Generation,
            "select generation as number, provider_key_id as key_id from keys.bucket_key
             where bucket = $1 order by generation desc limit 1",
            bucket.cast_signed()
        )
        .fetch_optional(&self.keys)
        .await
        .map_err(ProviderError::Agree)
    }

    /// By whom it wraps, where the key database was put back from before the key was made.
    async fn bucket_of(&self, key_id: &str) -> Result<Option<u16>, ProviderError> {
        let bucket = sqlx::query_scalar!(
            "select coalesce(
               (select bucket from keys.bucket_key where provider_key_id = $1),
               (select bucket % $2 from keys.subject where provider_key_id = $1 and wrapped_key is not null limit 1)
             )",
            key_id,
            KEY_BUCKETS.cast_signed()
        )
        .fetch_one(&self.keys)
        .await
        .map_err(ProviderError::Agree)?;
        Ok(bucket.map(i16::cast_unsigned))
    }

    async fn destroy_now(&self, key_id: &str) -> Result<Destroyed, ProviderError> {
        let in_use = sqlx::query_scalar!(
            r#"select exists (
                 select from keys.bucket_key k where k.provider_key_id = $1 and not exists (
                   select from keys.bucket_key later where later.bucket = k.bucket and later.generation > k.generation
                 )
                 union all
                 select from keys.root where provider_key_id = $1
               ) as "in_use!""#,
            key_id
        )
        .fetch_one(&self.keys)
        .await
        .map_err(ProviderError::Agree)?;
        if in_use {
            return Err(ProviderError::InUse(key_id.to_owned()));
        }
        let Gone { receipt, final_at } = self.service.destroy(key_id).await?;
        let final_at = match final_at {
            Some(final_at) => final_at,
            None => erasure::now(&self.keys)
                .await
                .map_err(ProviderError::Agree)?,
        };
        Ok(Destroyed { receipt, final_at })
    }

    /// Destroys a key that this process made when another was faster. It never wrapped anything that was kept.
    async fn discard(&self, key_id: &str) {
        if let Err(error) = self.service.destroy(key_id).await {
            tracing::warn!(
                key = key_id,
                error = &error as &dyn std::error::Error,
                "a key that nobody uses could not be destroyed"
            );
        }
    }
}

impl KeyProvider for RemoteKeys {
    fn current(&self, bucket: KeyBucket) -> BoxFuture<'_, Result<String, ProviderError>> {
        Box::pin(self.current_now(bucket.0 % KEY_BUCKETS))
    }

    fn wrap<'a>(
        &'a self,
        key_id: &'a str,
        subject: Uuid,
        key: &'a SubjectKey,
    ) -> BoxFuture<'a, Result<Vec<u8>, ProviderError>> {
        self.service.wrap(key_id, subject, key)
    }

    fn unwrap<'a>(
        &'a self,
        key_id: &'a str,
        subject: Uuid,
        wrapped: &'a [u8],
    ) -> BoxFuture<'a, Result<SubjectKey, ProviderError>> {
        self.service.unwrap(key_id, subject, wrapped)
    }

    fn holds<'a>(&'a self, key_id: &'a str) -> BoxFuture<'a, Result<bool, ProviderError>> {
        self.service.holds(key_id)
    }

    fn renew<'a>(&'a self, key_id: &'a str) -> BoxFuture<'a, Result<String, ProviderError>> {
        Box::pin(self.renew_now(key_id))
    }

    fn destroy<'a>(&'a self, key_id: &'a str) -> BoxFuture<'a, Result<Destroyed, ProviderError>> {
        Box::pin(self.destroy_now(key_id))
    }
}
