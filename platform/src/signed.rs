//! Short texts that only we can have made.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use zeroize::Zeroizing;

/// Bytes of the tag: HMAC-SHA-256 truncated to 128 bits (RFC 2104, section 5).
const TAG_BYTES: usize = 16;

/// Signs and verifies. The same secret in every process of a deployment.
#[derive(Clone)]
pub struct Signer(Zeroizing<[u8; 32]>);

impl Signer {
    pub fn new(secret: [u8; 32]) -> Self {
        Self(Zeroizing::new(secret))
    }

    /// Base64url without padding of the content followed by its tag. The content can be read by anybody.
    pub fn sign(&self, content: &[u8]) -> String {
        let tag = self.mac(content).finalize().into_bytes();
        URL_SAFE_NO_PAD.encode([content, &tag[..TAG_BYTES]].concat())
    }

    /// The content, if this signer made the text. In constant time.
    pub fn verify(&self, text: &str) -> Option<Vec<u8>> {
        let mut bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
        let at = bytes.len().checked_sub(TAG_BYTES)?;
        let tag = bytes.split_off(at);
        self.mac(&bytes).verify_truncated_left(&tag).ok()?;
        Some(bytes)
    }

    fn mac(&self, content: &[u8]) -> Hmac<Sha256> {
        let mut mac =
            Hmac::<Sha256>::new_from_slice(&*self.0).expect("HMAC takes a key of any length");
        mac.update(content);
        mac
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_signed_verifies_and_nothing_else_does() {
        let signer = Signer::new([1; 32]);
        let text = signer.sign(b"content");
        assert_eq!(signer.verify(&text).as_deref(), Some(&b"content"[..]));
        assert_eq!(Signer::new([2; 32]).verify(&text), None);
        for at in 0..text.len() {
            let mut altered = text.clone().into_bytes();
            altered[at] = if altered[at] == b'A' { b'B' } else { b'A' };
            let altered = String::from_utf8(altered).unwrap();
            assert_ne!(
                signer.verify(&altered).as_deref(),
                Some(&b"content"[..]),
                "{at}"
            );
        }
        for text in ["", "AAAA", "not base64!", &signer.sign(b"")[1..]] {
            assert_eq!(signer.verify(text), None, "{text}");
        }
    }
}
