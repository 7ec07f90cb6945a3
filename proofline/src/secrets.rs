//! What derives from the root: the same in every process of a deployment.

use std::sync::Arc;

use anyhow::{Context as _, Result};
use event_store::vault::KeyProvider;
use event_store::{Role, TagKey, connect};
use platform::api_key::ApiKeyPepper;
use platform::signed::Signer;

use crate::config::Connections;
use crate::migrate::check_region;

/// For agreeing on keys, which is rare.
const KEY_CONNECTIONS: u32 = 2;

/// The secrets of a deployment. The labels are part of what they are; never rename one.
pub struct Secrets {
    pub provider: Arc<dyn KeyProvider>,
    pub commands: commands::Secrets,
    pub tags: TagKey,
    pub api_keys: ApiKeyPepper,
    pub impressions: Signer,
    pub exports: Signer,
    /// Tells one root from another.
    pub fingerprint: [u8; 32],
}

impl Secrets {
    /// Asks the key provider for the root. A key file or a root that is not there yet is made, but not for databases of another
    /// region.
    pub async fn open(connections: &Connections) -> Result<Self> {
        check_region(connections).await?;
        let keys = connect(&connections.keys_url()?, Role::Vault, KEY_CONNECTIONS)
            .context("KEYS_DATABASE_URL")?;
        let (provider, root) = connections
            .key_provider
            .open_or_create(&connections.key_file, &keys)
            .await?;
        Ok(Self {
            provider,
            commands: commands::Secrets::of(&root),
            tags: TagKey::of(&root),
            api_keys: ApiKeyPepper::new(root.derive("api-key")),
            impressions: Signer::new(root.derive("impression-token")),
            exports: Signer::new(root.derive("subject-export")),
            fingerprint: root.fingerprint(),
        })
    }
}
