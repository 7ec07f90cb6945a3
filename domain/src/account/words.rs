use std::collections::BTreeSet;

use super::{Account, AccountEvent, ApiKey, Scope};
use crate::words::{Fact, quoted};

impl AccountEvent {
    /// What happened, in plain words.
    pub fn sentence(&self) -> String {
        match self {
            Self::Opened { name, at: _ } => {
                format!("The account {} was opened.", quoted(name.as_str()))
            }
            Self::ApiKeyIssued {
                key_id,
                label,
                hash: _, // nobody's business
                scopes,
                at: _,
            } => format!(
                "API key {key_id} ({}) was issued and may {}.",
                quoted(label.as_str()),
                listed(scopes)
            ),
            Self::ApiKeyRevoked { key_id, at: _ } => format!("API key {key_id} was revoked."),
        }
    }
}

impl Account {
    /// What is so about it, in plain words; nothing until it is opened.
    pub fn facts(&self) -> Vec<Fact> {
        let Self { name, api_keys } = self;
        let name = name
            .iter()
            .map(|name| Fact::new("name", quoted(name.as_str())));
        let keys = api_keys.iter().map(|(id, key)| {
            let ApiKey {
                label,
                hash: _, // nobody's business
                scopes,
                revoked_at,
            } = key;
            let may = format!("{}, may {}", quoted(label.as_str()), listed(scopes));
            let value = match revoked_at {
                None => may,
                Some(at) => format!("{may}, revoked at {at}"),
            };
            Fact::new(format!("API key {id}"), value)
        });
        name.chain(keys).collect()
    }
}

fn listed(scopes: &BTreeSet<Scope>) -> String {
    let verbs: Vec<&str> = scopes
        .iter()
        .map(|scope| match scope {
            Scope::Read => "read",
            Scope::Write => "write",
            Scope::Compliance => "act as compliance officer",
        })
        .collect();
    verbs.join(" and ")
}
