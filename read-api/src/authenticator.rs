//! Who an API key belongs to.

use domain::account;
use platform::api_key::{ApiKey, ApiKeyPepper};
use platform::auth::{AuthError, Authenticate, BoxFuture, Principal};
use projections::Reads;

/// What the hash of a key that is not there is compared with: no key has it.
const NO_HASH: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// API keys as accounts issued them.
pub struct ApiKeys {
    reads: Reads,
    pepper: ApiKeyPepper,
}

impl ApiKeys {
    /// `pepper` is the one that the hashes of issued keys were made with.
    pub fn new(reads: Reads, pepper: ApiKeyPepper) -> Self {
        Self { reads, pepper }
    }

    async fn principal(&self, token: &str) -> Result<Principal, AuthError> {
        let key = ApiKey::parse(token).ok_or(AuthError::Unknown)?;
        let issued = self
            .reads
            .api_key(key.account.into(), key.key.into())
            .await
            .map_err(|error| AuthError::Unavailable(Box::new(error)))?;
        check(&key, issued, &self.pepper).ok_or(AuthError::Unknown)
    }
}

impl Authenticate for ApiKeys {
    fn authenticate<'a>(&'a self, token: &'a str) -> BoxFuture<'a, Result<Principal, AuthError>> {
        Box::pin(self.principal(token))
    }
}

/// Hashes and compares whether there is such a key or not, so that the time taken does not tell.
fn check(
    key: &ApiKey,
    issued: Option<account::ApiKey>,
    pepper: &ApiKeyPepper,
) -> Option<Principal> {
    let stored = issued
        .as_ref()
        .map_or(NO_HASH, |issued| issued.hash.as_str());
    let matches = key.matches(pepper, stored);
    let issued = issued.filter(|_| matches)?;
    Some(Principal {
        account: key.account,
        key: key.key,
        scopes: issued
            .scopes
            .iter()
            .map(|scope| scope.as_str().to_owned())
            .collect(),
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use domain::account::Scope;
    use domain::{ApiKeyHash, Label};
    use uuid::Uuid;

    use super::*;

    fn issued(key: &ApiKey, pepper: &ApiKeyPepper) -> account::ApiKey {
        account::ApiKey {
            label: Label::parse("key").unwrap(),
            hash: ApiKeyHash::from_bytes(key.hash(pepper)),
            scopes: BTreeSet::from([Scope::Read]),
            revoked_at: None,
        }
    }

    #[test]
    fn an_issued_key_is_its_account_with_its_scopes() {
        let pepper = ApiKeyPepper::new([1; 32]);
        let key = ApiKey::generate(Uuid::from_u128(1), Uuid::from_u128(2));
        let principal = check(&key, Some(issued(&key, &pepper)), &pepper).unwrap();
        assert_eq!((principal.account, principal.key), (key.account, key.key));
        assert_eq!(principal.scopes, BTreeSet::from(["read".to_owned()]));
    }

    #[test]
    fn another_secret_pepper_or_no_key_at_all_is_nobody() {
        let pepper = ApiKeyPepper::new([1; 32]);
        let key = ApiKey::generate(Uuid::from_u128(1), Uuid::from_u128(2));
        let same_ids = ApiKey::generate(key.account, key.key);
        assert_eq!(check(&key, None, &pepper), None);
        assert_eq!(check(&same_ids, Some(issued(&key, &pepper)), &pepper), None);
        let other = ApiKeyPepper::new([2; 32]);
        assert_eq!(check(&key, Some(issued(&key, &pepper)), &other), None);
    }
}
