//! Integrations: shops that send what happened.

use domain::integration::{ConnectedShop, Integration, IntegrationCommand, Platform};
use domain::{AccountId, Hostname, IntegrationId, Pii, SiteId, WebhookSecret};

use crate::call::Call;
use crate::error::CommandError;
use crate::executor::{Claim, Committed, Executor};
use crate::secrets::Secrets;
use crate::site::Sites;

#[derive(Clone)]
pub struct Integrations {
    executor: Executor,
    sites: Sites,
    secrets: Secrets,
}

/// What a merchant says of a shop to connect.
#[derive(Clone, Debug)]
pub struct NewShop {
    pub platform: Platform,
    pub shop_domain: Hostname,
    pub webhook_secret: WebhookSecret,
}

impl Integrations {
    pub(crate) fn new(executor: Executor, sites: Sites, secrets: Secrets) -> Self {
        Self {
            executor,
            sites,
            secrets,
        }
    }

    pub async fn connect(
        &self,
        call: &Call,
        site_id: SiteId,
        shop: NewShop,
    ) -> Result<Committed, CommandError> {
        self.sites.require(call.account, site_id).await?;
        let id = call.new_id();
        let command = IntegrationCommand::Connect {
            site_id,
            platform: shop.platform,
            shop_domain: shop.shop_domain,
            webhook_secret: Pii::new(self.secrets.subject_of_id(id), shop.webhook_secret),
            at: call.at,
        };
        self.executor
            .execute_new::<Integration>(call, site_id.into(), id, command, Claim::default())
            .await
    }

    /// The shop behind a webhook address, and its account. Who calls is not known yet, so nothing else is told.
    pub async fn connected(
        &self,
        id: IntegrationId,
    ) -> Result<Option<(AccountId, ConnectedShop)>, CommandError> {
        let Some((tenant, loaded)) = self
            .executor
            .load_of_any_tenant::<Integration>(id.into())
            .await?
        else {
            return Ok(None);
        };
        Ok(loaded
            .aggregate
            .connected()
            .map(|shop| (tenant.into(), shop.clone())))
    }
}
