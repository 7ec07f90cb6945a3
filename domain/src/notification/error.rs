use crate::error::{DomainError, ErrorKind};

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotificationError {
    #[error("There is no such notification.")]
    NotDrafted,
    #[error("This notification is already drafted with other content.")]
    AlreadyDrafted,
    #[error("This notification is not published yet.")]
    NotPublished,
    #[error("This notification is paused; resume it instead.")]
    Paused,
    #[error("This notification is archived for good.")]
    Archived,
}

impl DomainError for NotificationError {
    fn code(&self) -> &'static str {
        match self {
            Self::NotDrafted => "notification_not_drafted",
            Self::AlreadyDrafted => "notification_already_drafted",
            Self::NotPublished => "notification_not_published",
            Self::Paused => "notification_paused",
            Self::Archived => "notification_archived",
        }
    }

    fn kind(&self) -> ErrorKind {
        match self {
            Self::NotDrafted => ErrorKind::NotFound,
            Self::AlreadyDrafted | Self::NotPublished | Self::Paused | Self::Archived => {
                ErrorKind::Conflict
            }
        }
    }
}
