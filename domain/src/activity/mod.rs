//! Something that happened in a shop: an order, a sign-up, a review, or what the merchant makes of it.

mod aggregate;
mod command;
mod error;
mod event;
#[cfg(test)]
mod tests;
mod upcast;
mod words;

pub use self::aggregate::{Activity, ActivityStatus};
pub use self::command::ActivityCommand;
pub use self::error::ActivityError;
pub use self::event::{ActivityEvent, ActivityKind, WithdrawalReason};
pub use self::upcast::upcasters;
