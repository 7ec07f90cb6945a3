//! A shop that tells us by webhooks what happens in it.

mod aggregate;
mod command;
mod error;
mod event;
#[cfg(test)]
mod tests;
mod upcast;
mod words;

pub use self::aggregate::{ConnectedShop, Integration};
pub use self::command::IntegrationCommand;
pub use self::error::IntegrationError;
pub use self::event::{IntegrationEvent, Platform};
pub use self::upcast::upcasters;
