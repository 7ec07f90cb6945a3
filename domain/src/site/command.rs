use chrono::{DateTime, Utc};

use super::SiteSettings;
use crate::credential::EmbedKey;
use crate::host::Hostname;
use crate::ids::AccountId;
use crate::text::SiteName;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SiteCommand {
    Register {
        account_id: AccountId,
        name: SiteName,
        domain: Hostname,
        embed_key: EmbedKey,
        at: DateTime<Utc>,
    },
    /// Changes what is given and leaves the rest.
    Change {
        name: Option<SiteName>,
        settings: Option<SiteSettings>,
        at: DateTime<Utc>,
    },
}
