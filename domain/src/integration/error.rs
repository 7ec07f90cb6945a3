use crate::error::{DomainError, ErrorKind};

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IntegrationError {
    #[error("This integration is already connected with other details.")]
    AlreadyConnected,
}

impl DomainError for IntegrationError {
    fn code(&self) -> &'static str {
        match self {
            Self::AlreadyConnected => "integration_already_connected",
        }
    }

    fn kind(&self) -> ErrorKind {
        match self {
            Self::AlreadyConnected => ErrorKind::Conflict,
        }
    }
}
