//! Opening accounts, and their API keys.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use domain::account::{Account, AccountCommand, ApiKey, Scope};
use domain::{AccountId, AccountName, ApiKeyHash, ApiKeyId, Label};
use event_store::Loaded;

use crate::call::Call;
use crate::error::CommandError;
use crate::executor::{Committed, Executor};

/// How long a key that another process revoked may still be taken here.
const KEYS_AGE_MAX: Duration = Duration::from_secs(2);
const ACCOUNTS_MAX: u64 = 10_000;

#[derive(Clone)]
pub struct Accounts {
    executor: Executor,
    keys: moka::sync::Cache<AccountId, Arc<Loaded<Account>>>,
}

impl Accounts {
    pub(crate) fn new(executor: Executor) -> Self {
        let keys = moka::sync::Cache::builder()
            .max_capacity(ACCOUNTS_MAX)
            .time_to_live(KEYS_AGE_MAX)
            .build();
        Self { executor, keys }
    }

    /// Opens the account that the call names.
    pub async fn open(&self, call: &Call, name: AccountName) -> Result<Committed, CommandError> {
        self.execute(call, AccountCommand::Open { name, at: call.at })
            .await
    }

    /// `hash` is of a key that the caller generates and shows once.
    pub async fn issue_api_key(
        &self,
        call: &Call,
        key_id: ApiKeyId,
        label: Label,
        hash: ApiKeyHash,
        scopes: BTreeSet<Scope>,
    ) -> Result<Committed, CommandError> {
        self.execute(
            call,
            AccountCommand::IssueApiKey {
                key_id,
                label,
                hash,
                scopes,
                at: call.at,
            },
        )
        .await
    }

    pub async fn revoke_api_key(
        &self,
        call: &Call,
        key_id: ApiKeyId,
    ) -> Result<Committed, CommandError> {
        self.execute(
            call,
            AccountCommand::RevokeApiKey {
                key_id,
                at: call.at,
            },
        )
        .await
    }

    /// The key, unless it was revoked. A revocation counts within two seconds, in this process as a rule at once.
    pub async fn api_key(
        &self,
        account: AccountId,
        key_id: ApiKeyId,
    ) -> Result<Option<ApiKey>, CommandError> {
        let loaded = match self.keys.get(&account) {
            Some(loaded) => loaded,
            None => {
                let loaded = self
                    .executor
                    .load_current::<Account>(account.into(), account.into())
                    .await?;
                // What is not there is not kept: its coming must be noticed, and anybody may ask for anything.
                if loaded.version > 0 {
                    self.keys.insert(account, loaded.clone());
                }
                loaded
            }
        };
        Ok(loaded.aggregate.api_key(key_id).cloned())
    }

    async fn execute(
        &self,
        call: &Call,
        command: AccountCommand,
    ) -> Result<Committed, CommandError> {
        let committed = self
            .executor
            .execute::<Account>(call, call.account.into(), call.account.into(), command)
            .await?;
        self.keys.invalidate(&call.account);
        Ok(committed)
    }
}
