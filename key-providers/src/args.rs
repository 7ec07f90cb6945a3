//! Which provider a deployment has.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::{Args, ValueEnum};
use event_store::vault::{KeyProvider, KeyService, LocalKeyFile, RemoteKeys, Root, VaultError};
use sqlx::PgPool;
use zeroize::Zeroizing;

use crate::{AwsKms, OpenError, Token, Transit};

/// Who holds the keys, and where. The same in every process of a deployment.
#[derive(Clone, Debug, Args)]
pub struct KeyProviderArgs {
    /// Who holds the keys that wrap people's keys.
    #[arg(long, env = "PROOFLINE_KEY_PROVIDER", value_enum, default_value_t = ProviderName::File)]
    pub key_provider: ProviderName,
    /// In front of the names of the provider's keys, and on each as a tag.
    #[arg(long, env = "PROOFLINE_KEY_PREFIX", default_value = "proofline")]
    pub key_prefix: String,
    /// Where AWS KMS is, if not where the region says. Region and credentials come as AWS's own tools find them.
    #[arg(long, env = "PROOFLINE_AWS_KMS_ENDPOINT")]
    pub aws_kms_endpoint: Option<String>,
    /// Where HashiCorp Vault is.
    #[arg(long, env = "VAULT_ADDR")]
    pub vault_addr: Option<String>,
    /// A file that holds its token, read anew for every call; without one, the token is VAULT_TOKEN.
    #[arg(long, env = "VAULT_TOKEN_FILE")]
    pub vault_token_file: Option<PathBuf>,
    #[arg(long, env = "VAULT_NAMESPACE")]
    pub vault_namespace: Option<String>,
    /// Where its transit engine is mounted.
    #[arg(long, env = "PROOFLINE_VAULT_MOUNT", default_value = "transit")]
    pub vault_mount: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ProviderName {
    /// A key file on this machine
    File,
    /// AWS KMS
    AwsKms,
    /// The transit engine of HashiCorp Vault
    Vault,
}

impl Default for KeyProviderArgs {
    fn default() -> Self {
        Self {
            key_provider: ProviderName::File,
            key_prefix: "proofline".to_owned(),
            aws_kms_endpoint: None,
            vault_addr: None,
            vault_token_file: None,
            vault_namespace: None,
            vault_mount: "transit".to_owned(),
        }
    }
}

impl KeyProviderArgs {
    /// What a platform was started with before: neither a key file nor a root is made. `keys` is a pool on the key database.
    pub async fn open(
        &self,
        key_file: &Path,
        keys: &PgPool,
    ) -> Result<(Arc<dyn KeyProvider>, Root), OpenError> {
        let Some(service) = self.service().await? else {
            let file = LocalKeyFile::open(key_file).map_err(OpenError::File)?;
            return Ok(of_file(file));
        };
        let remote = RemoteKeys::new(service, keys.clone());
        let root = remote.root().await.map_err(|error| self.no_root(error))?;
        Ok((Arc::new(remote), root))
    }

    /// The same, with what is missing made.
    pub async fn open_or_create(
        &self,
        key_file: &Path,
        keys: &PgPool,
    ) -> Result<(Arc<dyn KeyProvider>, Root), OpenError> {
        let Some(service) = self.service().await? else {
            let file = LocalKeyFile::open_or_create(key_file).map_err(OpenError::File)?;
            return Ok(of_file(file));
        };
        let remote = RemoteKeys::new(service, keys.clone());
        let root = remote
            .root_or_new()
            .await
            .map_err(|error| self.no_root(error))?;
        Ok((Arc::new(remote), root))
    }

    /// `None` where a file is all.
    async fn service(&self) -> Result<Option<Arc<dyn KeyService>>, OpenError> {
        Ok(match self.key_provider {
            ProviderName::File => None,
            ProviderName::AwsKms => {
                let endpoint = self.aws_kms_endpoint.as_deref();
                let kms = AwsKms::from_env(endpoint, &self.key_prefix).await?;
                Some(Arc::new(kms))
            }
            ProviderName::Vault => Some(Arc::new(self.transit()?)),
        })
    }

    fn transit(&self) -> Result<Transit, OpenError> {
        let address = self.vault_addr.as_deref();
        let token = match &self.vault_token_file {
            Some(path) => Token::File(path.clone()),
            None => {
                let given = std::env::var("VAULT_TOKEN").map_err(|_| OpenError::NoVaultToken)?;
                Token::Given(Zeroizing::new(given))
            }
        };
        Transit::new(
            address.ok_or(OpenError::NoVaultAddress)?,
            self.vault_namespace.as_deref(),
            &self.vault_mount,
            token,
            &self.key_prefix,
        )
    }

    fn no_root(&self, source: VaultError) -> OpenError {
        let provider = match self.key_provider {
            ProviderName::File => "file",
            ProviderName::AwsKms => "aws-kms",
            ProviderName::Vault => "vault",
        };
        OpenError::Root { provider, source }
    }
}

fn of_file(file: LocalKeyFile) -> (Arc<dyn KeyProvider>, Root) {
    let root = file.root().clone();
    (Arc::new(file), root)
}
