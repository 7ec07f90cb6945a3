//! Sites: everything else of a merchant hangs on one.

use domain::site::{Site, SiteCommand, SiteError, SiteEvent, SiteSettings};
use domain::{AccountId, DataRegion, EmbedKey, Hostname, SiteId, SiteName};
use event_store::{Excluded, Tag};

use crate::call::Call;
use crate::error::CommandError;
use crate::executor::{Claim, Committed, Executor};
use crate::secrets::Secrets;

/// How often settings are merged before the caller is told that others keep changing them.
const MERGES_MAX: usize = 16;
/// Stored, hashed with the domain; never rename.
const DOMAIN_TAG: &str = "site_domain";
/// The version of no site: lets a repeated command find its result, and refuses every other one.
const NO_VERSION: i64 = -1;

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
    /// Where its data has to lie; where nothing is said, that is where the platform keeps it.
    pub data_region: Option<DataRegion>,
}

/// A domain belongs to one site, across all accounts, except for the name by which everybody calls his own machine. Nothing
/// gives a domain back yet.
pub fn claim_of(domain: &Hostname) -> Claim {
    if domain.is_local() {
        return Claim::default();
    }
    let tag = Tag::new(DOMAIN_TAG, domain.as_str());
    Claim {
        tags: vec![tag.clone()],
        excluded: vec![Excluded {
            tag,
            also: Vec::new(),
            types: vec![SiteEvent::REGISTERED.to_owned()],
            after: 0,
        }],
    }
}

impl Sites {
    pub(crate) fn new(executor: Executor, secrets: Secrets) -> Self {
        Self { executor, secrets }
    }

    pub async fn register(&self, call: &Call, site: NewSite) -> Result<Committed, CommandError> {
        let id = SiteId::from(call.new_id());
        let claim = claim_of(&site.domain);
        let command = SiteCommand::Register {
            account_id: call.account,
            name: site.name,
            domain: site.domain,
            embed_key: self.embed_key(id),
            data_region: self.region_for(site.data_region)?,
            at: call.at,
        };
        self.executor
            .execute_new::<Site>(call, id.into(), id.into(), command, claim)
            .await
            .map_err(|error| match error {
                CommandError::Taken => CommandError::Refused(Box::new(SiteError::DomainTaken)),
                other => other,
            })
    }

    /// In which region the log is, and every site's data with it.
    pub fn region(&self) -> Option<&str> {
        self.executor.region()
    }

    fn region_for(&self, asked: Option<DataRegion>) -> Result<Option<DataRegion>, CommandError> {
        let own = self.region().map(DataRegion::parse).transpose();
        let own = own.map_err(|error| CommandError::Internal(error.into()))?;
        if asked.is_some() && asked != own {
            return Err(CommandError::Refused(Box::new(SiteError::UnknownRegion)));
        }
        Ok(own)
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

    /// Changes settings by what `merge` makes of those that stand. Merged again where they change meanwhile, so that of
    /// two changes of different settings neither is lost.
    pub async fn change_settings(
        &self,
        call: &Call,
        id: SiteId,
        name: Option<SiteName>,
        merge: impl Fn(SiteSettings) -> SiteSettings,
    ) -> Result<Committed, CommandError> {
        for _ in 0..MERGES_MAX {
            let loaded = self
                .executor
                .load_current::<Site>(call.account.into(), id.into())
                .await?;
            let site = loaded
                .aggregate
                .registered()
                .ok_or(CommandError::NotFound)?;
            let seen = call.if_match.is_none_or(|seen| seen == loaded.version);
            let conditional = Call {
                if_match: Some(if seen { loaded.version } else { NO_VERSION }),
                ..call.clone()
            };
            let changed = self.change(&conditional, id, name.clone(), Some(merge(site.settings)));
            match changed.await {
                Err(CommandError::VersionMismatch { .. }) if call.if_match.is_none() => {}
                done => return done,
            }
        }
        Err(CommandError::Contended)
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
