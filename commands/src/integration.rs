//! Integrations: shops that send what happened.

use std::time::Duration;

use domain::integration::{ConnectedShop, Integration, IntegrationCommand, Platform};
use domain::{AccountId, Hostname, IntegrationId, Pii, SiteId, WebhookSecret};

use crate::call::Call;
use crate::error::CommandError;
use crate::executor::{Claim, Committed, Executor};
use crate::secrets::Secrets;
use crate::site::Sites;

/// How old what is known of a shop may be when its webhook comes: one look-up of a busy shop in so long.
const SHOP_AGE_MAX: Duration = Duration::from_secs(2);
const SHOPS_MAX: u64 = 10_000;

#[derive(Clone)]
pub struct Integrations {
    executor: Executor,
    sites: Sites,
    secrets: Secrets,
    shops: moka::sync::Cache<IntegrationId, (AccountId, ConnectedShop)>,
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
        let shops = moka::sync::Cache::builder()
            .max_capacity(SHOPS_MAX)
            .time_to_live(SHOP_AGE_MAX)
            .build();
        Self {
            executor,
            sites,
            secrets,
            shops,
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

    /// The shop behind a webhook address, and its account. Who calls is not known yet, so nothing else is told. What changes
    /// about a shop counts within two seconds; one that is not there is looked for each time.
    pub async fn connected(
        &self,
        id: IntegrationId,
    ) -> Result<Option<(AccountId, ConnectedShop)>, CommandError> {
        if let Some(known) = self.shops.get(&id) {
            return Ok(Some(known));
        }
        let Some((tenant, loaded)) = self
            .executor
            .load_of_any_tenant::<Integration>(id.into())
            .await?
        else {
            return Ok(None);
        };
        let found = loaded
            .aggregate
            .connected()
            .map(|shop| (tenant.into(), shop.clone()));
        if let Some(shop) = &found {
            self.shops.insert(id, shop.clone());
        }
        Ok(found)
    }
}
