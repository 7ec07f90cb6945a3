use chrono::{DateTime, Utc};

use super::Platform;
use crate::credential::WebhookSecret;
use crate::host::Hostname;
use crate::ids::SiteId;
use crate::pii::Pii;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum IntegrationCommand {
    Connect {
        site_id: SiteId,
        platform: Platform,
        shop_domain: Hostname,
        webhook_secret: Pii<WebhookSecret>,
        at: DateTime<Utc>,
    },
}
