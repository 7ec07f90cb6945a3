//! Decides what an account may do. An account is opened once, and then issues and revokes API keys.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use cqrs_es::Aggregate;
use cqrs_es::event_sink::EventSink;
use serde::{Deserialize, Serialize};

use super::{AccountCommand, AccountError, AccountEvent, Scope};
use crate::credential::ApiKeyHash;
use crate::ids::ApiKeyId;
use crate::text::{AccountName, Label};

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    pub(super) name: Option<AccountName>,
    /// With the revoked ones: a key's id is never given to another key.
    pub(super) api_keys: BTreeMap<ApiKeyId, ApiKey>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApiKey {
    pub label: Label,
    pub hash: ApiKeyHash,
    pub scopes: BTreeSet<Scope>,
    pub revoked_at: Option<DateTime<Utc>>,
}

impl Account {
    /// How many keys may be valid at a time.
    pub const API_KEYS_MAX: usize = 100;

    /// `None` until it is opened.
    pub fn name(&self) -> Option<&AccountName> {
        self.name.as_ref()
    }

    /// The key, while it is valid: not a revoked one.
    pub fn api_key(&self, key_id: ApiKeyId) -> Option<&ApiKey> {
        self.api_keys
            .get(&key_id)
            .filter(|key| key.revoked_at.is_none())
    }

    pub fn decide(&self, command: AccountCommand) -> Result<Vec<AccountEvent>, AccountError> {
        match command {
            AccountCommand::Open { name, at } => self.open(name, at),
            AccountCommand::IssueApiKey {
                key_id,
                label,
                hash,
                scopes,
                at,
            } => {
                let key = ApiKey {
                    label,
                    hash,
                    scopes,
                    revoked_at: None,
                };
                self.issue_api_key(key_id, key, at)
            }
            AccountCommand::RevokeApiKey { key_id, at } => self.revoke_api_key(key_id, at),
        }
    }

    fn open(
        &self,
        name: AccountName,
        at: DateTime<Utc>,
    ) -> Result<Vec<AccountEvent>, AccountError> {
        match &self.name {
            None => Ok(vec![AccountEvent::Opened { name, at }]),
            Some(opened) if *opened == name => Ok(vec![]),
            Some(_) => Err(AccountError::AlreadyOpened),
        }
    }

    fn issue_api_key(
        &self,
        key_id: ApiKeyId,
        key: ApiKey,
        at: DateTime<Utc>,
    ) -> Result<Vec<AccountEvent>, AccountError> {
        if self.name.is_none() {
            return Err(AccountError::NotOpened);
        }
        if key.scopes.is_empty() {
            return Err(AccountError::NoScopes);
        }
        match self.api_keys.get(&key_id) {
            // It was issued; that it was revoked since does not make it a new one.
            Some(issued) if issued.is_same_key(&key) => Ok(vec![]),
            Some(_) => Err(AccountError::ApiKeyIdTaken),
            None if self.valid_api_keys() >= Self::API_KEYS_MAX => {
                Err(AccountError::TooManyApiKeys {
                    max: Self::API_KEYS_MAX,
                })
            }
            None => Ok(vec![AccountEvent::ApiKeyIssued {
                key_id,
                label: key.label,
                hash: key.hash,
                scopes: key.scopes,
                at,
            }]),
        }
    }

    fn revoke_api_key(
        &self,
        key_id: ApiKeyId,
        at: DateTime<Utc>,
    ) -> Result<Vec<AccountEvent>, AccountError> {
        if self.name.is_none() {
            return Err(AccountError::NotOpened);
        }
        let key = self
            .api_keys
            .get(&key_id)
            .ok_or(AccountError::UnknownApiKey)?;
        match key.revoked_at {
            None => Ok(vec![AccountEvent::ApiKeyRevoked { key_id, at }]),
            Some(_) => Ok(vec![]),
        }
    }

    fn valid_api_keys(&self) -> usize {
        self.api_keys
            .values()
            .filter(|key| key.revoked_at.is_none())
            .count()
    }
}

impl ApiKey {
    fn is_same_key(&self, other: &Self) -> bool {
        (&self.label, &self.hash, &self.scopes) == (&other.label, &other.hash, &other.scopes)
    }
}

impl Aggregate for Account {
    const TYPE: &'static str = "account"; // stored; never rename
    type Command = AccountCommand;
    type Event = AccountEvent;
    type Error = AccountError;
    type Services = ();

    async fn handle(
        &mut self,
        command: Self::Command,
        (): &(),
        sink: &EventSink<Self>,
    ) -> Result<(), Self::Error> {
        for event in self.decide(command)? {
            sink.write(event, self).await;
        }
        Ok(())
    }

    fn apply(&mut self, event: Self::Event) {
        match event {
            AccountEvent::Opened { name, at: _ } => self.name = Some(name),
            AccountEvent::ApiKeyIssued {
                key_id,
                label,
                hash,
                scopes,
                at: _,
            } => {
                let key = ApiKey {
                    label,
                    hash,
                    scopes,
                    revoked_at: None,
                };
                self.api_keys.insert(key_id, key);
            }
            AccountEvent::ApiKeyRevoked { key_id, at } => {
                if let Some(key) = self.api_keys.get_mut(&key_id) {
                    key.revoked_at = Some(at);
                }
            }
        }
    }
}
