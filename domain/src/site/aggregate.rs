//! Decides about a site. It is registered once, and then changed.

use chrono::{DateTime, Utc};
use cqrs_es::Aggregate;
use cqrs_es::event_sink::EventSink;
use serde::{Deserialize, Serialize};

use super::{SiteCommand, SiteError, SiteEvent, SiteSettings};
use crate::credential::EmbedKey;
use crate::host::Hostname;
use crate::ids::AccountId;
use crate::region::DataRegion;
use crate::text::SiteName;

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Site {
    registered: Option<RegisteredSite>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RegisteredSite {
    pub account_id: AccountId,
    pub name: SiteName,
    /// By which a repeated registration is known after a renaming.
    pub registered_name: SiteName,
    pub domain: Hostname,
    pub embed_key: EmbedKey,
    pub data_region: Option<DataRegion>,
    pub settings: SiteSettings,
}

impl Site {
    /// `None` until it is registered.
    pub fn registered(&self) -> Option<&RegisteredSite> {
        self.registered.as_ref()
    }

    pub fn decide(&self, command: SiteCommand) -> Result<Vec<SiteEvent>, SiteError> {
        match command {
            SiteCommand::Register {
                account_id,
                name,
                domain,
                embed_key,
                data_region,
                at,
            } => self.register(account_id, name, domain, embed_key, data_region, at),
            SiteCommand::Change { name, settings, at } => self.change(name, settings, at),
        }
    }

    fn register(
        &self,
        account_id: AccountId,
        name: SiteName,
        domain: Hostname,
        embed_key: EmbedKey,
        data_region: Option<DataRegion>,
        at: DateTime<Utc>,
    ) -> Result<Vec<SiteEvent>, SiteError> {
        match &self.registered {
            None => Ok(vec![SiteEvent::Registered {
                account_id,
                name,
                domain,
                embed_key,
                data_region,
                settings: SiteSettings::default(),
                at,
            }]),
            Some(site)
                if site.account_id == account_id
                    && site.registered_name == name
                    && site.domain == domain
                    && site.embed_key == embed_key
                    && site.data_region == data_region =>
            {
                Ok(vec![])
            }
            Some(_) => Err(SiteError::AlreadyRegistered),
        }
    }

    fn change(
        &self,
        name: Option<SiteName>,
        settings: Option<SiteSettings>,
        at: DateTime<Utc>,
    ) -> Result<Vec<SiteEvent>, SiteError> {
        let site = self.registered.as_ref().ok_or(SiteError::NotRegistered)?;
        let renamed = name
            .filter(|name| *name != site.name)
            .map(|name| SiteEvent::Renamed { name, at });
        let settings_changed = settings
            .filter(|settings| *settings != site.settings)
            .map(|settings| SiteEvent::SettingsChanged { settings, at });
        Ok(renamed.into_iter().chain(settings_changed).collect())
    }
}

impl Aggregate for Site {
    const TYPE: &'static str = "site"; // stored; never rename
    type Command = SiteCommand;
    type Event = SiteEvent;
    type Error = SiteError;
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
            SiteEvent::Registered {
                account_id,
                name,
                domain,
                embed_key,
                data_region,
                settings,
                at: _,
            } => {
                self.registered = Some(RegisteredSite {
                    account_id,
                    registered_name: name.clone(),
                    name,
                    domain,
                    embed_key,
                    data_region,
                    settings,
                });
            }
            SiteEvent::Renamed { name, at: _ } => {
                if let Some(site) = &mut self.registered {
                    site.name = name;
                }
            }
            SiteEvent::SettingsChanged { settings, at: _ } => {
                if let Some(site) = &mut self.registered {
                    site.settings = settings;
                }
            }
        }
    }
}
