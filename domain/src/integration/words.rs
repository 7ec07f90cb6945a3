use super::{ConnectedShop, Integration, IntegrationEvent};
use crate::credential::WebhookSecret;
use crate::pii::Pii;
use crate::words::Fact;

impl IntegrationEvent {
    /// What happened, in plain words.
    pub fn sentence(&self) -> String {
        match self {
            Self::Connected {
                site_id,
                platform,
                shop_domain,
                webhook_secret,
                at: _,
            } => format!(
                "The {platform} shop {shop_domain} was connected to site {site_id}; its webhook secret is {}.",
                kept(webhook_secret)
            ),
        }
    }
}

impl Integration {
    /// What is so about it, in plain words; nothing until it is connected.
    pub fn facts(&self) -> Vec<Fact> {
        let Some(ConnectedShop {
            site_id,
            platform,
            shop_domain,
            webhook_secret,
        }) = self.connected()
        else {
            return Vec::new();
        };
        vec![
            Fact::new("platform", platform.as_str()),
            Fact::new("shop domain", shop_domain.as_str()),
            Fact::new("webhook secret", kept(webhook_secret)),
            Fact::new("site", site_id.to_string()),
        ]
    }
}

fn kept(secret: &Pii<WebhookSecret>) -> &'static str {
    match secret {
        Pii::Known { .. } => "not told",
        Pii::Sealed { .. } => "sealed",
        Pii::Erased { .. } => "erased",
    }
}
