use chrono::{DateTime, Utc};
use domain::{NotificationId, SiteId};

/// A notification as the dashboard sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotificationRow {
    pub notification_id: NotificationId,
    pub site_id: SiteId,
    pub name: String,
    /// The template, not a rendered message.
    pub message: String,
    /// Stored name of a [`domain::notification::NotificationStatus`].
    pub status: String,
    /// Of the aggregate: the `ETag`.
    pub version: i64,
    /// Where in the log it was drafted: the key of its place in a list.
    pub position: i64,
    pub drafted_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
}
