use super::{RegisteredSite, Site, SiteEvent, SiteSettings};
use crate::words::{Fact, counted, quoted};

impl SiteEvent {
    /// What happened, in plain words.
    pub fn sentence(&self) -> String {
        match self {
            Self::Registered {
                account_id,
                name,
                domain,
                embed_key,
                data_region,
                settings,
                at: _,
            } => {
                let kept = match data_region {
                    Some(region) => format!(", its data in region {region}"),
                    None => String::new(),
                };
                format!(
                    "The site {} on {domain} was registered for account {account_id} with embed key {embed_key}{kept}; its \
                     feed shows {}.",
                    quoted(name.as_str()),
                    shown(*settings)
                )
            }
            Self::Renamed { name, at: _ } => {
                format!("The site was renamed {}.", quoted(name.as_str()))
            }
            Self::SettingsChanged { settings, at: _ } => {
                format!("The site's feed was set to show {}.", shown(*settings))
            }
        }
    }
}

impl Site {
    /// What is so about it, in plain words; nothing until it is registered.
    pub fn facts(&self) -> Vec<Fact> {
        let Some(RegisteredSite {
            account_id,
            name,
            registered_name,
            domain,
            embed_key,
            data_region,
            settings,
        }) = self.registered()
        else {
            return Vec::new();
        };
        let mut facts = vec![
            Fact::new("name", quoted(name.as_str())),
            Fact::new("registered as", quoted(registered_name.as_str())),
            Fact::new("domain", domain.as_str()),
            Fact::new("account", account_id.to_string()),
            Fact::new("embed key", embed_key.as_str()),
            Fact::new("feed shows", shown(*settings)),
        ];
        facts.extend(
            data_region
                .as_ref()
                .map(|region| Fact::new("data region", region.as_str())),
        );
        facts
    }
}

fn shown(settings: SiteSettings) -> String {
    format!(
        "at most {} of the last {}",
        counted(settings.feed_items_max().into(), "item"),
        counted(settings.feed_age_hours_max().into(), "hour")
    )
}
