//! New subjects' keys, stored together: concurrent commands about new subjects share a commit of the key database.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use sqlx::PgPool;
use uuid::Uuid;

use super::KeyBucket;
use crate::calls::{Calls, Failure, failure};
use crate::lane::{Access, Flush, Lane, Limits};

/// A key that was just made, wrapped.
pub(super) struct NewKey {
    pub(super) subject: Uuid,
    pub(super) tenant: Uuid,
    pub(super) bucket: KeyBucket,
    pub(super) provider_key_id: String,
    pub(super) wrapped: Vec<u8>,
}

pub(super) struct StoreKeys {
    calls: Calls,
    /// Those of the provider's keys that the key database was told of.
    known: Mutex<HashSet<String>>,
}

pub(super) fn start(keys: PgPool) -> Lane<StoreKeys> {
    let limits = Limits {
        held_max: 4096,
        held_weight_max: 4096,
        parties_min: 4,
        items_max: 256,
        weight_max: 256,
        // While one is under way the next gathers: many keys in few calls cost the database, and what is appended
        // meanwhile, less than few keys in many.
        calls_max: 1,
    };
    let store = StoreKeys {
        calls: Calls::new(keys),
        known: Mutex::default(),
    };
    Lane::start("subject_keys", store, limits)
}

impl Flush for StoreKeys {
    type Item = NewKey;
    /// Whether it was stored. Else the subject has a key already, or the key that wraps was renewed meanwhile.
    type Reply = Result<bool, Arc<sqlx::Error>>;
    type Key = Uuid;

    fn keys(item: &NewKey) -> Vec<(Uuid, Access)> {
        vec![(item.subject, Access::Exclusive)]
    }

    fn party(item: &NewKey) -> Uuid {
        item.tenant
    }

    fn weight(_: &NewKey) -> usize {
        1
    }

    async fn flush(&self, mut items: Vec<NewKey>) -> Vec<Self::Reply> {
        let asked: Vec<Uuid> = items.iter().map(|item| item.subject).collect();
        // In one order in every process, so that two never wait for each other.
        items.sort_by_key(|item| item.subject);
        let stored = match self.store(&items).await {
            // Whether it was done or not: doing it again is no other thing, and says of what was done that it is there.
            Err(error) if matches!(failure(&error), Failure::Lost) => self.store(&items).await,
            stored => stored,
        };
        match stored {
            Ok(stored) => asked
                .iter()
                .map(|subject| Ok(stored.contains(subject)))
                .collect(),
            Err(error) => {
                let error = Arc::new(error);
                asked.iter().map(|_| Err(error.clone())).collect()
            }
        }
    }
}

impl StoreKeys {
    async fn store(&self, items: &[NewKey]) -> Result<HashSet<Uuid>, sqlx::Error> {
        let subjects: Vec<Uuid> = items.iter().map(|item| item.subject).collect();
        let tenants: Vec<Uuid> = items.iter().map(|item| item.tenant).collect();
        let buckets: Vec<i16> = items
            .iter()
            .map(|item| item.bucket.0.cast_signed())
            .collect();
        let provider_keys: Vec<&str> = items.iter().map(|item| &*item.provider_key_id).collect();
        let wrapped: Vec<&[u8]> = items.iter().map(|item| &*item.wrapped).collect();
        self.announce(&provider_keys).await?;
        // The share lock keeps a key from being renewed between the look and the commit: nothing is left under a key that
        // is destroyed. Everybody locks in the order of ids.
        let insert = sqlx::query_scalar!(
            "with k as materialized (
               select id from keys.provider_key where id = any($4) and retired_at is null order by id for share
             )
             insert into keys.subject (subject_id, tenant_id, bucket, provider_key_id, wrapped_key)
             select n.* from unnest($1::uuid[], $2::uuid[], $3::smallint[], $4::text[], $5::bytea[])
               n(subject_id, tenant_id, bucket, provider_key_id, wrapped_key)
             join k on k.id = n.provider_key_id
             order by n.subject_id
             on conflict do nothing returning subject_id",
            &subjects,
            &tenants,
            &buckets,
            &provider_keys as _,
            &wrapped as _
        );
        let stored = self.calls.run(async |keys| insert.fetch_all(keys).await);
        Ok(stored.await?.into_iter().collect())
    }

    /// Tells the key database which of the provider's keys are in use.
    async fn announce(&self, provider_keys: &[&str]) -> Result<(), sqlx::Error> {
        let known = || self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let new: Vec<String> = {
            let known = known();
            let new = provider_keys.iter().filter(|id| !known.contains(**id));
            new.map(|id| (*id).to_owned()).collect()
        };
        if new.is_empty() {
            return Ok(());
        }
        let insert = sqlx::query!(
            "insert into keys.provider_key (id) select distinct id from unnest($1::text[]) id order by id
             on conflict do nothing",
            &new
        );
        self.calls
            .run(async |keys| insert.execute(keys).await)
            .await?;
        known().extend(new);
        Ok(())
    }
}
