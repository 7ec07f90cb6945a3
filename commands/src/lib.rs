//! The write side: load, decide, append.
//!
//! **Owns** the command path (docs/command-path.md): idempotency, optimistic concurrency, the aggregate cache, and what a
//! command has to look up before it is decided. **Must not know** HTTP, or any read model: only events cross over to
//! the projections.

mod account;
mod activity;
mod cache;
mod call;
mod error;
mod executor;
mod integration;
mod notification;
mod secrets;
mod site;
mod snapshots;
mod subject;
mod telemetry;

pub use account::Accounts;
pub use activity::{Activities, NewActivity};
pub use call::{Call, Cause, ClientKey};
pub use error::CommandError;
pub use event_store::Token;
pub use executor::{Claim, Committed, Executor};
pub use integration::{Integrations, NewShop};
pub use notification::{NewNotification, Notifications};
pub use secrets::Secrets;
pub use site::{NewSite, Sites, claim_of};
pub use snapshots::Kept;
pub use subject::{NewConsent, Person, Subjects};
pub use telemetry::{Collected, Observation, Telemetry};

/// Every entry point of the write side. Cheap to clone.
#[derive(Clone)]
pub struct Commands {
    pub accounts: Accounts,
    pub sites: Sites,
    pub notifications: Notifications,
    pub integrations: Integrations,
    pub activities: Activities,
    pub subjects: Subjects,
    pub telemetry: Telemetry,
}

impl Commands {
    pub fn new(store: event_store::Store, telemetry: Telemetry, secrets: Secrets) -> Self {
        let executor = Executor::new(store, secrets.clone());
        let sites = Sites::new(executor.clone(), secrets.clone());
        Self {
            accounts: Accounts::new(executor.clone()),
            notifications: Notifications::new(executor.clone(), sites.clone()),
            integrations: Integrations::new(executor.clone(), sites.clone(), secrets.clone()),
            subjects: Subjects::new(executor.clone(), secrets.clone()),
            activities: Activities::new(executor, sites.clone(), secrets),
            sites,
            telemetry,
        }
    }
}
