//! API keys as they are shown once and sent with every request.

use std::{collections::BTreeSet, error::Error, fmt};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use subtle::ConstantTimeEq as _;
use uuid::Uuid;
use zeroize::Zeroizing;

use crate::auth::{AuthError, Principal};

const PREFIX: &str = "pl_";
const SECRET_BYTES: usize = 32;
const BYTES: usize = 16 + 16 + SECRET_BYTES;
/// What the hash of a key that is not there is compared with: no key has it.
const NO_HASH: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// `pl_` and base64url without padding of the account's id, the key's id and 256 random bits. The ids make it possible
/// to find the key without a look-up table and to name it in a log; the secret is stored nowhere.
pub struct ApiKey {
    pub account: Uuid,
    pub key: Uuid,
    secret: Zeroizing<[u8; SECRET_BYTES]>,
}

/// What the stored hash of a key is made with. The same in every process of a deployment.
#[derive(Clone)]
pub struct ApiKeyPepper(Zeroizing<[u8; 32]>);

impl ApiKeyPepper {
    pub fn new(secret: [u8; 32]) -> Self {
        Self(Zeroizing::new(secret))
    }
}

impl ApiKey {
    /// A new key with a fresh secret.
    pub fn generate(account: Uuid, key: Uuid) -> Self {
        Self {
            account,
            key,
            secret: Zeroizing::new(rand::random()),
        }
    }

    /// `None` where the text is not of the form of a key.
    pub fn parse(text: &str) -> Option<Self> {
        let bytes = Zeroizing::new(URL_SAFE_NO_PAD.decode(text.strip_prefix(PREFIX)?).ok()?);
        let bytes: &[u8; BYTES] = bytes.as_slice().try_into().ok()?;
        let (account, rest) = bytes.split_first_chunk::<16>()?;
        let (key, secret) = rest.split_first_chunk::<16>()?;
        Some(Self {
            account: Uuid::from_bytes(*account),
            key: Uuid::from_bytes(*key),
            secret: Zeroizing::new(secret.try_into().ok()?),
        })
    }

    /// The text to send as a bearer token. Shown once.
    pub fn expose(&self) -> String {
        let mut bytes = Zeroizing::new([0; BYTES]);
        bytes[..16].copy_from_slice(self.account.as_bytes());
        bytes[16..32].copy_from_slice(self.key.as_bytes());
        bytes[32..].copy_from_slice(&*self.secret);
        format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(bytes.as_slice()))
    }

    /// What is stored: HMAC-SHA-256 of both ids and the secret under the pepper.
    pub fn hash(&self, pepper: &ApiKeyPepper) -> [u8; 32] {
        let mut mac =
            Hmac::<Sha256>::new_from_slice(&*pepper.0).expect("HMAC takes a key of any length");
        mac.update(self.account.as_bytes());
        mac.update(self.key.as_bytes());
        mac.update(&*self.secret);
        mac.finalize().into_bytes().into()
    }

    /// Whether this is the key with the stored hash, in lower-case hexadecimal. In constant time.
    pub fn matches(&self, pepper: &ApiKeyPepper, stored_hex: &str) -> bool {
        let hex: String = self
            .hash(pepper)
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        hex.as_bytes().ct_eq(stored_hex.as_bytes()).into()
    }
}

/// What is stored of a key that was issued and not revoked.
#[derive(Clone, Debug)]
pub struct Issued {
    /// [`ApiKey::hash`] in lower-case hexadecimal.
    hash: String,
    scopes: BTreeSet<String>,
}

impl Issued {
    pub fn new<'a>(hash: &str, scopes: impl IntoIterator<Item = &'a str>) -> Self {
        Self {
            hash: hash.to_owned(),
            scopes: scopes.into_iter().map(str::to_owned).collect(),
        }
    }
}

/// Whom the token belongs to. `look_up` finds what is stored by the ids of account and key.
///
/// Hashes and compares whether there is such a key or not, so that the time taken does not tell.
pub async fn authenticate<F, E>(
    token: &str,
    pepper: &ApiKeyPepper,
    look_up: impl FnOnce(Uuid, Uuid) -> F,
) -> Result<Principal, AuthError>
where
    F: Future<Output = Result<Option<Issued>, E>>,
    E: Into<Box<dyn Error + Send + Sync>>,
{
    let key = ApiKey::parse(token).ok_or(AuthError::Unknown)?;
    let issued = look_up(key.account, key.key).await;
    let issued = issued.map_err(|error| AuthError::Unavailable(error.into()))?;
    let stored = issued.as_ref().map_or(NO_HASH, |issued| &issued.hash);
    let matches = key.matches(pepper, stored);
    let issued = issued.filter(|_| matches).ok_or(AuthError::Unknown)?;
    Ok(Principal {
        account: key.account,
        key: key.key,
        scopes: issued.scopes,
    })
}

impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ApiKey")
            .field("account", &self.account)
            .field("key", &self.key)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(bytes: [u8; 32]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    #[test]
    fn a_key_survives_its_text_and_matches_its_own_hash_only() {
        let pepper = ApiKeyPepper::new([1; 32]);
        let key = ApiKey::generate(Uuid::from_u128(1), Uuid::from_u128(2));
        let stored = hex(key.hash(&pepper));
        let parsed = ApiKey::parse(&key.expose()).unwrap();
        assert_eq!((parsed.account, parsed.key), (key.account, key.key));
        assert!(parsed.matches(&pepper, &stored));
        assert!(!parsed.matches(&ApiKeyPepper::new([2; 32]), &stored));
        assert!(!ApiKey::generate(key.account, key.key).matches(&pepper, &stored));
        assert!(!parsed.matches(&pepper, ""));
    }

    #[test]
    fn what_is_not_a_key_is_refused() {
        let key = ApiKey::generate(Uuid::from_u128(1), Uuid::from_u128(2)).expose();
        for text in [
            "",
            "pl_",
            "pl_AAAA",
            &key[3..],
            &format!("{key}A"),
            &key.replace("pl_", "sk_"),
        ] {
            assert!(ApiKey::parse(text).is_none(), "{text}");
        }
    }

    async fn principal(
        key: &ApiKey,
        pepper: &ApiKeyPepper,
        look_up: Result<Option<Issued>, &'static str>,
    ) -> Result<Principal, AuthError> {
        authenticate(&key.expose(), pepper, async |account, id| {
            assert_eq!((account, id), (key.account, key.key));
            look_up
        })
        .await
    }

    fn issued(key: &ApiKey, pepper: &ApiKeyPepper) -> Result<Option<Issued>, &'static str> {
        Ok(Some(Issued::new(&hex(key.hash(pepper)), ["read", "write"])))
    }

    #[tokio::test]
    async fn an_issued_key_is_its_account_with_its_scopes() {
        let pepper = ApiKeyPepper::new([1; 32]);
        let key = ApiKey::generate(Uuid::from_u128(1), Uuid::from_u128(2));
        let expected = Principal {
            account: key.account,
            key: key.key,
            scopes: ["read", "write"].map(str::to_owned).into(),
        };
        let found = principal(&key, &pepper, issued(&key, &pepper)).await;
        assert_eq!(found.unwrap(), expected);
    }

    #[tokio::test]
    async fn another_secret_pepper_or_no_key_at_all_is_nobody() {
        let pepper = ApiKeyPepper::new([1; 32]);
        let key = ApiKey::generate(Uuid::from_u128(1), Uuid::from_u128(2));
        let same_ids = ApiKey::generate(key.account, key.key);
        let other = ApiKeyPepper::new([2; 32]);
        for (pepper, look_up) in [
            (&pepper, Ok(None)),
            (&pepper, issued(&same_ids, &pepper)),
            (&other, issued(&key, &pepper)),
        ] {
            let nobody = principal(&key, pepper, look_up).await;
            assert!(matches!(nobody, Err(AuthError::Unknown)), "{nobody:?}");
        }
    }

    #[tokio::test]
    async fn a_look_up_that_failed_is_not_an_unknown_key() {
        let pepper = ApiKeyPepper::new([1; 32]);
        let key = ApiKey::generate(Uuid::from_u128(1), Uuid::from_u128(2));
        let failed = principal(&key, &pepper, Err("down")).await;
        assert!(matches!(failed, Err(AuthError::Unavailable(_))));
    }

    #[test]
    fn debug_shows_no_secret() {
        let key = ApiKey::generate(Uuid::from_u128(1), Uuid::from_u128(2));
        let secret = URL_SAFE_NO_PAD.encode(*key.secret);
        assert!(!format!("{key:?}").contains(&secret[..8]));
    }
}
