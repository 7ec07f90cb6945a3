use crate::error::{DomainError, ErrorKind};

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AccountError {
    #[error("There is no such account.")]
    NotOpened,
    #[error("This account is already open under another name.")]
    AlreadyOpened,
    #[error("An API key needs at least one scope.")]
    NoScopes,
    #[error("Another API key has this id.")]
    ApiKeyIdTaken,
    #[error("There is no such API key.")]
    UnknownApiKey,
    #[error("An account has at most {max} API keys at a time; revoke one first.")]
    TooManyApiKeys { max: usize },
}

impl DomainError for AccountError {
    fn code(&self) -> &'static str {
        match self {
            Self::NotOpened => "account_not_opened",
            Self::AlreadyOpened => "account_already_opened",
            Self::NoScopes => "api_key_no_scopes",
            Self::ApiKeyIdTaken => "api_key_id_taken",
            Self::UnknownApiKey => "unknown_api_key",
            Self::TooManyApiKeys { .. } => "too_many_api_keys",
        }
    }

    fn kind(&self) -> ErrorKind {
        match self {
            Self::NotOpened | Self::UnknownApiKey => ErrorKind::NotFound,
            Self::AlreadyOpened | Self::ApiKeyIdTaken | Self::TooManyApiKeys { .. } => {
                ErrorKind::Conflict
            }
            Self::NoScopes => ErrorKind::Invalid,
        }
    }
}
