//! The API keys of accounts, folded from the log itself: there is no table that could lag behind a revocation.

use std::sync::Arc;
use std::time::Duration;

use domain::account::{Account, ApiKey};
use domain::{AccountId, ApiKeyId};
use event_store::{StoreError, Streams};
use moka::future::Cache;

use crate::read::ReadError;

/// A revoked key opens nothing any more after this long.
const CACHED_FOR: Duration = Duration::from_secs(2);
const CACHED_ACCOUNTS_MAX: u64 = 10_000;

/// Cheap to clone.
#[derive(Clone)]
pub(crate) struct Accounts {
    streams: Streams,
    cached: Cache<AccountId, Arc<Account>>,
}

impl Accounts {
    pub(crate) fn new(streams: Streams) -> Self {
        let cached = Cache::builder()
            .max_capacity(CACHED_ACCOUNTS_MAX)
            .time_to_live(CACHED_FOR)
            .build();
        Self { streams, cached }
    }

    /// The account's key, while it is valid. Requests of one account that come together read its stream once.
    pub(crate) async fn api_key(
        &self,
        account: AccountId,
        key: ApiKeyId,
    ) -> Result<Option<ApiKey>, ReadError> {
        let account = self
            .cached
            .try_get_with(account, self.load(account))
            .await
            .map_err(ReadError::Account)?;
        Ok(account.api_key(key).cloned())
    }

    async fn load(&self, account: AccountId) -> Result<Arc<Account>, StoreError> {
        let loaded = self
            .streams
            .load::<Account>(account.into(), &account.to_string())
            .await?;
        Ok(Arc::new(loaded.aggregate))
    }
}
