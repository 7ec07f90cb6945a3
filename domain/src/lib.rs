//! What Proofline's business decides: aggregates, commands, events, errors, upcasters and the values they are made of.
//!
//! **Owns** the stored names and shapes of every event (see [`EVENT_TYPES`]); they are kept for ever, and
//! `golden/` holds one file of each. **Must not know** a clock, a source of randomness, a database or HTTP: time,
//! new ids and looked-up facts arrive inside commands.
//!
//! - One module per aggregate, all of one shape: `command`, `event`, `error`, `aggregate`, `upcast`, `tests`.
//! - Values ([`SiteName`], [`Money`], …) have a private field and one `parse`, which reading them back from
//!   storage goes through as well. So **a value's check may be loosened, never tightened**: a stricter check
//!   needs a new event version and an upcaster.
//! - Personal data and secrets stand in an event only inside [`Pii`].
//! - Every event has a sentence and every aggregate its facts, in plain words ([`Event::sentence`], [`State::facts`]).
//!   They tell no person and no secret.
//! - Every error, of a value or of a decision, is a [`DomainError`] with a stable code and a kind.

pub mod account;
pub mod activity;
pub mod data_subject;
pub mod integration;
pub mod notification;
pub mod site;

mod credential;
mod error;
mod event;
mod export_link;
mod host;
mod ids;
mod impression;
mod message;
mod money;
mod person;
mod pii;
mod region;
mod state;
mod stored_names;
mod text;
mod words;

#[cfg(test)]
mod golden;
#[cfg(test)]
mod scenario;

pub use crate::credential::{ApiKeyHash, CredentialError, EmbedKey, WebhookSecret};
pub use crate::error::{DomainError, ErrorKind};
pub use crate::event::{DecodeError, EVENT_TYPES, Event, upcasters};
pub use crate::export_link::ExportLink;
pub use crate::host::{Hostname, HostnameError};
pub use crate::ids::{
    AccountId, ActivityId, ApiKeyId, IntegrationId, InvalidId, NotificationId, SiteId, SubjectId,
};
pub use crate::impression::Impression;
pub use crate::message::{MessageError, MessageTemplate};
pub use crate::money::{Currency, InvalidCurrency, Money, MoneyError};
pub use crate::person::{
    Buyer, City, CountryCode, Email, FirstName, InvalidCountryCode, InvalidEmail, LastName,
    VisitorId,
};
pub use crate::pii::Pii;
pub use crate::region::{DataRegion, DataRegionError};
pub use crate::state::{OtherAggregate, State};
pub use crate::stored_names::UnknownName;
pub use crate::text::{
    AccountName, CaseReference, ConsentEvidence, ConsentText, ExternalId, InvalidReference, Label,
    NotificationName, ProductTitle, SiteName, TextError, holds_address,
};
pub use crate::words::{ChangedFact, Fact, changed_facts};
