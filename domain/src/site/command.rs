use chrono::{DateTime, Utc};

use super::SiteSettings;
use crate::credential::EmbedKey;
use crate::host::Hostname;
use crate::ids::AccountId;
use crate::region::DataRegion;
use crate::text::SiteName;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SiteCommand {
    Register {
        account_id: AccountId,
        name: SiteName,
        domain: Hostname,
        embed_key: EmbedKey,
        /// Where the site's data may lie; `None` where nobody was promised anything.
        data_region: Option<DataRegion>,
        at: DateTime<Utc>,
    },
    /// Changes what is given and leaves the rest.
    Change {
        name: Option<SiteName>,
        settings: Option<SiteSettings>,
        at: DateTime<Utc>,
    },
}
