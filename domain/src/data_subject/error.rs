use crate::error::{DomainError, ErrorKind};

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DataSubjectError {
    #[error("There is no record of this person.")]
    NotRegistered,
    #[error("This person was erased.")]
    Erased,
    #[error("No request for access is open.")]
    NoAccessRequest,
    #[error("No request for erasure is open.")]
    NoErasureRequest,
    #[error("A legal hold keeps this person's data.")]
    LegalHold,
    #[error("A legal hold for another case is in place.")]
    OtherLegalHold,
    #[error("This person was not erased.")]
    NotErased,
    #[error("This version names another text: a text that differs needs a version of its own.")]
    OtherWording,
}

impl DomainError for DataSubjectError {
    fn code(&self) -> &'static str {
        match self {
            Self::NotRegistered => "subject_not_registered",
            Self::Erased => "subject_erased",
            Self::NoAccessRequest => "no_access_request",
            Self::NoErasureRequest => "no_erasure_request",
            Self::LegalHold => "legal_hold",
            Self::OtherLegalHold => "other_legal_hold",
            Self::NotErased => "subject_not_erased",
            Self::OtherWording => "other_wording",
        }
    }

    fn kind(&self) -> ErrorKind {
        match self {
            Self::NotRegistered => ErrorKind::NotFound,
            Self::Erased
            | Self::NoAccessRequest
            | Self::NoErasureRequest
            | Self::LegalHold
            | Self::OtherLegalHold
            | Self::NotErased
            | Self::OtherWording => ErrorKind::Conflict,
        }
    }
}
