//! A person whose data an account holds: what they agreed to, and what they asked for.

mod aggregate;
mod command;
mod error;
mod event;
#[cfg(test)]
mod tests;
mod upcast;
mod words;

pub use self::aggregate::{Access, Consent, DataSubject, Erasure};
pub use self::command::DataSubjectCommand;
pub use self::error::DataSubjectError;
pub use self::event::{ConsentPurpose, DataSubjectEvent};
pub use self::upcast::upcasters;

/// How long an account may take to answer a request. GDPR article 12(3) gives a month; the shortest has 28 days, and the
/// answer must be there before it is over.
pub const ANSWERED_WITHIN: chrono::TimeDelta = chrono::TimeDelta::days(28);
