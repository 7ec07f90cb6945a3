//! What a link to an export says. The link itself is these bytes under a signature that others make and check.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::ids::{AccountId, SubjectId};

/// Whose export can be fetched, and until when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExportLink {
    pub account_id: AccountId,
    pub subject_id: SubjectId,
    /// Whole milliseconds.
    pub expires_at: DateTime<Utc>,
}

impl ExportLink {
    const BYTES: usize = 1 + 16 + 16 + 8;
    const VERSION: u8 = 1;

    /// A version byte, the two ids, and the milliseconds since 1970, big-endian.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(Self::BYTES);
        bytes.push(Self::VERSION);
        bytes.extend(self.account_id.as_uuid().as_bytes());
        bytes.extend(self.subject_id.as_uuid().as_bytes());
        bytes.extend(self.expires_at.timestamp_millis().to_be_bytes());
        bytes
    }

    /// `None` where the bytes are not of this form.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (version, rest) = bytes.split_first()?;
        let (account, rest) = rest.split_first_chunk::<16>()?;
        let (subject, millis) = rest.split_first_chunk::<16>()?;
        if *version != Self::VERSION {
            return None;
        }
        let millis = i64::from_be_bytes(millis.try_into().ok()?);
        Some(Self {
            account_id: Uuid::from_bytes(*account).into(),
            subject_id: Uuid::from_bytes(*subject).into(),
            expires_at: DateTime::from_timestamp_millis(millis)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_survives_its_bytes_and_nothing_else_is_one() {
        let link = ExportLink {
            account_id: Uuid::from_u128(1).into(),
            subject_id: Uuid::from_u128(2).into(),
            expires_at: DateTime::from_timestamp_millis(1_790_000_000_250).unwrap(),
        };
        let bytes = link.to_bytes();
        assert_eq!(ExportLink::from_bytes(&bytes), Some(link));
        assert_eq!(ExportLink::from_bytes(&bytes[1..]), None);
        assert_eq!(ExportLink::from_bytes(&[&bytes[..], &[0]].concat()), None);
        assert_eq!(ExportLink::from_bytes(&[&[2], &bytes[1..]].concat()), None);
    }
}
