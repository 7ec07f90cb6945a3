//! Sites: everything else of a merchant hangs on one.

use domain::site::{Site, SiteCommand, SiteSettings};
use domain::{AccountId, EmbedKey, Hostname, SiteId, SiteName};

use crate::call::Call;
use crate::error::CommandError;
use crate::executor::{Committed, Executor};
use crate::secrets::Secrets;

#[derive(Clone)]
pub struct Sites {
    executor: Executor,
    secrets: Secrets,
}

/// What a merchant says of a new site.
#[derive(Clone, Debug)]
pub struct NewSite {
    pub name: SiteName,
    pub domain: Hostname,
}

impl Sites {
    pub(crate) fn new(executor: Executor, secrets: Secrets) -> Self {
        Self { executor, secrets }
    }

    pub async fn register(&self, call: &Call, site: NewSite) -> Result<Committed, CommandError> {
        let id = SiteId::from(call.new_id());
        let command = SiteCommand::Register {
            account_id: call.account,
            name: site.name,
            domain: site.domain,
            embed_key: self.embed_key(id),
            at: call.at,
        };
        self.executor
            .execute::<Site>(call, id.into(), id.into(), command)
            .await
    }

    pub async fn change(
        &self,
        call: &Call,
        id: SiteId,
        name: Option<SiteName>,
        settings: Option<SiteSettings>,
    ) -> Result<Committed, CommandError> {
        let command = SiteCommand::Change {
            name,
            settings,
            at: call.at,
        };
        self.executor
            .execute::<Site>(call, id.into(), id.into(), command)
            .await
    }

    /// The public key under which a site's pages fetch its feed.
    pub fn embed_key(&self, id: SiteId) -> EmbedKey {
        self.secrets.embed_key(id)
    }

    /// The site's settings as the write side knows them, and the version that has them, for a change of some of them
    /// that is made conditional on that version.
    pub async fn settings(
        &self,
        account: AccountId,
        id: SiteId,
    ) -> Result<(SiteSettings, i64), CommandError> {
        let loaded = self
            .executor
            .load::<Site>(account.into(), id.into())
            .await?;
        loaded
            .aggregate
            .registered()
            .map(|site| (site.settings, loaded.version))
            .ok_or(CommandError::NotFound)
    }

    /// Refuses what names a site that is not there or is another account's.
    pub(crate) async fn require(&self, account: AccountId, id: SiteId) -> Result<(), CommandError> {
        let loaded = self
            .executor
            .load::<Site>(account.into(), id.into())
            .await?;
        loaded
            .aggregate
            .registered()
            .map(|_| ())
            .ok_or(CommandError::NotFound)
    }
}
