//! How a site shows what happens in its shop.

use serde::{Deserialize, Serialize};

use crate::error::{DomainError, ErrorKind};

/// Stored whole in every event that has them, so that a changed default never changes the past.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "StoredSettings")]
pub struct SiteSettings {
    feed_items_max: u8,
    feed_age_hours_max: u16,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SiteSettingsError {
    #[error("A feed shows 1 to {max} items.", max = SiteSettings::FEED_ITEMS_LIMIT)]
    FeedItemsOutOfRange,
    #[error("A feed reaches back 1 to {max} hours.", max = SiteSettings::FEED_AGE_HOURS_LIMIT)]
    FeedAgeOutOfRange,
}

impl SiteSettingsError {
    /// The field at fault.
    pub const fn field(&self) -> &'static str {
        match self {
            Self::FeedItemsOutOfRange => "feed_items_max",
            Self::FeedAgeOutOfRange => "feed_age_hours_max",
        }
    }
}

impl DomainError for SiteSettingsError {
    fn code(&self) -> &'static str {
        match self {
            Self::FeedItemsOutOfRange => "feed_items_out_of_range",
            Self::FeedAgeOutOfRange => "feed_age_out_of_range",
        }
    }

    fn kind(&self) -> ErrorKind {
        ErrorKind::Invalid
    }
}

impl SiteSettings {
    pub const FEED_ITEMS_LIMIT: u8 = 50;
    pub const FEED_AGE_HOURS_LIMIT: u16 = 720;

    /// Checks both, and names all that is wrong.
    pub fn try_new(
        feed_items_max: u32,
        feed_age_hours_max: u32,
    ) -> Result<Self, Vec<SiteSettingsError>> {
        let items = u8::try_from(feed_items_max)
            .ok()
            .filter(|items| (1..=Self::FEED_ITEMS_LIMIT).contains(items));
        let hours = u16::try_from(feed_age_hours_max)
            .ok()
            .filter(|hours| (1..=Self::FEED_AGE_HOURS_LIMIT).contains(hours));
        match (items, hours) {
            (Some(feed_items_max), Some(feed_age_hours_max)) => Ok(Self {
                feed_items_max,
                feed_age_hours_max,
            }),
            (None, Some(_)) => Err(vec![SiteSettingsError::FeedItemsOutOfRange]),
            (Some(_), None) => Err(vec![SiteSettingsError::FeedAgeOutOfRange]),
            (None, None) => Err(vec![
                SiteSettingsError::FeedItemsOutOfRange,
                SiteSettingsError::FeedAgeOutOfRange,
            ]),
        }
    }

    /// How many activities the feed shows at most.
    pub const fn feed_items_max(self) -> u8 {
        self.feed_items_max
    }

    /// How old, in hours, an activity in the feed may be.
    pub const fn feed_age_hours_max(self) -> u16 {
        self.feed_age_hours_max
    }
}

/// 10 items of the last 72 hours.
impl Default for SiteSettings {
    fn default() -> Self {
        Self {
            feed_items_max: 10,
            feed_age_hours_max: 72,
        }
    }
}

#[derive(Deserialize)]
struct StoredSettings {
    feed_items_max: u32,
    feed_age_hours_max: u32,
}

impl TryFrom<StoredSettings> for SiteSettings {
    type Error = SiteSettingsError;

    fn try_from(stored: StoredSettings) -> Result<Self, SiteSettingsError> {
        Self::try_new(stored.feed_items_max, stored.feed_age_hours_max).map_err(|errors| errors[0])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_limits_are_checked_at_once() {
        use SiteSettingsError::{FeedAgeOutOfRange, FeedItemsOutOfRange};
        assert!(SiteSettings::try_new(1, 1).is_ok());
        assert!(SiteSettings::try_new(50, 720).is_ok());
        assert_eq!(
            SiteSettings::try_new(51, 72),
            Err(vec![FeedItemsOutOfRange])
        );
        assert_eq!(SiteSettings::try_new(10, 721), Err(vec![FeedAgeOutOfRange]));
        assert_eq!(
            SiteSettings::try_new(0, 70_000),
            Err(vec![FeedItemsOutOfRange, FeedAgeOutOfRange])
        );
    }

    #[test]
    fn stored_settings_go_through_the_same_check() {
        let json = serde_json::to_string(&SiteSettings::default()).unwrap();
        assert_eq!(json, r#"{"feed_items_max":10,"feed_age_hours_max":72}"#);
        assert_eq!(
            serde_json::from_str::<SiteSettings>(&json).unwrap(),
            SiteSettings::default()
        );
        let error = serde_json::from_str::<SiteSettings>(&json.replace("10", "0")).unwrap_err();
        assert!(error.to_string().contains("1 to 50 items"), "{error}");
    }
}
