//! Decides what becomes of a person's requests. The state keeps nothing personal.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use cqrs_es::Aggregate;
use cqrs_es::event_sink::EventSink;
use serde::{Deserialize, Serialize};

use super::{
    ANSWERED_WITHIN, ConsentPurpose, DataSubjectCommand, DataSubjectError, DataSubjectEvent,
};
use crate::ids::SubjectId;
use crate::text::{CaseReference, Label};

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DataSubject {
    registered: bool,
    identities: BTreeSet<SubjectId>,
    consents: BTreeMap<ConsentPurpose, Consent>,
    access: Access,
    erasure: Erasure,
    legal_hold: Option<CaseReference>,
}

/// What a person said of a purpose last.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Consent {
    Granted {
        text_version: Label,
        at: DateTime<Utc>,
    },
    Withdrawn {
        at: DateTime<Utc>,
    },
}

/// The last request for access.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Access {
    #[default]
    NotRequested,
    Requested {
        due_at: DateTime<Utc>,
    },
    Fulfilled {
        expires_at: DateTime<Utc>,
    },
}

/// How far a person's erasure is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Erasure {
    #[default]
    NotRequested,
    Requested {
        due_at: DateTime<Utc>,
    },
    /// Decided; what is to be destroyed may not be yet.
    Erased {
        due_at: DateTime<Utc>,
        at: DateTime<Utc>,
    },
    /// Done, and there is a certificate.
    Certified {
        at: DateTime<Utc>,
    },
}

impl DataSubject {
    pub fn is_registered(&self) -> bool {
        self.registered
    }

    /// Under which ids the person is known besides the stream's own.
    pub fn identities(&self) -> &BTreeSet<SubjectId> {
        &self.identities
    }

    pub fn consents(&self) -> &BTreeMap<ConsentPurpose, Consent> {
        &self.consents
    }

    /// Whether the shop's pages may name them. Nobody has to agree to that first; whoever objects, or opts out of having data
    /// sold or shared, is not named.
    pub fn may_be_shown(&self) -> bool {
        let withdrawn =
            |purpose| matches!(self.consents.get(&purpose), Some(Consent::Withdrawn { .. }));
        !withdrawn(ConsentPurpose::Display) && !withdrawn(ConsentPurpose::Sharing)
    }

    pub fn access(&self) -> Access {
        self.access
    }

    pub fn erasure(&self) -> Erasure {
        self.erasure
    }

    /// The case for which the person's data has to be kept.
    pub fn legal_hold(&self) -> Option<&CaseReference> {
        self.legal_hold.as_ref()
    }

    pub fn decide(
        &self,
        command: DataSubjectCommand,
    ) -> Result<Vec<DataSubjectEvent>, DataSubjectError> {
        match command {
            DataSubjectCommand::Register { at } if !self.registered => {
                Ok(vec![DataSubjectEvent::Registered { at }])
            }
            DataSubjectCommand::Register { .. } => Ok(vec![]),
            DataSubjectCommand::GrantConsent {
                purpose,
                text_version,
                text,
                evidence,
                at,
            } => {
                self.check_not_erased()?;
                if self.agreed_to(purpose) == Some(&text_version) {
                    return Ok(vec![]);
                }
                let granted = DataSubjectEvent::ConsentGranted {
                    purpose,
                    text_version,
                    text,
                    evidence,
                    at,
                };
                Ok(self.recorded(granted))
            }
            DataSubjectCommand::WithdrawConsent { purpose, at } => {
                if matches!(self.consents.get(&purpose), Some(Consent::Withdrawn { .. })) {
                    return Ok(vec![]);
                }
                Ok(self.recorded(DataSubjectEvent::ConsentWithdrawn { purpose, at }))
            }
            _ if !self.registered => Err(DataSubjectError::NotRegistered),
            DataSubjectCommand::LinkIdentity { identity, at } => self.link(identity, at),
            DataSubjectCommand::UnlinkIdentity { identity, at } => self.unlink(identity, at),
            DataSubjectCommand::RequestAccess { at } => self.request_access(at),
            DataSubjectCommand::FulfilAccess { expires_at, at } => {
                self.fulfil_access(expires_at, at)
            }
            DataSubjectCommand::RequestErasure { at } => Ok(match self.erasure {
                Erasure::NotRequested => vec![DataSubjectEvent::ErasureRequested {
                    due_at: at + ANSWERED_WITHIN,
                    at,
                }],
                Erasure::Requested { .. } | Erasure::Erased { .. } | Erasure::Certified { .. } => {
                    vec![]
                }
            }),
            DataSubjectCommand::WithdrawErasureRequest { at } => match self.erasure {
                Erasure::NotRequested => Ok(vec![]),
                Erasure::Requested { .. } => Ok(vec![DataSubjectEvent::ErasureWithdrawn { at }]),
                Erasure::Erased { .. } | Erasure::Certified { .. } => Err(DataSubjectError::Erased),
            },
            DataSubjectCommand::PlaceLegalHold { case, at } => self.hold(case, at),
            DataSubjectCommand::ReleaseLegalHold { at } => Ok(match self.legal_hold {
                Some(_) => vec![DataSubjectEvent::LegalHoldReleased { at }],
                None => vec![],
            }),
            DataSubjectCommand::Erase { at } => self.erase(at),
            DataSubjectCommand::CertifyErasure { certificate, at } => match self.erasure {
                Erasure::Erased { .. } => {
                    Ok(vec![DataSubjectEvent::ErasureCertified { certificate, at }])
                }
                Erasure::Certified { .. } => Ok(vec![]),
                Erasure::NotRequested | Erasure::Requested { .. } => {
                    Err(DataSubjectError::NotErased)
                }
            },
        }
    }

    /// Whoever says what they agree to has a record from then on.
    fn recorded(&self, event: DataSubjectEvent) -> Vec<DataSubjectEvent> {
        let registered = DataSubjectEvent::Registered { at: event.at() };
        let registered = (!self.registered).then_some(registered);
        registered.into_iter().chain([event]).collect()
    }

    fn link(
        &self,
        identity: SubjectId,
        at: DateTime<Utc>,
    ) -> Result<Vec<DataSubjectEvent>, DataSubjectError> {
        if self.identities.contains(&identity) {
            return Ok(vec![]);
        }
        self.check_not_erased()?;
        Ok(vec![DataSubjectEvent::IdentityLinked { identity, at }])
    }

    /// Whoever is held keeps what they are known by, so that nobody's data gets out of a case by this way.
    fn unlink(
        &self,
        identity: SubjectId,
        at: DateTime<Utc>,
    ) -> Result<Vec<DataSubjectEvent>, DataSubjectError> {
        if !self.identities.contains(&identity) {
            return Ok(vec![]);
        }
        self.check_not_erased()?;
        if self.legal_hold.is_some() {
            return Err(DataSubjectError::LegalHold);
        }
        Ok(vec![DataSubjectEvent::IdentityUnlinked { identity, at }])
    }

    fn request_access(&self, at: DateTime<Utc>) -> Result<Vec<DataSubjectEvent>, DataSubjectError> {
        self.check_not_erased()?;
        Ok(match self.access {
            Access::Requested { .. } => vec![],
            Access::NotRequested | Access::Fulfilled { .. } => {
                vec![DataSubjectEvent::AccessRequested {
                    due_at: at + ANSWERED_WITHIN,
                    at,
                }]
            }
        })
    }

    fn fulfil_access(
        &self,
        expires_at: DateTime<Utc>,
        at: DateTime<Utc>,
    ) -> Result<Vec<DataSubjectEvent>, DataSubjectError> {
        match self.access {
            // What was handed out can still be fetched.
            Access::Fulfilled { expires_at } if expires_at > at => Ok(vec![]),
            Access::NotRequested | Access::Fulfilled { .. } => {
                Err(DataSubjectError::NoAccessRequest)
            }
            Access::Requested { .. } => {
                self.check_not_erased()?;
                Ok(vec![DataSubjectEvent::AccessFulfilled { expires_at, at }])
            }
        }
    }

    fn hold(
        &self,
        case: CaseReference,
        at: DateTime<Utc>,
    ) -> Result<Vec<DataSubjectEvent>, DataSubjectError> {
        match &self.legal_hold {
            Some(held) if *held == case => Ok(vec![]),
            Some(_) => Err(DataSubjectError::OtherLegalHold),
            None => {
                self.check_not_erased()?;
                Ok(vec![DataSubjectEvent::LegalHoldPlaced { case, at }])
            }
        }
    }

    fn erase(&self, at: DateTime<Utc>) -> Result<Vec<DataSubjectEvent>, DataSubjectError> {
        match self.erasure {
            Erasure::NotRequested => Err(DataSubjectError::NoErasureRequest),
            Erasure::Requested { .. } if self.legal_hold.is_some() => {
                Err(DataSubjectError::LegalHold)
            }
            Erasure::Requested { .. } => Ok(vec![DataSubjectEvent::Erased {
                identities: self.identities.iter().copied().collect(),
                at,
            }]),
            Erasure::Erased { .. } | Erasure::Certified { .. } => Ok(vec![]),
        }
    }

    fn agreed_to(&self, purpose: ConsentPurpose) -> Option<&Label> {
        match self.consents.get(&purpose)? {
            Consent::Granted { text_version, .. } => Some(text_version),
            Consent::Withdrawn { .. } => None,
        }
    }

    fn check_not_erased(&self) -> Result<(), DataSubjectError> {
        match self.erasure {
            Erasure::NotRequested | Erasure::Requested { .. } => Ok(()),
            Erasure::Erased { .. } | Erasure::Certified { .. } => Err(DataSubjectError::Erased),
        }
    }
}

impl Aggregate for DataSubject {
    const TYPE: &'static str = "data_subject"; // stored; never rename

    type Command = DataSubjectCommand;
    type Event = DataSubjectEvent;
    type Error = DataSubjectError;
    type Services = ();

    async fn handle(
        &mut self,
        command: Self::Command,
        (): &(),
        sink: &EventSink<Self>,
    ) -> Result<(), Self::Error> {
        for event in self.decide(command)? {
            sink.write(event, self).await;
        }
        Ok(())
    }

    fn apply(&mut self, event: Self::Event) {
        match event {
            DataSubjectEvent::Registered { at: _ } => self.registered = true,
            DataSubjectEvent::IdentityLinked { identity, at: _ } => {
                self.identities.insert(identity);
            }
            DataSubjectEvent::IdentityUnlinked { identity, at: _ } => {
                self.identities.remove(&identity);
            }
            DataSubjectEvent::ConsentGranted {
                purpose,
                text_version,
                text: _,
                evidence: _,
                at,
            } => {
                let granted = Consent::Granted { text_version, at };
                self.consents.insert(purpose, granted);
            }
            DataSubjectEvent::ConsentWithdrawn { purpose, at } => {
                self.consents.insert(purpose, Consent::Withdrawn { at });
            }
            DataSubjectEvent::AccessRequested { due_at, at: _ } => {
                self.access = Access::Requested { due_at };
            }
            DataSubjectEvent::AccessFulfilled { expires_at, at: _ } => {
                self.access = Access::Fulfilled { expires_at };
            }
            DataSubjectEvent::ErasureRequested { due_at, at: _ } => {
                self.erasure = Erasure::Requested { due_at };
            }
            DataSubjectEvent::ErasureWithdrawn { at: _ } => self.erasure = Erasure::NotRequested,
            DataSubjectEvent::LegalHoldPlaced { case, at: _ } => self.legal_hold = Some(case),
            DataSubjectEvent::LegalHoldReleased { at: _ } => self.legal_hold = None,
            DataSubjectEvent::Erased { identities: _, at } => {
                let due_at = match self.erasure {
                    Erasure::Requested { due_at } | Erasure::Erased { due_at, .. } => due_at,
                    Erasure::NotRequested | Erasure::Certified { .. } => at,
                };
                self.erasure = Erasure::Erased { due_at, at };
            }
            DataSubjectEvent::ErasureCertified { certificate: _, at } => {
                self.erasure = Erasure::Certified { at };
            }
        }
    }
}
