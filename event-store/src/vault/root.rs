//! What the platform's own secrets derive from.

use std::fmt;

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use zeroize::Zeroizing;

/// 256 random bits, the same in every process of a deployment, for ever: a key file holds them, and a key database does for a
/// remote key provider, wrapped. `Debug` prints nothing of them.
#[derive(Clone)]
pub struct Root(Zeroizing<[u8; 32]>);

impl Root {
    pub fn new(root: impl Into<Zeroizing<[u8; 32]>>) -> Self {
        Self(root.into())
    }

    /// Tells one root from another; [`super::Vault::bind`] remembers it.
    pub fn fingerprint(&self) -> [u8; 32] {
        self.derive("fingerprint")
    }

    /// A secret of the platform's own for one purpose: HMAC-SHA256 of the label under the root.
    pub fn derive(&self, label: &str) -> [u8; 32] {
        let mut mac =
            Hmac::<Sha256>::new_from_slice(&*self.0).expect("HMAC takes a key of any length");
        mac.update(label.as_bytes());
        mac.finalize().into_bytes().into()
    }
}

impl fmt::Debug for Root {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Root(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Stored for ever: hashes of API keys and ids of subjects rest on it. Computed with another implementation of HMAC.
    #[test]
    fn what_derives_from_the_root_stays_what_it_is() {
        let hex: String = Root::new([5; 32])
            .derive("api-key")
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        assert_eq!(
            hex,
            "d3af6b2c4880c90aab6ec648cfbba27d659425a6b76d8ae86670710b0447f063"
        );
    }

    #[test]
    fn each_label_has_a_secret_of_its_own() {
        let root = Root::new([5; 32]);
        assert_ne!(root.derive("a"), root.derive("b"));
    }
}
