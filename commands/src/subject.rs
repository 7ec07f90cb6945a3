//! People whose data an account holds: their consents and their requests.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use domain::activity::Activity;
use domain::data_subject::{
    Access, ConsentPurpose, DataSubject, DataSubjectCommand, DataSubjectError, DataSubjectEvent,
};
use domain::{
    AccountId, ActivityId, CaseReference, ConsentEvidence, ConsentText, Email, Label, Pii,
    SubjectId, VisitorId,
};
use event_store::{Excluded, Loaded, Tag};
use serde_json::json;
use uuid::Uuid;

use crate::call::Call;
use crate::error::CommandError;
use crate::executor::{Claim, Committed, Executor};
use crate::secrets::Secrets;

/// Stored, hashed with the id; never rename.
const RECORD_TAG: &str = "data_subject";
/// Stored, hashed with the id; never rename.
const IDENTITY_TAG: &str = "data_subject_identity";
/// Stored, hashed with what names a wording; never rename.
const VERSION_TAG: &str = "consent_version";
/// Stored, hashed with the wording; never rename.
const WORDING_TAG: &str = "consent_wording";

#[derive(Clone)]
pub struct Subjects {
    executor: Executor,
    secrets: Secrets,
}

/// What a person is known by.
#[derive(Clone, Debug)]
pub enum Person {
    Email(Email),
    /// The buyer of an activity of the account.
    BuyerOf(ActivityId),
    /// Whoever the account's pages know by this.
    Visitor(VisitorId),
}

/// Whether somebody's id leads to another's record.
enum Linkage {
    /// By the event at that position.
    To { record: SubjectId, since: i64 },
    /// To none; nor did it at this position of the log.
    None { since: i64 },
}

/// What a person agreed to.
#[derive(Clone, Debug)]
pub struct NewConsent {
    pub purpose: ConsentPurpose,
    pub text_version: Label,
    pub text: ConsentText,
    pub evidence: Option<ConsentEvidence>,
}

impl Subjects {
    pub(crate) fn new(executor: Executor, secrets: Secrets) -> Self {
        Self { executor, secrets }
    }

    /// Opens the record of a person, and answers under which id it is kept: that of whom they were linked to, or their own.
    pub async fn register(&self, call: &Call, person: &Person) -> Result<Committed, CommandError> {
        let command = DataSubjectCommand::Register { at: call.at };
        self.in_record(call, person, |_| command.clone()).await
    }

    /// Notes that a person is known by something else too. Whoever has a record of their own, or is linked to another
    /// one, can't be linked.
    pub async fn link(
        &self,
        call: &Call,
        subject: SubjectId,
        person: &Person,
    ) -> Result<Committed, CommandError> {
        let identity = self.find(call.account, person).await?;
        again_where_taken(|| self.link_as(call, subject, identity)).await
    }

    async fn link_as(
        &self,
        call: &Call,
        subject: SubjectId,
        identity: SubjectId,
    ) -> Result<Committed, CommandError> {
        let linkage = self.linkage(call.account, identity).await?;
        let claim = Claim {
            tags: vec![identity_tag(identity)],
            excluded: vec![
                excluded(record_tag(identity), DataSubjectEvent::REGISTERED, 0),
                linked_elsewhere(identity, &linkage),
            ],
        };
        let command = DataSubjectCommand::LinkIdentity {
            identity,
            at: call.at,
        };
        self.claim(call, subject, command, claim).await
    }

    /// Notes that what a person was linked to was not theirs: from then on nothing that they ask for covers it, and it may have
    /// a record of its own or be linked elsewhere. What was said of the record meanwhile stays with it.
    pub async fn unlink(
        &self,
        call: &Call,
        subject: SubjectId,
        identity: SubjectId,
    ) -> Result<Committed, CommandError> {
        let claim = Claim {
            tags: vec![identity_tag(identity)],
            excluded: Vec::new(),
        };
        let command = DataSubjectCommand::UnlinkIdentity {
            identity,
            at: call.at,
        };
        self.claim(call, subject, command, claim).await
    }

    /// Keeps what a person agreed to, in their record, which is opened where there is none. Of an account, a version of a purpose's
    /// text is the same text for everybody.
    pub async fn grant_consent(
        &self,
        call: &Call,
        person: &Person,
        consent: NewConsent,
    ) -> Result<Committed, CommandError> {
        match again_where_taken(|| self.grant(call, person, &consent)).await {
            Err(error) => self.executor.deny(call, call.account.into(), error).await,
            granted => granted,
        }
    }

    async fn grant(
        &self,
        call: &Call,
        person: &Person,
        consent: &NewConsent,
    ) -> Result<Committed, CommandError> {
        let (subject, mut claim) = self.find_record(call.account, person).await?;
        let first = self.first_of_version(call.account, consent).await?;
        if let Some(Claim { tags, excluded }) = first {
            claim.tags.extend(tags);
            claim.excluded.extend(excluded);
        }
        let consent = consent.clone();
        let grant = DataSubjectCommand::GrantConsent {
            purpose: consent.purpose,
            text_version: consent.text_version,
            text: consent.text,
            evidence: consent.evidence.map(|value| Pii::new(subject, value)),
            at: call.at,
        };
        self.claim(call, subject, grant, claim).await
    }

    /// What has to be so for a version to get its text. `None` where it has this one already.
    async fn first_of_version(
        &self,
        account: AccountId,
        consent: &NewConsent,
    ) -> Result<Option<Claim>, CommandError> {
        let named = json!([account, consent.purpose, consent.text_version]);
        let worded = json!([named, consent.text]);
        let version = Tag::new(VERSION_TAG, &named.to_string());
        let wording = Tag::new(WORDING_TAG, &worded.to_string());
        let granted = DataSubjectEvent::CONSENT_GRANTED;
        let has = async |tag| {
            let types = [granted];
            let last = self.executor.tagged(account.into(), tag, &types).await;
            last.map(|last| last.is_some())
        };
        // Which of the two is asked first matters: an event has both.
        if has(&version).await? {
            return match has(&wording).await? {
                true => Ok(None),
                false => Err(CommandError::Refused(Box::new(
                    DataSubjectError::OtherWording,
                ))),
            };
        }
        Ok(Some(Claim {
            excluded: vec![excluded(version.clone(), granted, 0)],
            tags: vec![version, wording],
        }))
    }

    /// Keeps that a person does not agree, or no longer, in their record, which is opened where there is none.
    pub async fn withdraw_consent(
        &self,
        call: &Call,
        person: &Person,
        purpose: ConsentPurpose,
    ) -> Result<Committed, CommandError> {
        let at = call.at;
        let command = DataSubjectCommand::WithdrawConsent { purpose, at };
        self.in_record(call, person, |_| command.clone()).await
    }

    pub async fn request_access(
        &self,
        call: &Call,
        subject: SubjectId,
    ) -> Result<Committed, CommandError> {
        let command = DataSubjectCommand::RequestAccess { at: call.at };
        self.execute(call, subject, command).await
    }

    /// Notes that what is held about a person was handed out, and can be fetched until then. Where it was before, and still can
    /// be, that stands. Answers until when it can be fetched.
    pub async fn hand_out(
        &self,
        call: &Call,
        subject: SubjectId,
        expires_at: DateTime<Utc>,
    ) -> Result<(Committed, DateTime<Utc>), CommandError> {
        let at = call.at;
        let committed = self
            .execute(
                call,
                subject,
                DataSubjectCommand::FulfilAccess { expires_at, at },
            )
            .await?;
        match self.record(call.account, subject).await?.aggregate.access() {
            Access::Fulfilled { expires_at } => Ok((committed, expires_at)),
            // It was asked for anew in the meantime.
            Access::NotRequested | Access::Requested { .. } => Err(CommandError::Contended),
        }
    }

    pub async fn request_erasure(
        &self,
        call: &Call,
        subject: SubjectId,
    ) -> Result<Committed, CommandError> {
        let command = DataSubjectCommand::RequestErasure { at: call.at };
        self.execute(call, subject, command).await
    }

    /// Until it is carried out.
    pub async fn withdraw_erasure_request(
        &self,
        call: &Call,
        subject: SubjectId,
    ) -> Result<Committed, CommandError> {
        let command = DataSubjectCommand::WithdrawErasureRequest { at: call.at };
        self.execute(call, subject, command).await
    }

    pub async fn place_legal_hold(
        &self,
        call: &Call,
        subject: SubjectId,
        case: CaseReference,
    ) -> Result<Committed, CommandError> {
        let at = call.at;
        self.execute(
            call,
            subject,
            DataSubjectCommand::PlaceLegalHold { case, at },
        )
        .await
    }

    pub async fn release_legal_hold(
        &self,
        call: &Call,
        subject: SubjectId,
    ) -> Result<Committed, CommandError> {
        let command = DataSubjectCommand::ReleaseLegalHold { at: call.at };
        self.execute(call, subject, command).await
    }

    /// Decides that a person is erased. Destroying what has to be destroyed is for whoever issues this.
    pub async fn erase(&self, call: &Call, subject: SubjectId) -> Result<Committed, CommandError> {
        let command = DataSubjectCommand::Erase { at: call.at };
        self.execute(call, subject, command).await
    }

    pub async fn certify_erasure(
        &self,
        call: &Call,
        subject: SubjectId,
        certificate: String,
    ) -> Result<Committed, CommandError> {
        let at = call.at;
        self.execute(
            call,
            subject,
            DataSubjectCommand::CertifyErasure { certificate, at },
        )
        .await
    }

    /// The record of a person as it stands now.
    pub async fn record(
        &self,
        account: AccountId,
        subject: SubjectId,
    ) -> Result<Arc<Loaded<DataSubject>>, CommandError> {
        self.executor
            .load_current(account.into(), subject.into())
            .await
    }

    /// Runs a command in a person's record, which is opened where there is none; also where they are linked to another's, or
    /// unlinked, just then.
    async fn in_record(
        &self,
        call: &Call,
        person: &Person,
        command: impl Fn(SubjectId) -> DataSubjectCommand,
    ) -> Result<Committed, CommandError> {
        let command = &command;
        again_where_taken(|| async move {
            let (subject, record) = self.find_record(call.account, person).await?;
            self.claim(call, subject, command(subject), record).await
        })
        .await
    }

    /// Under which id a person's record is kept, or would be, and what has to be so for that: a person has one record, their own
    /// or that of whom they were linked to.
    async fn find_record(
        &self,
        account: AccountId,
        person: &Person,
    ) -> Result<(SubjectId, Claim), CommandError> {
        let subject = self.find(account, person).await?;
        let linkage = self.linkage(account, subject).await?;
        if let Linkage::To { record, since } = linkage {
            let unlinked = DataSubjectEvent::IDENTITY_UNLINKED;
            let claim = Claim {
                tags: Vec::new(),
                excluded: vec![excluded(identity_tag(subject), unlinked, since)],
            };
            return Ok((record, claim));
        }
        let claim = Claim {
            tags: vec![record_tag(subject)],
            excluded: vec![linked_elsewhere(subject, &linkage)],
        };
        Ok((subject, claim))
    }

    async fn linkage(
        &self,
        account: AccountId,
        identity: SubjectId,
    ) -> Result<Linkage, CommandError> {
        let types = [
            DataSubjectEvent::IDENTITY_LINKED,
            DataSubjectEvent::IDENTITY_UNLINKED,
        ];
        let tag = identity_tag(identity);
        let last = self.executor.tagged(account.into(), &tag, &types).await?;
        Ok(match last {
            Some(last) if last.event_type == DataSubjectEvent::IDENTITY_LINKED => {
                let record = last.aggregate_id.parse::<Uuid>();
                let record = record.map_err(|error| CommandError::Internal(Box::new(error)))?;
                Linkage::To {
                    record: record.into(),
                    since: last.position,
                }
            }
            Some(last) => Linkage::None {
                since: last.position,
            },
            None => Linkage::None { since: 0 },
        })
    }

    /// Under which id a person is known.
    async fn find(&self, account: AccountId, person: &Person) -> Result<SubjectId, CommandError> {
        let activity = match person {
            Person::Email(email) => return Ok(self.secrets.subject_of_email(account, email)),
            Person::Visitor(visitor) => {
                return Ok(self.secrets.subject_of_visitor(account, visitor));
            }
            Person::BuyerOf(activity) => *activity,
        };
        let activity = self
            .executor
            .load_current::<Activity>(account.into(), activity.into())
            .await?;
        activity.aggregate.buyer().ok_or(CommandError::NotFound)
    }

    async fn execute(
        &self,
        call: &Call,
        subject: SubjectId,
        command: DataSubjectCommand,
    ) -> Result<Committed, CommandError> {
        self.executor
            .execute::<DataSubject>(call, call.account.into(), subject.into(), command)
            .await
    }

    async fn claim(
        &self,
        call: &Call,
        subject: SubjectId,
        command: DataSubjectCommand,
        claim: Claim,
    ) -> Result<Committed, CommandError> {
        self.executor
            .execute_new::<DataSubject>(call, call.account.into(), subject.into(), command, claim)
            .await
    }
}

/// What a command rested on may not be so any more when it is appended, because somebody else was faster just then.
async fn again_where_taken<F>(attempt: impl Fn() -> F) -> Result<Committed, CommandError>
where
    F: Future<Output = Result<Committed, CommandError>>,
{
    match attempt().await {
        Err(CommandError::Taken) => attempt().await,
        done => done,
    }
}

fn record_tag(subject: SubjectId) -> Tag {
    Tag::new(RECORD_TAG, &subject.to_string())
}

fn identity_tag(identity: SubjectId) -> Tag {
    Tag::new(IDENTITY_TAG, &identity.to_string())
}

/// That the id is linked to a record, unless it was unlinked since.
fn linked_elsewhere(identity: SubjectId, linkage: &Linkage) -> Excluded {
    let since = match linkage {
        Linkage::To { .. } => 0,
        Linkage::None { since } => *since,
    };
    let linked = DataSubjectEvent::IDENTITY_LINKED;
    excluded(identity_tag(identity), linked, since)
}

fn excluded(tag: Tag, event_type: &str, after: i64) -> Excluded {
    Excluded {
        tag,
        also: Vec::new(),
        types: vec![event_type.to_owned()],
        after,
    }
}
