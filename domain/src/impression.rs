//! What an impression token says. The token itself is these bytes under a signature that others make and check.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::ids::{AccountId, NotificationId, SiteId};

/// A notification that was served to a page, and when: what telemetry must show to be believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Impression {
    pub account_id: AccountId,
    pub site_id: SiteId,
    pub notification_id: NotificationId,
    /// Whole seconds.
    pub served_at: DateTime<Utc>,
}

impl Impression {
    const BYTES: usize = 1 + 16 + 16 + 16 + 8;
    const VERSION: u8 = 1;

    /// A version byte, the three ids, and the seconds since 1970, big-endian.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(Self::BYTES);
        bytes.push(Self::VERSION);
        bytes.extend(self.account_id.as_uuid().as_bytes());
        bytes.extend(self.site_id.as_uuid().as_bytes());
        bytes.extend(self.notification_id.as_uuid().as_bytes());
        bytes.extend(self.served_at.timestamp().to_be_bytes());
        bytes
    }

    /// `None` where the bytes are not of this form.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (version, rest) = bytes.split_first()?;
        let (account, rest) = rest.split_first_chunk::<16>()?;
        let (site, rest) = rest.split_first_chunk::<16>()?;
        let (notification, seconds) = rest.split_first_chunk::<16>()?;
        if *version != Self::VERSION {
            return None;
        }
        Some(Self {
            account_id: Uuid::from_bytes(*account).into(),
            site_id: Uuid::from_bytes(*site).into(),
            notification_id: Uuid::from_bytes(*notification).into(),
            served_at: DateTime::from_timestamp(i64::from_be_bytes(seconds.try_into().ok()?), 0)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_impression_survives_its_bytes_and_nothing_else_is_one() {
        let impression = Impression {
            account_id: Uuid::from_u128(1).into(),
            site_id: Uuid::from_u128(2).into(),
            notification_id: Uuid::from_u128(3).into(),
            served_at: DateTime::from_timestamp(1_790_000_000, 0).unwrap(),
        };
        let bytes = impression.to_bytes();
        assert_eq!(Impression::from_bytes(&bytes), Some(impression));
        assert_eq!(Impression::from_bytes(&bytes[1..]), None);
        assert_eq!(Impression::from_bytes(&[&bytes[..], &[0]].concat()), None);
        assert_eq!(Impression::from_bytes(&[&[2], &bytes[1..]].concat()), None);
    }
}
