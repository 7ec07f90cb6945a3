use chrono::{DateTime, Utc};

use crate::ids::SiteId;
use crate::message::MessageTemplate;
use crate::text::NotificationName;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotificationCommand {
    Draft {
        site_id: SiteId,
        name: NotificationName,
        message: MessageTemplate,
        at: DateTime<Utc>,
    },
    Publish {
        at: DateTime<Utc>,
    },
    Pause {
        at: DateTime<Utc>,
    },
    Resume {
        at: DateTime<Utc>,
    },
    /// For good.
    Archive {
        at: DateTime<Utc>,
    },
}
