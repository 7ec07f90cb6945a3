//! Whoever holds the keys that wrap people's keys keeps one contract: the key file, AWS KMS and HashiCorp Vault.

mod command_line;
mod contract;
mod interrupted;
mod kms;
mod outages;
mod platform;
mod root;
mod vault_server;

use std::sync::Arc;

use chrono::TimeDelta;
use event_store::vault::{KeyProvider, KeyService, LocalKeyFile, RemoteKeys, Vault};
use event_store::{Role, connect};
use key_providers::{Token, Transit};
use serde_json::{Value, json};
use sqlx::PgPool;
use tests::World;
use uuid::Uuid;

use self::vault_server::{TOKEN, VaultServer};
use crate::support::TENANT;

/// A platform's world, and who holds its keys.
struct Held {
    world: World,
    by: Holder,
}

enum Holder {
    File,
    AwsKms,
    Vault(VaultServer),
}

impl Held {
    async fn by_file() -> Self {
        Self::by(Holder::File).await
    }

    async fn by_aws_kms() -> Self {
        Self::by(Holder::AwsKms).await
    }

    async fn by_vault() -> Self {
        Self::by(Holder::Vault(VaultServer::start().await)).await
    }

    async fn by(by: Holder) -> Self {
        let world = World::new().await;
        Self { world, by }
    }

    /// The key database.
    fn keys(&self) -> PgPool {
        connect(&self.world.keys_url, Role::Vault, 4).unwrap()
    }

    /// As another process has it.
    fn provider(&self) -> Arc<dyn KeyProvider> {
        let service: Arc<dyn KeyService> = match &self.by {
            Holder::File => {
                return Arc::new(LocalKeyFile::open_or_create(&self.world.key_file()).unwrap());
            }
            Holder::AwsKms => Arc::new(kms::at(&kms::url())),
            Holder::Vault(server) => Arc::new(transit(server, TOKEN)),
        };
        Arc::new(RemoteKeys::new(service, self.keys()))
    }

    fn vault(&self) -> Vault {
        self.vault_with(self.provider())
    }

    fn vault_with(&self, provider: Arc<dyn KeyProvider>) -> Vault {
        let copies = tests::key_copies(&self.world.key_file()).unwrap();
        Vault::new(self.keys(), provider, copies)
    }

    /// From its destruction until nobody can bring a key back.
    fn grace(&self) -> TimeDelta {
        match self.by {
            Holder::File | Holder::Vault(_) => TimeDelta::zero(),
            Holder::AwsKms => TimeDelta::days(7),
        }
    }
}

fn transit(server: &VaultServer, token: &str) -> Transit {
    let token = Token::Given(token.to_owned().into());
    Transit::new(&server.url, None, "transit", token, "test").unwrap()
}

fn about(subject: Uuid) -> Value {
    json!({ "buyer": { "$pii": { "subject": subject, "value": { "name": format!("Anna {subject}") } } } })
}

fn erased(subject: Uuid) -> Value {
    json!({ "buyer": { "$pii": { "subject": subject } } })
}

async fn sealed(vault: &Vault, subject: Uuid) -> Value {
    let mut payload = about(subject);
    vault.seal(TENANT, Uuid::nil(), &mut payload).await.unwrap();
    payload
}

async fn opened(vault: &Vault, payload: &Value) -> Value {
    let mut payload = payload.clone();
    vault.open(TENANT, Uuid::nil(), &mut payload).await.unwrap();
    payload
}
