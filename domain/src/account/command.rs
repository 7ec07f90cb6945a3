use std::collections::BTreeSet;

use chrono::{DateTime, Utc};

use super::Scope;
use crate::credential::ApiKeyHash;
use crate::ids::ApiKeyId;
use crate::text::{AccountName, Label};

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AccountCommand {
    Open {
        name: AccountName,
        at: DateTime<Utc>,
    },
    IssueApiKey {
        key_id: ApiKeyId,
        label: Label,
        hash: ApiKeyHash,
        scopes: BTreeSet<Scope>,
        at: DateTime<Utc>,
    },
    RevokeApiKey {
        key_id: ApiKeyId,
        at: DateTime<Utc>,
    },
}
