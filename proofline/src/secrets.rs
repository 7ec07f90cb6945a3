//! What derives from the key file: the same in every process that is given the same file.

use std::path::Path;
use std::sync::Arc;

use event_store::vault::{LocalKeyFile, ProviderError};
use platform::api_key::ApiKeyPepper;
use platform::signed::Signer;

/// The secrets of a deployment. The labels are part of what they are; never rename one.
pub struct Secrets {
    pub provider: Arc<LocalKeyFile>,
    pub commands: commands::Secrets,
    pub api_keys: ApiKeyPepper,
    pub impressions: Signer,
    pub exports: Signer,
    /// Tells one key file from another.
    pub fingerprint: [u8; 32],
}

impl Secrets {
    /// Opens the key file, or makes it.
    pub fn open(key_file: &Path) -> Result<Self, ProviderError> {
        let provider = LocalKeyFile::open_or_create(key_file)?;
        Ok(Self {
            commands: commands::Secrets::of(&provider),
            api_keys: ApiKeyPepper::new(provider.derive("api-key")),
            impressions: Signer::new(provider.derive("impression-token")),
            exports: Signer::new(provider.derive("subject-export")),
            fingerprint: provider.fingerprint(),
            provider: Arc::new(provider),
        })
    }
}
