//! Decides about an integration. It is connected once.

use chrono::{DateTime, Utc};
use cqrs_es::Aggregate;
use cqrs_es::event_sink::EventSink;
use serde::{Deserialize, Serialize};

use super::{IntegrationCommand, IntegrationError, IntegrationEvent, Platform};
use crate::credential::WebhookSecret;
use crate::host::Hostname;
use crate::ids::SiteId;
use crate::pii::Pii;

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Integration {
    connected: Option<ConnectedShop>,
}

/// What is needed to take a shop's webhook in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConnectedShop {
    pub site_id: SiteId,
    pub platform: Platform,
    pub shop_domain: Hostname,
    pub webhook_secret: Pii<WebhookSecret>,
}

impl Integration {
    /// `None` until it is connected.
    pub fn connected(&self) -> Option<&ConnectedShop> {
        self.connected.as_ref()
    }

    pub fn decide(
        &self,
        command: IntegrationCommand,
    ) -> Result<Vec<IntegrationEvent>, IntegrationError> {
        match command {
            IntegrationCommand::Connect {
                site_id,
                platform,
                shop_domain,
                webhook_secret,
                at,
            } => {
                let shop = ConnectedShop {
                    site_id,
                    platform,
                    shop_domain,
                    webhook_secret,
                };
                self.connect(shop, at)
            }
        }
    }

    fn connect(
        &self,
        shop: ConnectedShop,
        at: DateTime<Utc>,
    ) -> Result<Vec<IntegrationEvent>, IntegrationError> {
        match &self.connected {
            None => Ok(vec![IntegrationEvent::Connected {
                site_id: shop.site_id,
                platform: shop.platform,
                shop_domain: shop.shop_domain,
                webhook_secret: shop.webhook_secret,
                at,
            }]),
            Some(connected) if *connected == shop => Ok(vec![]),
            Some(_) => Err(IntegrationError::AlreadyConnected),
        }
    }
}

impl Aggregate for Integration {
    const TYPE: &'static str = "integration"; // stored; never rename
    type Command = IntegrationCommand;
    type Event = IntegrationEvent;
    type Error = IntegrationError;
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
            IntegrationEvent::Connected {
                site_id,
                platform,
                shop_domain,
                webhook_secret,
                at: _,
            } => {
                self.connected = Some(ConnectedShop {
                    site_id,
                    platform,
                    shop_domain,
                    webhook_secret,
                });
            }
        }
    }
}
