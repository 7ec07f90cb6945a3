use chrono::{DateTime, Utc};
use domain::SiteId;

/// A site as the dashboard sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SiteRow {
    pub site_id: SiteId,
    pub name: String,
    pub domain: String,
    /// Public: it stands in the source of the shop's pages.
    pub embed_key: String,
    /// 1 to 50.
    pub feed_items_max: i16,
    /// 1 to 720.
    pub feed_age_hours_max: i16,
    /// Of the aggregate: the `ETag`.
    pub version: i64,
    /// Where in the log the site was registered: the key of its place in a list.
    pub position: i64,
    pub registered_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
    /// Where its data may lie. `None` where that was not said when it was registered.
    pub data_region: Option<String>,
}
