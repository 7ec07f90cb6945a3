//! Integrations: shops that send what happened.

use cqrs_es::Aggregate as _;
use domain::integration::{ConnectedShop, Integration, IntegrationCommand, Platform};
use domain::{AccountId, Hostname, IntegrationId, Pii, SiteId, WebhookSecret};
use event_store::StreamId;

use crate::call::Call;
use crate::error::CommandError;
use crate::executor::{Committed, Executor};
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
            .execute::<Integration>(call, site_id.into(), id, command)
            .await
    }

    /// The shop behind a webhook address, and its account. Who calls is not known yet, so nothing else is told.
    pub async fn connected(
        &self,
        id: IntegrationId,
    ) -> Result<Option<(AccountId, ConnectedShop)>, CommandError> {
        let stream = StreamId {
            aggregate_type: Integration::TYPE.to_owned(),
            aggregate_id: id.to_string(),
        };
        let Some(tenant) = self.executor.tenant_of(&stream).await? else {
            return Ok(None);
        };
        let loaded = self.executor.load::<Integration>(tenant, id.into()).await?;
        Ok(loaded
            .aggregate
            .connected()
            .map(|shop| (tenant.into(), shop.clone())))
    }
}
