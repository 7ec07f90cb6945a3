//! Keys and secrets: the public embed key, the hash of an API key, the secret of a shop's webhooks.

use crate::error::{DomainError, ErrorKind};
use crate::text::{TextError, hidden_debug, parse_line, string_serde, string_value};

/// What a shop page names its site by. Public: it stands in the page's source. `pk_` and 32 lower-case hex digits.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EmbedKey(String);

/// HMAC-SHA-256 of an API key's secret, as 64 lower-case hex digits. The secret itself is nowhere.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ApiKeyHash(String);

/// What a shop signs its webhooks with: 1 to 256 characters. In events only inside a [`Pii`](crate::Pii).
#[derive(Clone, PartialEq, Eq)]
pub struct WebhookSecret(String);

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CredentialError {
    #[error("An embed key is pk_ followed by 32 digits of 0-9 and a-f.")]
    EmbedKeyFormat,
    #[error("The hash of an API key has 64 digits of 0-9 and a-f.")]
    ApiKeyHashFormat,
}

impl DomainError for CredentialError {
    fn code(&self) -> &'static str {
        match self {
            Self::EmbedKeyFormat => "embed_key_format",
            Self::ApiKeyHashFormat => "api_key_hash_format",
        }
    }

    fn kind(&self) -> ErrorKind {
        ErrorKind::Invalid
    }
}

impl EmbedKey {
    const PREFIX: &'static str = "pk_";

    pub fn parse(raw: &str) -> Result<Self, CredentialError> {
        match raw.strip_prefix(Self::PREFIX) {
            Some(digits) if is_lower_hex(digits, 32) => Ok(Self(raw.to_owned())),
            Some(_) | None => Err(CredentialError::EmbedKeyFormat),
        }
    }

    /// The key of 128 bits that the caller drew at random.
    pub fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(format!("{}{}", Self::PREFIX, lower_hex(&bytes)))
    }
}

impl ApiKeyHash {
    pub fn parse(raw: &str) -> Result<Self, CredentialError> {
        if is_lower_hex(raw, 64) {
            Ok(Self(raw.to_owned()))
        } else {
            Err(CredentialError::ApiKeyHashFormat)
        }
    }

    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(lower_hex(&bytes))
    }
}

impl WebhookSecret {
    pub const CHARS_MAX: usize = 256;

    /// Trims (secrets are pasted, often with a line end) and checks.
    pub fn parse(raw: &str) -> Result<Self, TextError> {
        parse_line(raw, Self::CHARS_MAX).map(|text| Self(text.to_owned()))
    }

    /// The secret in the clear, to check a signature with. There is no `Display`, so that it gets into no text.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

string_value!(EmbedKey, CredentialError);
string_value!(ApiKeyHash, CredentialError);
string_serde!(WebhookSecret, TextError);
hidden_debug!(WebhookSecret);

fn is_lower_hex(text: &str, digits: usize) -> bool {
    text.len() == digits && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

fn lower_hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_embed_key_has_one_spelling() {
        let key = EmbedKey::from_bytes([0xAB; 16]);
        assert_eq!(key.as_str(), format!("pk_{}", "ab".repeat(16)));
        assert_eq!(EmbedKey::parse(key.as_str()), Ok(key));
        for bad in [
            "",
            "pk_",
            &"ab".repeat(16),
            &format!("pk_{}", "AB".repeat(16)),
            &format!("pk_{}0", "ab".repeat(16)),
        ] {
            assert_eq!(
                EmbedKey::parse(bad),
                Err(CredentialError::EmbedKeyFormat),
                "{bad}"
            );
        }
    }

    #[test]
    fn an_api_key_hash_has_one_spelling() {
        let hash = ApiKeyHash::from_bytes([0x0F; 32]);
        assert_eq!(hash.as_str(), "0f".repeat(32));
        assert_eq!(ApiKeyHash::parse(hash.as_str()), Ok(hash));
        for bad in ["", "0f", &"0F".repeat(32)] {
            assert_eq!(
                ApiKeyHash::parse(bad),
                Err(CredentialError::ApiKeyHashFormat)
            );
        }
    }

    #[test]
    fn a_secret_does_not_show_itself() {
        let secret = WebhookSecret::parse("shpss_0123\n").unwrap();
        assert_eq!(format!("{secret:?}"), "WebhookSecret(…)");
        assert_eq!(secret.expose(), "shpss_0123");
        assert_eq!(WebhookSecret::parse(""), Err(TextError::Empty));
        assert_eq!(
            WebhookSecret::parse(&"x".repeat(257)),
            Err(TextError::TooLong { max: 256 })
        );
    }
}
