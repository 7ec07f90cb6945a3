//! Erases who asked for it. Each step can be cut short and taken again, by any process:
//!
//! 1. `data_subject.erased` is appended: from here on there is no way back.
//! 2. Each anchor is told, so that keys that are put back from an old copy are erased again before anything is served.
//! 3. The vault destroys the keys of the person, under all their ids.
//! 4. When no process can hold such a key any more, each activity whose buyer they were is told by an event of its own, which makes every read model forget them.
//! 5. When every projection is past that, a certificate is signed and appended.

mod again;
mod error;

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, SubsecRound as _, Utc};
use commands::{Call, Cause, CommandError, Commands};
use domain::activity::ActivityEvent;
use domain::data_subject::{DataSubject, Erasure};
use domain::{AccountId, ActivityId, Event, SubjectId};
use event_store::seal::{Anchor, Due, Sealer, Tombstone};
use event_store::vault::{SubjectEvents, Vault};
use event_store::{EventLog, Log as _, LogName, RecordedEvent, Token};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use projections::positions::Waited;
use projections::subject_list::{self, ToErase};
use projections::{Positions, Projection, ProjectionProgress};
use sqlx::PgPool;
use uuid::Uuid;

pub use self::error::ErasureError;
use super::certificate::{Certificate, DestroyedKey, Kind, ProjectionPast};
use super::export::followers;

const PROCESS: &str = "erasure";
/// The code of the refusal.
const LEGAL_HOLD: &str = "legal_hold";
/// How often to look whether somebody is to be erased.
const EVERY: Duration = Duration::from_secs(1);
/// After a round in which somebody could not be.
const AGAIN_AFTER: Duration = Duration::from_secs(10);
const ROUND_MAX: u16 = 500;
/// How long the projections are waited for, before the round goes on with the next.
const PROJECTED_WITHIN: Duration = Duration::from_secs(10);
/// Events read at once.
const READ_MAX: usize = 500;
/// Activities told at the same time.
const TOLD_AT_ONCE: usize = 16;

/// What an erasure works with. Cheap to clone.
#[derive(Clone)]
pub struct Erasures {
    pub commands: Commands,
    pub vault: Vault,
    pub index: SubjectEvents,
    pub log: EventLog,
    pub positions: Positions,
    /// As [`event_store::Role::Projector`].
    pub projector: PgPool,
    pub sealer: Arc<Sealer>,
    pub anchors: Vec<Anchor>,
    pub outside: Outside,
    /// How long another process may go on with a key that it holds; [`event_store::vault::FORGOTTEN_WITHIN`] but in tests.
    pub settled_after: Duration,
}

/// What is beyond our reach.
#[derive(Clone, Copy, Debug)]
pub struct Outside {
    /// How long shop pages and what lies before them may keep what they were served, in seconds.
    pub max_age_s: u32,
}

/// Somebody who is being erased.
struct Case {
    asked: ToErase,
    /// All that they were known by, the record's own first.
    ids: Vec<Uuid>,
    erased_at: DateTime<Utc>,
    keys: Vec<event_store::vault::Erasure>,
    positions: Vec<i64>,
}

impl Erasures {
    /// Erases whoever asks for it, and asks for those whose wish the log has lost.
    pub async fn run(&self) -> Infallible {
        let mut ask_again_at = Some(tokio::time::Instant::now());
        loop {
            if ask_again_at.is_some_and(|at| at <= tokio::time::Instant::now()) {
                match self.ask_again().await {
                    Ok(true) => ask_again_at = None,
                    // The anchor is asked for a lot.
                    Ok(false) => ask_again_at = Some(tokio::time::Instant::now() + AGAIN_AFTER),
                    Err(error) => failed(None, &error),
                }
            }
            let pause = match self.round().await {
                Ok(0) => EVERY,
                Ok(_) => AGAIN_AFTER,
                Err(error) => {
                    failed(None, &error);
                    AGAIN_AFTER
                }
            };
            tokio::time::sleep(pause).await;
        }
    }

    /// Erases whoever asked for it by now. Answers how many could not be erased yet.
    pub async fn round(&self) -> Result<usize, ErasureError> {
        self.measure().await?;
        let (mut left, mut after) = (0, 0);
        loop {
            let some = subject_list::to_erase(&self.projector, after, ROUND_MAX).await;
            let some = some.map_err(ErasureError::Look)?;
            let Some(last) = some.last() else { break };
            after = last.position;
            let all = some.len();
            left += self.erase(some).await.unwrap_or_else(|error| {
                failed(None, &error);
                all
            });
        }
        Ok(left)
    }

    /// Erases people, and certifies it. Their keys go first, all of them, whatever keeps somebody's certificate waiting: the
    /// keys of those who stay are wrapped anew once, and one wait is for all. Answers how many are not certified.
    async fn erase(&self, asked: Vec<ToErase>) -> Result<usize, ErasureError> {
        let asked_count = asked.len();
        let mut cases: BTreeMap<AccountId, Vec<Case>> = BTreeMap::new();
        let mut held = 0;
        for asked in asked {
            match self.decide(asked).await {
                Ok(Some(case)) => cases.entry(asked.account_id).or_default().push(case),
                Ok(None) => held += 1,
                Err(error) => failed(Some(asked.subject_id), &error),
            }
        }
        if cases.is_empty() {
            return Ok(asked_count - held);
        }
        let sealed = self.sealer.seal(Due::Now).await;
        sealed.map_err(ErasureError::Seal)?;
        let anchored = self.sealer.anchor().await;
        anchored.map_err(|error| ErasureError::Anchoring(error.into()))?;
        let mut destroyed = Vec::new();
        for (account, cases) in cases {
            match self.destroy(account, cases).await {
                Ok(cases) => destroyed.extend(cases),
                Err(error) => failed(None, &error),
            }
        }
        let certified = self.forget_and_certify(destroyed).await?;
        Ok(asked_count - held - certified)
    }

    /// From here on there is no way back. `None` for who is held: that came in the meantime.
    async fn decide(&self, asked: ToErase) -> Result<Option<Case>, ErasureError> {
        self.unlink_survivors(&asked).await?;
        let subjects = &self.commands.subjects;
        let call = asked_for(&asked, "erase");
        match subjects.erase(&call, asked.subject_id).await {
            Ok(_) => {}
            Err(CommandError::Refused(refusal)) if refusal.code() == LEGAL_HOLD => return Ok(None),
            Err(error) => return Err(ErasureError::Command(error)),
        }
        let record = subjects.record(asked.account_id, asked.subject_id).await;
        let record = record.map_err(ErasureError::Command)?;
        let (erased_at, ids) = erased(asked.subject_id, &record.aggregate)?;
        Ok(Some(Case {
            asked,
            ids,
            erased_at,
            keys: Vec::new(),
            positions: Vec::new(),
        }))
    }

    /// Destroys the keys of people of one account. Answers those whose keys are gone.
    async fn destroy(
        &self,
        account: AccountId,
        cases: Vec<Case>,
    ) -> Result<Vec<Case>, ErasureError> {
        let mut told = Vec::new();
        for case in cases {
            match self.tell_anchors(account.into(), &case).await {
                Ok(()) => told.push(case),
                Err(error) => failed(Some(case.asked.subject_id), &error),
            }
        }
        let ids: BTreeSet<Uuid> = told.iter().flat_map(|case| case.ids.clone()).collect();
        let ids: Vec<Uuid> = ids.into_iter().collect();
        let erased = self.vault.erase(account.into(), &ids).await;
        let keys = erased.map_err(ErasureError::Destroy)?;
        for case in &mut told {
            let own = keys.iter().filter(|key| case.ids.contains(&key.subject));
            case.keys = own.cloned().collect();
        }
        Ok(told)
    }

    async fn tell_anchors(&self, tenant: Uuid, case: &Case) -> Result<(), ErasureError> {
        let mut notes = Vec::new();
        for subject in &case.ids {
            let tombstone = Tombstone {
                tenant,
                subject: *subject,
                erased_at: case.erased_at,
            };
            let note = self.sealer.sign(tombstone.to_string()).await;
            let mut note = note.map_err(ErasureError::Seal)?;
            for anchor in &self.anchors {
                let standing = tombstone.put(anchor, note).await;
                note = standing.map_err(|source| ErasureError::Anchor {
                    name: anchor.name().to_owned(),
                    source: source.into(),
                })?;
            }
            notes.push((*subject, note));
        }
        let noted = self.sealer.note_tombstones(&notes).await;
        noted.map_err(ErasureError::Seal)
    }

    /// Answers how many are certified.
    async fn forget_and_certify(&self, cases: Vec<Case>) -> Result<usize, ErasureError> {
        if cases.is_empty() {
            return Ok(0);
        }
        // Until then another process may have sealed something under a key that it still held, and be appending it.
        tokio::time::sleep(self.settled_after).await;
        let (head, _) = self.log.head().await.map_err(ErasureError::ReadLog)?;
        let sealed_last = self.log.token(head);
        self.reached(&[Projection::SubjectEvents], sealed_last)
            .await?;
        let mut forgotten = sealed_last;
        let mut done = Vec::new();
        for mut case in cases {
            let found = self.index.positions(&case.ids, sealed_last).await;
            case.positions = found.map_err(ErasureError::Index)?;
            match self.forget(&case).await {
                Ok(last) => {
                    forgotten.position = forgotten.position.max(last);
                    done.push(case);
                }
                Err(error) => failed(Some(case.asked.subject_id), &error),
            }
        }
        let projections = self.all_past(forgotten).await?;
        let mut certified = 0;
        for case in done {
            let (subject, account) = (case.asked.subject_id, case.asked.account_id);
            match self.certify(case, forgotten, &projections).await {
                Ok(()) => {
                    certified += 1;
                    metrics::counter!("proofline_erasures_total").increment(1);
                    tracing::info!(subject = %subject, account = %account, "a person was erased");
                }
                Err(error) => failed(Some(subject), &error),
            }
        }
        Ok(certified)
    }

    /// Makes every read model forget them. Answers the last position of what does.
    async fn forget(&self, case: &Case) -> Result<i64, ErasureError> {
        let mut last = 0;
        for some in case.positions.chunks(READ_MAX) {
            let events = self.log.read_at(some).await;
            let mut bought = Vec::new();
            for event in events.map_err(ErasureError::ReadLog)? {
                bought.extend(buyers_activity(&event, &case.ids)?);
            }
            let told: Vec<i64> = stream::iter(bought)
                .map(|(activity, site)| async move {
                    let call = asked_for(&case.asked, &format!("forget/{activity}"));
                    let activities = &self.commands.activities;
                    let told = activities.forget_buyer(&call, site, activity).await;
                    told.map(|told| told.position.position)
                })
                .buffer_unordered(TOLD_AT_ONCE)
                .try_collect()
                .await
                .map_err(ErasureError::Command)?;
            last = told.into_iter().fold(last, i64::max);
        }
        Ok(last)
    }

    async fn certify(
        &self,
        case: Case,
        forgotten: Token,
        projections: &[ProjectionPast],
    ) -> Result<(), ErasureError> {
        let subject = case.asked.subject_id;
        let certificate = Certificate {
            kind: Kind::ErasureCertificate1,
            log: forgotten.incarnation,
            account: case.asked.account_id.into(),
            subject: subject.into(),
            identities: case.ids.into_iter().skip(1).collect(),
            requested_by: case.asked.event_id,
            erased_at: case.erased_at,
            positions: case.positions,
            final_at: final_at(&case.keys)?,
            keys: case.keys.into_iter().map(DestroyedKey::from).collect(),
            forgotten_at_position: forgotten.position,
            projections: projections.to_vec(),
            caches_outside_max_age_s: self.outside.max_age_s,
            certified_at: now(),
        };
        let text = certificate.text().map_err(ErasureError::Serialise)?;
        let note = self.sealer.sign(text).await.map_err(ErasureError::Seal)?;
        let call = asked_for(&case.asked, "certify");
        let subjects = &self.commands.subjects;
        let certified = subjects.certify_erasure(&call, subject, note.to_string());
        certified.await.map(drop).map_err(ErasureError::Command)
    }

    /// Shows how many requests wait, and how many for too long.
    async fn measure(&self) -> Result<(), ErasureError> {
        let open = subject_list::open_requests(&self.projector, now()).await;
        let open = open.map_err(ErasureError::Look)?;
        metrics::gauge!("proofline_requests_open").set(open.all as f64);
        metrics::gauge!("proofline_requests_overdue").set(open.overdue as f64);
        Ok(())
    }

    /// Waits until every projection of the domain log is past the position.
    async fn all_past(&self, token: Token) -> Result<Vec<ProjectionPast>, ErasureError> {
        self.reached(&followers(), token).await?;
        let status = self.positions.status().await;
        let standing = status.map_err(ErasureError::Positions)?.into_iter();
        // A version that stands by, or is being built, keeps rows, too.
        let followers: Vec<_> = standing
            .filter(|one| one.log == Some(LogName::Events))
            .collect();
        // What waits behind a parked event was passed, not projected.
        let is_behind =
            |one: &ProjectionProgress| one.checkpoint < token.position || one.parked_keys > 0;
        if followers.iter().any(is_behind) {
            return Err(ErasureError::Behind {
                position: token.position,
            });
        }
        Ok(followers
            .into_iter()
            .map(|one| ProjectionPast {
                name: one.name,
                version: one.version,
                checkpoint: one.checkpoint,
            })
            .collect())
    }

    async fn reached(&self, projections: &[Projection], token: Token) -> Result<(), ErasureError> {
        let waited = self
            .positions
            .wait_for(projections, token, PROJECTED_WITHIN);
        match waited.await.map_err(ErasureError::Positions)? {
            Waited::Reached => Ok(()),
            Waited::NotReached => Err(ErasureError::Behind {
                position: token.position,
            }),
        }
    }
}

/// When the person was erased, and all ids they were known by, their own first.
fn erased(
    subject: SubjectId,
    record: &DataSubject,
) -> Result<(DateTime<Utc>, Vec<Uuid>), ErasureError> {
    let at = match record.erasure() {
        Erasure::Erased { at, .. } | Erasure::Certified { at } => at,
        Erasure::NotRequested | Erasure::Requested { .. } => return Err(ErasureError::NotErased),
    };
    let identities = record.identities().iter().copied();
    let ids = std::iter::once(subject).chain(identities).map(Uuid::from);
    Ok((at, ids.collect()))
}

/// The activity and its site, where the event tells of a buyer who is one of these.
fn buyers_activity(
    event: &RecordedEvent,
    ids: &[Uuid],
) -> Result<Option<(ActivityId, domain::SiteId)>, ErasureError> {
    let position = event.position;
    let failed = |source| ErasureError::Decode { position, source };
    let decoded = projections::decode(event).map_err(|error| failed(error.into()))?;
    let Event::Activity(ActivityEvent::Recorded {
        site_id,
        buyer: Some(buyer),
        ..
    }) = decoded
    else {
        return Ok(None);
    };
    if !ids.contains(buyer.subject().as_uuid()) {
        return Ok(None);
    }
    let id = event.stream.aggregate_id.parse();
    let id: ActivityId = id.map_err(|error: domain::InvalidId| failed(error.into()))?;
    Ok(Some((id, site_id)))
}

/// From when on nobody can undo it.
fn final_at(keys: &[event_store::vault::Erasure]) -> Result<DateTime<Utc>, ErasureError> {
    let finals = keys.iter().map(|key| {
        key.final_at.ok_or(ErasureError::NotDestroyed {
            subject: key.subject,
        })
    });
    let finals = finals.collect::<Result<Vec<_>, _>>()?;
    finals.into_iter().max().ok_or(ErasureError::NotErased)
}

/// A step of the erasure that was asked for.
fn asked_for(asked: &ToErase, step: &str) -> Call {
    let cause = Cause {
        account: asked.account_id,
        event_id: asked.event_id,
        correlation_id: asked.correlation_id,
    };
    Call::of_process(PROCESS, &cause, step, now())
}

/// As precise as it is written.
fn now() -> DateTime<Utc> {
    platform::clock::now().trunc_subsecs(3)
}

fn failed(subject: Option<SubjectId>, error: &ErasureError) {
    if let ErasureError::Behind { .. } = error {
        tracing::warn!(
            error = error as &dyn std::error::Error,
            "certificates of erasure wait"
        );
        return;
    }
    metrics::counter!("proofline_erasure_failures_total").increment(1);
    tracing::error!(
        subject = subject.map(tracing::field::display),
        error = error as &dyn std::error::Error,
        "an erasure was cut short and will be taken up again"
    );
}
