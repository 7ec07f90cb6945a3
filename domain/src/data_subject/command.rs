use chrono::{DateTime, Utc};

use super::ConsentPurpose;
use crate::ids::SubjectId;
use crate::pii::Pii;
use crate::text::{CaseReference, ConsentEvidence, ConsentText, Label};

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DataSubjectCommand {
    Register {
        at: DateTime<Utc>,
    },
    LinkIdentity {
        identity: SubjectId,
        at: DateTime<Utc>,
    },
    UnlinkIdentity {
        identity: SubjectId,
        at: DateTime<Utc>,
    },
    GrantConsent {
        purpose: ConsentPurpose,
        text_version: Label,
        text: ConsentText,
        evidence: Option<Pii<ConsentEvidence>>,
        at: DateTime<Utc>,
    },
    WithdrawConsent {
        purpose: ConsentPurpose,
        at: DateTime<Utc>,
    },
    RequestAccess {
        at: DateTime<Utc>,
    },
    FulfilAccess {
        /// Until when what was handed out can be fetched.
        expires_at: DateTime<Utc>,
        at: DateTime<Utc>,
    },
    RequestErasure {
        at: DateTime<Utc>,
    },
    WithdrawErasureRequest {
        at: DateTime<Utc>,
    },
    PlaceLegalHold {
        case: CaseReference,
        at: DateTime<Utc>,
    },
    ReleaseLegalHold {
        at: DateTime<Utc>,
    },
    Erase {
        at: DateTime<Utc>,
    },
    CertifyErasure {
        certificate: String,
        at: DateTime<Utc>,
    },
}
