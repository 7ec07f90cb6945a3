//! `proofline account`: opening accounts and their API keys, for whoever runs the platform.

use std::collections::BTreeSet;

use anyhow::{Context as _, Result};
use clap::Subcommand;
use commands::{Call, Commands};
use domain::account::Scope;
use domain::{AccountId, AccountName, ApiKeyHash, ApiKeyId, Label};
use platform::api_key::{ApiKey, ApiKeyPepper};
use uuid::Uuid;

#[derive(Debug, Subcommand)]
pub enum AccountCommand {
    /// Open an account and print its first API key, once.
    Open {
        /// The merchant's name.
        name: String,
    },
    /// Issue another API key of an account and print it, once.
    IssueKey {
        account: Uuid,
        /// What the key is for.
        #[arg(long, default_value = "issued by the operator")]
        label: String,
        /// What the key may do; repeat for several.
        #[arg(long = "scope", default_values = ["read", "write"])]
        scopes: Vec<String>,
    },
    /// Revoke an API key.
    RevokeKey { account: Uuid, key: Uuid },
}

/// A new account and its key, which is shown once.
pub struct Opened {
    pub account: AccountId,
    pub key: String,
}

/// Runs a subcommand; answers with what to print.
pub async fn run(
    commands: &Commands,
    pepper: &ApiKeyPepper,
    command: AccountCommand,
) -> Result<String> {
    match command {
        AccountCommand::Open { name } => {
            let opened = open(commands, pepper, &name).await?;
            Ok(format!(
                "account  {}\nAPI key  {}",
                opened.account, opened.key
            ))
        }
        AccountCommand::IssueKey {
            account,
            label,
            scopes,
        } => {
            let scopes = scopes
                .iter()
                .map(|scope| {
                    Scope::parse(scope).with_context(|| format!("there is no scope {scope}"))
                })
                .collect::<Result<_>>()?;
            let key = issue(commands, pepper, account.into(), &label, scopes).await?;
            Ok(format!("key      {}\nAPI key  {}", key.key, key.expose()))
        }
        AccountCommand::RevokeKey { account, key } => {
            commands
                .accounts
                .revoke_api_key(&call(account.into()), key.into())
                .await?;
            Ok(format!("revoked  {key}"))
        }
    }
}

/// Opens an account with a key that may read and write.
pub async fn open(commands: &Commands, pepper: &ApiKeyPepper, name: &str) -> Result<Opened> {
    let account = AccountId::from(Uuid::now_v7());
    let name = AccountName::parse(name).context("this name can't be an account's")?;
    commands.accounts.open(&call(account), name).await?;
    let scopes = BTreeSet::from([Scope::Read, Scope::Write]);
    let key = issue(commands, pepper, account, "first key", scopes).await?;
    Ok(Opened {
        account,
        key: key.expose(),
    })
}

async fn issue(
    commands: &Commands,
    pepper: &ApiKeyPepper,
    account: AccountId,
    label: &str,
    scopes: BTreeSet<Scope>,
) -> Result<ApiKey> {
    let key = ApiKey::generate(account.into(), Uuid::now_v7());
    let hash = ApiKeyHash::from_bytes(key.hash(pepper));
    let label = Label::parse(label).context("this label can't be a key's")?;
    let key_id = ApiKeyId::from(key.key);
    commands
        .accounts
        .issue_api_key(&call(account), key_id, label, hash, scopes)
        .await?;
    Ok(key)
}

fn call(account: AccountId) -> Call {
    let id = Uuid::now_v7();
    Call {
        account,
        actor: "operator".to_owned(),
        at: platform::clock::now(),
        correlation_id: id,
        request_id: id.to_string(),
        source: "cli",
        key: None,
        if_match: None,
        causation_id: None,
        reason: None,
    }
}
