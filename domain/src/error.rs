//! What every error of this crate can say about itself.

/// An error that a merchant can be told: `Display` is a sentence for them, without internals.
pub trait DomainError: std::error::Error + Send + Sync + 'static {
    /// Stable name of the rule that was broken, in snake case. Part of the public API; never rename.
    fn code(&self) -> &'static str;

    /// What went wrong in general, so that an outer layer can answer without knowing each error.
    fn kind(&self) -> ErrorKind;
}

/// The kinds of refusal that an outer layer answers differently.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// There is no such thing (yet).
    NotFound,
    /// The thing is there, and its state stands in the way.
    Conflict,
    /// What is asked for is another's. Whose is not said.
    Taken,
    /// A value is not acceptable, whatever the state.
    Invalid,
}
