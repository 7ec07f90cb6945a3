//! Who an API key belongs to.

use commands::{Accounts, CommandError};
use platform::api_key::{self, ApiKeyPepper, Issued};
use platform::auth::{AuthError, Authenticate, BoxFuture, Principal};
use uuid::Uuid;

/// API keys as accounts issued them.
pub struct ApiKeys {
    accounts: Accounts,
    pepper: ApiKeyPepper,
}

impl ApiKeys {
    /// `pepper` is the one that the hashes of issued keys were made with.
    pub fn new(accounts: Accounts, pepper: ApiKeyPepper) -> Self {
        Self { accounts, pepper }
    }

    async fn issued(&self, account: Uuid, key: Uuid) -> Result<Option<Issued>, CommandError> {
        let key = self.accounts.api_key(account.into(), key.into()).await?;
        Ok(key.map(|key| {
            let scopes = key.scopes.iter().map(|scope| scope.as_str());
            Issued::new(key.hash.as_str(), scopes)
        }))
    }
}

impl Authenticate for ApiKeys {
    fn authenticate<'a>(&'a self, token: &'a str) -> BoxFuture<'a, Result<Principal, AuthError>> {
        let look_up = |account, key| self.issued(account, key);
        Box::pin(api_key::authenticate(token, &self.pepper, look_up))
    }
}
