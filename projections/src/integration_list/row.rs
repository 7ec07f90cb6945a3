use chrono::{DateTime, Utc};
use domain::{IntegrationId, SiteId};

/// An integration as the dashboard sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IntegrationRow {
    pub integration_id: IntegrationId,
    pub site_id: SiteId,
    /// Stored name of a [`domain::integration::Platform`].
    pub platform: String,
    pub shop_domain: String,
    /// Of the aggregate: the `ETag`.
    pub version: i64,
    /// Where in the log it was connected: the key of its place in a list.
    pub position: i64,
    pub connected_at: DateTime<Utc>,
}
