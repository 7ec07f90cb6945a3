//! The names and shapes in this file are the storage format.

use chrono::{DateTime, Utc};
use cqrs_es::DomainEvent;
use serde::{Deserialize, Serialize};

use crate::ids::SubjectId;
use crate::pii::Pii;
use crate::stored_names::stored_names;
use crate::text::{CaseReference, ConsentEvidence, ConsentText, Label};

/// The stream's id is the person's; only an account's own people are in its streams.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum DataSubjectEvent {
    /// From here on the account keeps a record of what the person asks for.
    #[serde(rename = "data_subject.registered")]
    Registered { at: DateTime<Utc> },
    /// The same person is known under another id too.
    #[serde(rename = "data_subject.identity_linked")]
    IdentityLinked {
        identity: SubjectId,
        at: DateTime<Utc>,
    },
    /// It was somebody else after all, or nobody knows.
    #[serde(rename = "data_subject.identity_unlinked")]
    IdentityUnlinked {
        identity: SubjectId,
        at: DateTime<Utc>,
    },
    /// With the text that was agreed to, word for word.
    #[serde(rename = "data_subject.consent_granted")]
    ConsentGranted {
        purpose: ConsentPurpose,
        text_version: Label,
        text: ConsentText,
        /// How it was given, as the shop tells it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        evidence: Option<Pii<ConsentEvidence>>,
        at: DateTime<Utc>,
    },
    #[serde(rename = "data_subject.consent_withdrawn")]
    ConsentWithdrawn {
        purpose: ConsentPurpose,
        at: DateTime<Utc>,
    },
    #[serde(rename = "data_subject.access_requested")]
    AccessRequested {
        due_at: DateTime<Utc>,
        at: DateTime<Utc>,
    },
    #[serde(rename = "data_subject.access_fulfilled")]
    AccessFulfilled {
        expires_at: DateTime<Utc>,
        at: DateTime<Utc>,
    },
    #[serde(rename = "data_subject.erasure_requested")]
    ErasureRequested {
        due_at: DateTime<Utc>,
        at: DateTime<Utc>,
    },
    /// The person changed their mind, or it was entered by mistake.
    #[serde(rename = "data_subject.erasure_withdrawn")]
    ErasureWithdrawn { at: DateTime<Utc> },
    #[serde(rename = "data_subject.legal_hold_placed")]
    LegalHoldPlaced {
        case: CaseReference,
        at: DateTime<Utc>,
    },
    #[serde(rename = "data_subject.legal_hold_released")]
    LegalHoldReleased { at: DateTime<Utc> },
    /// From here on the keys of the person and of all linked identities are to be destroyed.
    #[serde(rename = "data_subject.erased")]
    Erased {
        identities: Vec<SubjectId>,
        at: DateTime<Utc>,
    },
    /// A signed note.
    #[serde(rename = "data_subject.erasure_certified")]
    ErasureCertified {
        certificate: String,
        at: DateTime<Utc>,
    },
}

stored_names! {
    /// What a person agrees to.
    pub enum ConsentPurpose {
        /// To be shown, by first name and city, on the shop's pages.
        Display = "display",
        /// To be recognised across days when the shop's pages are measured.
        Analytics = "analytics",
        /// To have data sold or shared, as the CCPA calls it.
        Sharing = "sharing",
    }
}

impl DataSubjectEvent {
    pub const REGISTERED: &'static str = "data_subject.registered";
    pub const IDENTITY_LINKED: &'static str = "data_subject.identity_linked";
    pub const IDENTITY_UNLINKED: &'static str = "data_subject.identity_unlinked";
    pub const CONSENT_GRANTED: &'static str = "data_subject.consent_granted";

    /// When it happened.
    pub const fn at(&self) -> DateTime<Utc> {
        match self {
            Self::Registered { at }
            | Self::IdentityLinked { at, .. }
            | Self::IdentityUnlinked { at, .. }
            | Self::ConsentGranted { at, .. }
            | Self::ConsentWithdrawn { at, .. }
            | Self::AccessRequested { at, .. }
            | Self::AccessFulfilled { at, .. }
            | Self::ErasureRequested { at, .. }
            | Self::ErasureWithdrawn { at }
            | Self::LegalHoldPlaced { at, .. }
            | Self::LegalHoldReleased { at }
            | Self::Erased { at, .. }
            | Self::ErasureCertified { at, .. } => *at,
        }
    }

    /// Every stored event type of this aggregate.
    pub const TYPES: &'static [&'static str] = &[
        Self::REGISTERED,
        Self::IDENTITY_LINKED,
        Self::IDENTITY_UNLINKED,
        "data_subject.consent_granted",
        "data_subject.consent_withdrawn",
        "data_subject.access_requested",
        "data_subject.access_fulfilled",
        "data_subject.erasure_requested",
        "data_subject.erasure_withdrawn",
        "data_subject.legal_hold_placed",
        "data_subject.legal_hold_released",
        "data_subject.erased",
        "data_subject.erasure_certified",
    ];
}

impl DomainEvent for DataSubjectEvent {
    fn event_type(&self) -> String {
        // stored; never rename
        match self {
            Self::Registered { .. } => Self::REGISTERED,
            Self::IdentityLinked { .. } => Self::IDENTITY_LINKED,
            Self::IdentityUnlinked { .. } => Self::IDENTITY_UNLINKED,
            Self::ConsentGranted { .. } => "data_subject.consent_granted",
            Self::ConsentWithdrawn { .. } => "data_subject.consent_withdrawn",
            Self::AccessRequested { .. } => "data_subject.access_requested",
            Self::AccessFulfilled { .. } => "data_subject.access_fulfilled",
            Self::ErasureRequested { .. } => "data_subject.erasure_requested",
            Self::ErasureWithdrawn { .. } => "data_subject.erasure_withdrawn",
            Self::LegalHoldPlaced { .. } => "data_subject.legal_hold_placed",
            Self::LegalHoldReleased { .. } => "data_subject.legal_hold_released",
            Self::Erased { .. } => "data_subject.erased",
            Self::ErasureCertified { .. } => "data_subject.erasure_certified",
        }
        .to_owned()
    }

    fn event_version(&self) -> String {
        match self {
            Self::Registered { .. }
            | Self::IdentityLinked { .. }
            | Self::IdentityUnlinked { .. }
            | Self::ConsentGranted { .. }
            | Self::ConsentWithdrawn { .. }
            | Self::AccessRequested { .. }
            | Self::AccessFulfilled { .. }
            | Self::ErasureRequested { .. }
            | Self::ErasureWithdrawn { .. }
            | Self::LegalHoldPlaced { .. }
            | Self::LegalHoldReleased { .. }
            | Self::Erased { .. }
            | Self::ErasureCertified { .. } => "1",
        }
        .to_owned()
    }
}
