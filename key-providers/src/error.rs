use event_store::vault::{ProviderError, VaultError};

/// Why a deployment's key provider could not be used.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error(transparent)]
    File(ProviderError),
    #[error("could not get the root from the key provider {provider}")]
    Root {
        provider: &'static str,
        source: VaultError,
    },
    #[error("no AWS region is known; set AWS_REGION")]
    NoRegion,
    #[error("VAULT_ADDR is not set")]
    NoVaultAddress,
    #[error("Vault's address must be a URL without user and password")]
    VaultAddress,
    #[error("Vault's namespace can't be sent")]
    VaultNamespace,
    #[error("neither VAULT_TOKEN_FILE nor VAULT_TOKEN is set")]
    NoVaultToken,
    #[error("could not set up a client for Vault")]
    Client(#[source] reqwest::Error),
}
