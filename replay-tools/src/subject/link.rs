//! Links under which an export can be fetched for a while, by whoever has them.

use chrono::{DateTime, TimeDelta, Utc};
use domain::{AccountId, SubjectId};
use platform::signed::Signer;
use uuid::Uuid;

/// How long what was handed out can be fetched.
pub(super) const FETCHED_WITHIN: TimeDelta = TimeDelta::days(7);

/// Whose export a link is of, and until when. As bytes: account, subject, and milliseconds since 1970, big-endian.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ExportLink {
    pub(super) account: AccountId,
    pub(super) subject: SubjectId,
    pub(super) expires_at: DateTime<Utc>,
}

impl ExportLink {
    pub(super) fn sign(&self, signer: &Signer) -> String {
        let (account, subject) = (Uuid::from(self.account), Uuid::from(self.subject));
        let expires = self.expires_at.timestamp_millis().to_be_bytes();
        signer.sign(&[&account.as_bytes()[..], subject.as_bytes(), &expires].concat())
    }

    /// `None` for what the signer did not sign.
    pub(super) fn verify(signer: &Signer, token: &str) -> Option<Self> {
        let content = signer.verify(token)?;
        let (account, rest) = content.split_first_chunk::<16>()?;
        let (subject, rest) = rest.split_first_chunk::<16>()?;
        let expires = i64::from_be_bytes(rest.try_into().ok()?);
        Some(Self {
            account: Uuid::from_bytes(*account).into(),
            subject: Uuid::from_bytes(*subject).into(),
            expires_at: DateTime::from_timestamp_millis(expires)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_says_what_was_signed_and_another_signers_says_nothing() {
        let link = ExportLink {
            account: Uuid::from_u128(1).into(),
            subject: Uuid::from_u128(2).into(),
            expires_at: "2026-03-08T12:00:00.250Z".parse().unwrap(),
        };
        let token = link.sign(&Signer::new([1; 32]));
        assert_eq!(
            ExportLink::verify(&Signer::new([1; 32]), &token),
            Some(link)
        );
        assert_eq!(ExportLink::verify(&Signer::new([2; 32]), &token), None);
        assert_eq!(
            ExportLink::verify(&Signer::new([1; 32]), &Signer::new([1; 32]).sign(b"short")),
            None
        );
    }
}
