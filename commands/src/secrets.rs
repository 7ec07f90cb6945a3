//! Ids and keys that are derived with a secret, so that nobody else can.

use domain::{AccountId, Email, EmbedKey, SiteId, SubjectId, VisitorId};
use event_store::vault::Root;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use uuid::Uuid;
use zeroize::Zeroizing;

/// The write side's secrets: 256 bits each, the same in every process of a deployment, for ever.
#[derive(Clone)]
pub struct Secrets {
    subject_index: Zeroizing<[u8; 32]>,
    embed_key: Zeroizing<[u8; 32]>,
}

impl Secrets {
    pub fn new(subject_index: [u8; 32], embed_key: [u8; 32]) -> Self {
        Self {
            subject_index: Zeroizing::new(subject_index),
            embed_key: Zeroizing::new(embed_key),
        }
    }

    /// Those that derive from the root. The labels are part of what they are; never rename one.
    pub fn of(root: &Root) -> Self {
        Self::new(root.derive("subject-index"), root.derive("embed-key"))
    }

    /// The same person under one account is the same subject; without the secret, an address can't be tried out.
    pub fn subject_of_email(&self, account: AccountId, email: &Email) -> SubjectId {
        self.subject(&[
            b"email",
            Uuid::from(account).as_bytes(),
            email.normalised().as_bytes(),
        ])
    }

    /// The subject of whom an account's pages know by an id of their own.
    pub fn subject_of_visitor(&self, account: AccountId, visitor: &VisitorId) -> SubjectId {
        self.subject(&[
            b"visitor",
            Uuid::from(account).as_bytes(),
            visitor.as_str().as_bytes(),
        ])
    }

    /// The subject of what is known under an id only: an activity without an address, an integration's secret.
    pub fn subject_of_id(&self, id: Uuid) -> SubjectId {
        self.subject(&[b"id", id.as_bytes()])
    }

    /// What is stored of a request's hash: a request may name a person by what can be guessed.
    pub(crate) fn blind(&self, request_hash: [u8; 32]) -> [u8; 32] {
        mac(&self.subject_index, &[b"request", &request_hash])
    }

    /// Derived, so that a repeated registration makes the same key.
    pub(crate) fn embed_key(&self, site: SiteId) -> EmbedKey {
        EmbedKey::from_bytes(first_16(&mac(
            &self.embed_key,
            &[Uuid::from(site).as_bytes()],
        )))
    }

    fn subject(&self, parts: &[&[u8]]) -> SubjectId {
        SubjectId::from(Uuid::new_v8(first_16(&mac(&self.subject_index, parts))))
    }
}

/// HMAC-SHA256 over length-prefixed parts.
fn mac(key: &[u8; 32], parts: &[&[u8]]) -> [u8; 32] {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes a key of any length");
    for part in parts {
        mac.update(&(part.len() as u64).to_be_bytes());
        mac.update(part);
    }
    mac.finalize().into_bytes().into()
}

fn first_16(bytes: &[u8; 32]) -> [u8; 16] {
    std::array::from_fn(|index| bytes[index])
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Stored for ever: another result would make new subjects of known people.
    #[test]
    fn subjects_and_embed_keys_stay_what_they_are() {
        let secrets = Secrets::new([1; 32], [2; 32]);
        let account = AccountId::from(Uuid::from_u128(1));
        let email = Email::parse("anna@example.com").unwrap();
        assert_eq!(
            secrets.subject_of_email(account, &email).to_string(),
            "7dcf3dd3-47a1-845b-8ec2-0c2062cf7ea5"
        );
        let visitor = VisitorId::parse("anna@example.com").unwrap();
        let visitor = secrets.subject_of_visitor(account, &visitor);
        assert_eq!(visitor.to_string(), "54a50b49-5edc-8d6a-b25e-eb4febb808b3");
        assert_eq!(
            secrets.subject_of_id(Uuid::from_u128(7)).to_string(),
            "f55dc17d-f648-8d53-bd51-11396651ebb9"
        );
        assert_eq!(
            secrets.embed_key(Uuid::from_u128(7).into()).as_str(),
            "pk_47e233a0b0325565d7f92f4daaa361c7"
        );
    }

    #[test]
    fn a_person_is_one_subject_per_account_and_per_secret() {
        let secrets = Secrets::new([1; 32], [2; 32]);
        let (account, other) = (
            AccountId::from(Uuid::from_u128(1)),
            AccountId::from(Uuid::from_u128(2)),
        );
        let email = |text| Email::parse(text).unwrap();
        let anna = secrets.subject_of_email(account, &email("anna@example.com"));
        assert_eq!(
            anna,
            secrets.subject_of_email(account, &email("Anna@Example.com"))
        );
        assert_ne!(
            anna,
            secrets.subject_of_email(account, &email("anne@example.com"))
        );
        assert_ne!(
            anna,
            secrets.subject_of_email(other, &email("anna@example.com"))
        );
        assert_ne!(
            anna,
            Secrets::new([3; 32], [2; 32]).subject_of_email(account, &email("anna@example.com"))
        );
    }
}
