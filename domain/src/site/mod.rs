//! A shop's web site, on which notifications are shown.

mod aggregate;
mod command;
mod error;
mod event;
mod settings;
#[cfg(test)]
mod tests;
mod upcast;
mod words;

pub use self::aggregate::{RegisteredSite, Site};
pub use self::command::SiteCommand;
pub use self::error::SiteError;
pub use self::event::SiteEvent;
pub use self::settings::{SiteSettings, SiteSettingsError};
pub use self::upcast::upcasters;
