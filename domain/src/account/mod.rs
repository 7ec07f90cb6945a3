//! The tenant: whoever pays, and the API keys that act for it.

mod aggregate;
mod command;
mod error;
mod event;
#[cfg(test)]
mod tests;
mod upcast;
mod words;

pub use self::aggregate::{Account, ApiKey};
pub use self::command::AccountCommand;
pub use self::error::AccountError;
pub use self::event::{AccountEvent, Scope};
pub use self::upcast::upcasters;
