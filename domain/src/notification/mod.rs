//! What a visitor of a site is shown when something happens in its shop.

mod aggregate;
mod command;
mod error;
mod event;
#[cfg(test)]
mod tests;
mod upcast;
mod words;

pub use self::aggregate::{DraftedNotification, Notification, NotificationStatus};
pub use self::command::NotificationCommand;
pub use self::error::NotificationError;
pub use self::event::NotificationEvent;
pub use self::upcast::upcasters;
