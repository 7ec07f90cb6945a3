use super::{DraftedNotification, Notification, NotificationEvent};
use crate::words::{Fact, quoted};

impl NotificationEvent {
    /// What happened, in plain words.
    pub fn sentence(&self) -> String {
        match self {
            Self::Drafted {
                site_id,
                name,
                message,
                at: _,
            } => format!(
                "The notification {} was drafted for site {site_id} with the message {}.",
                quoted(name.as_str()),
                quoted(message.as_str())
            ),
            Self::Published { site_id: _, at: _ } => "The notification was published.".to_owned(),
            Self::Paused { site_id: _, at: _ } => "The notification was paused.".to_owned(),
            Self::Resumed { site_id: _, at: _ } => "The notification was resumed.".to_owned(),
            Self::Archived { site_id: _, at: _ } => {
                "The notification was archived for good.".to_owned()
            }
        }
    }
}

impl Notification {
    /// What is so about it, in plain words; nothing until it is drafted.
    pub fn facts(&self) -> Vec<Fact> {
        let Some(DraftedNotification {
            site_id,
            name,
            message,
            status,
        }) = self.drafted()
        else {
            return Vec::new();
        };
        vec![
            Fact::new("name", quoted(name.as_str())),
            Fact::new("message", quoted(message.as_str())),
            Fact::new("status", status.as_str()),
            Fact::new("site", site_id.to_string()),
        ]
    }
}
