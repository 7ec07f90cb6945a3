//! Opening accounts, and their API keys.

use std::collections::BTreeSet;

use domain::account::{Account, AccountCommand, ApiKey, Scope};
use domain::{AccountId, AccountName, ApiKeyHash, ApiKeyId, Label};

use crate::call::Call;
use crate::error::CommandError;
use crate::executor::{Committed, Executor};

#[derive(Clone)]
pub struct Accounts {
    executor: Executor,
}

impl Accounts {
    pub(crate) fn new(executor: Executor) -> Self {
        Self { executor }
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

    /// The key, unless it was revoked. Revocation in this process counts at once; in another, when its cache lets go.
    pub async fn api_key(
        &self,
        account: AccountId,
        key_id: ApiKeyId,
    ) -> Result<Option<ApiKey>, CommandError> {
        match self
            .executor
            .load::<Account>(account.into(), account.into())
            .await
        {
            Ok(loaded) => Ok(loaded.aggregate.api_key(key_id).cloned()),
            Err(CommandError::NotFound) => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn execute(
        &self,
        call: &Call,
        command: AccountCommand,
    ) -> Result<Committed, CommandError> {
        self.executor
            .execute::<Account>(call, call.account.into(), call.account.into(), command)
            .await
    }
}
