use crate::error::{DomainError, ErrorKind};

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ActivityError {
    #[error("This site has no such activity.")]
    OfAnotherSite,
}

impl DomainError for ActivityError {
    fn code(&self) -> &'static str {
        match self {
            Self::OfAnotherSite => "activity_of_another_site",
        }
    }

    fn kind(&self) -> ErrorKind {
        match self {
            Self::OfAnotherSite => ErrorKind::NotFound,
        }
    }
}
