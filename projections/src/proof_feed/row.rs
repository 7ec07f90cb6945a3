use chrono::{DateTime, Utc};
use domain::activity::ActivityKind;
use domain::{AccountId, NotificationId, SiteId};

/// What a shop's pages may show.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Feed {
    /// Not for the page: for whoever signs what is served to it.
    pub account_id: AccountId,
    pub site_id: SiteId,
    /// The latest first.
    pub items: Vec<FeedItem>,
}

/// Something that happened in the shop. Of the person, only what may be shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FeedItem {
    pub kind: ActivityKind,
    /// `None` where the shop gave none, or the person was erased.
    pub first_name: Option<String>,
    pub city: Option<String>,
    pub product: Option<String>,
    pub occurred_at: DateTime<Utc>,
    /// One per published notification, in order of creation.
    pub messages: Vec<FeedMessage>,
}

/// A notification's message, filled in: plain text, to be escaped by whoever puts it into a page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FeedMessage {
    pub notification_id: NotificationId,
    pub text: String,
}
