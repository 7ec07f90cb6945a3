use crate::error::{DomainError, ErrorKind};

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SiteError {
    #[error("There is no such site.")]
    NotRegistered,
    #[error("This site is already registered with other details.")]
    AlreadyRegistered,
    #[error("This domain belongs to another site.")]
    DomainTaken,
    #[error("This platform keeps no data in this region.")]
    UnknownRegion,
}

impl DomainError for SiteError {
    fn code(&self) -> &'static str {
        match self {
            Self::NotRegistered => "site_not_registered",
            Self::AlreadyRegistered => "site_already_registered",
            Self::DomainTaken => "site_domain_taken",
            Self::UnknownRegion => "site_unknown_region",
        }
    }

    fn kind(&self) -> ErrorKind {
        match self {
            Self::NotRegistered => ErrorKind::NotFound,
            Self::AlreadyRegistered => ErrorKind::Conflict,
            Self::DomainTaken => ErrorKind::Taken,
            Self::UnknownRegion => ErrorKind::Invalid,
        }
    }
}
