use super::{Access, Consent, DataSubject, DataSubjectEvent, Erasure};
use crate::words::{Fact, quoted};

impl DataSubjectEvent {
    /// What happened, in plain words.
    pub fn sentence(&self) -> String {
        match self {
            Self::Registered { at: _ } => {
                "A record of what a person asks for was opened.".to_owned()
            }
            Self::IdentityLinked { identity, at: _ } => {
                format!("The person is known as {identity}, too.")
            }
            Self::IdentityUnlinked { identity, at: _ } => {
                format!("The person is not known as {identity} after all.")
            }
            Self::ConsentGranted {
                purpose,
                text_version,
                text,
                evidence: _, // may name somebody
                at: _,
            } => format!(
                "The person agreed to {purpose}, by version {} of the text: {}",
                quoted(text_version.as_str()),
                quoted(text.as_str())
            ),
            Self::ConsentWithdrawn { purpose, at: _ } => {
                format!("The person no longer agrees to {purpose}.")
            }
            Self::AccessRequested { due_at, at: _ } => {
                format!("The person asked what is held about them; due at {due_at}.")
            }
            Self::AccessFulfilled { expires_at, at: _ } => format!(
                "What is held about the person was handed out; it can be fetched until {expires_at}."
            ),
            Self::ErasureRequested { due_at, at: _ } => {
                format!("The person asked to be erased; due at {due_at}.")
            }
            Self::ErasureWithdrawn { at: _ } => {
                "The person no longer asks to be erased.".to_owned()
            }
            Self::LegalHoldPlaced { case, at: _ } => {
                format!("The person's data has to be kept for case {case}.")
            }
            Self::LegalHoldReleased { at: _ } => {
                "The person's data need not be kept for a case any more.".to_owned()
            }
            Self::Erased { identities, at: _ } => match &**identities {
                [] => "The person was erased.".to_owned(),
                identities => {
                    let ids: Vec<String> = identities.iter().map(ToString::to_string).collect();
                    format!(
                        "The person was erased, and what is known as {}.",
                        ids.join(", ")
                    )
                }
            },
            Self::ErasureCertified {
                certificate: _,
                at: _,
            } => "The erasure of the person was completed and certified.".to_owned(),
        }
    }
}

impl DataSubject {
    /// What is so about it, in plain words; nothing before its first event.
    pub fn facts(&self) -> Vec<Fact> {
        let record = self.is_registered().then(|| Fact::new("record", "open"));
        let identities = self
            .identities()
            .iter()
            .map(|identity| Fact::new(format!("known as {identity}"), "yes"));
        let consents = self.consents().iter().map(|(purpose, consent)| {
            let said = match consent {
                Consent::Granted { text_version, at } => {
                    format!("version {} at {at}", quoted(text_version.as_str()))
                }
                Consent::Withdrawn { at } => format!("withdrawn at {at}"),
            };
            Fact::new(format!("consent to {purpose}"), said)
        });
        let access = match self.access() {
            Access::NotRequested => None,
            Access::Requested { due_at } => Some(format!("requested, due at {due_at}")),
            Access::Fulfilled { expires_at } => Some(format!("handed out until {expires_at}")),
        };
        let erasure = match self.erasure() {
            Erasure::NotRequested => None,
            Erasure::Requested { due_at } => Some(format!("requested, due at {due_at}")),
            Erasure::Erased { at, due_at: _ } => Some(format!("erased at {at}, not certified yet")),
            Erasure::Certified { at } => Some(format!("certified at {at}")),
        };
        let hold = self.legal_hold().map(ToString::to_string);
        let others = [
            ("access", access),
            ("erasure", erasure),
            ("legal hold", hold),
        ];
        let others = others
            .into_iter()
            .filter_map(|(name, value)| Some(Fact::new(name, value?)));
        let facts = record.into_iter().chain(identities);
        facts.chain(consents).chain(others).collect()
    }
}
