//! Erases who asked for it. Each step can be cut short and taken again, by any process:
//!
//! 1. `data_subject.erased` is appended: from here on there is no way back.
//! 2. Each anchor is told, so that keys that are put back from an old copy are erased again before anything is served.
//! 3. The vault destroys the keys of the person, under all their ids.
//! 4. Each activity whose buyer they were is told by an event of its own, which makes every read model forget them.
//! 5. When every projection is past that, a certificate is signed and appended.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, SubsecRound as _, Utc};
use commands::{Call, Cause, CommandError, Commands};
use domain::activity::ActivityEvent;
use domain::data_subject::{DataSubject, Erasure};
use domain::{ActivityId, Event, SubjectId};
use event_store::seal::{Anchor, AnchorError, AnchoringError, Due, SealError, Sealer, Tombstone};
use event_store::vault::{SubjectEvents, Vault, VaultError};
use event_store::{EventLog, Log as _, LogName, RecordedEvent, Token};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use projections::positions::{PositionError, Waited};
use projections::subject_list::{self, ToErase};
use projections::{Positions, Projection, ReadError};
use sqlx::PgPool;
use uuid::Uuid;

use super::certificate::{Certificate, DestroyedKey, Kind, ProjectionPast};

const PROCESS: &str = "erasure";
/// How often to look whether somebody is to be erased.
const EVERY: Duration = Duration::from_secs(1);
/// After a round in which somebody could not be.
const AGAIN_AFTER: Duration = Duration::from_secs(10);
const ROUND_MAX: u16 = 100;
/// How long the projections are waited for, before the round goes on with the next.
const PROJECTED_WITHIN: Duration = Duration::from_secs(10);
/// Events read at once.
const READ_MAX: usize = 500;
/// Activities told at the same time.
const TOLD_AT_ONCE: usize = 16;

/// What an erasure works with.
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
}

/// What is beyond our reach.
#[derive(Clone, Copy, Debug)]
pub struct Outside {
    /// How long shop pages and what lies before them may keep what they were served, in seconds.
    pub max_age_s: u32,
}

/// Why somebody is not erased yet. The next round goes on from there.
#[derive(Debug, thiserror::Error)]
pub enum ErasureError {
    #[error("could not look for who is to be erased")]
    Look(#[source] ReadError),
    #[error("a command of the erasure failed")]
    Command(#[source] CommandError),
    #[error("the record is not of somebody who is erased")]
    NotErased,
    #[error("could not seal the log")]
    Seal(#[source] SealError),
    #[error("could not bring the seals to an anchor")]
    Anchoring(#[source] Box<AnchoringError>),
    #[error("could not tell anchor {name}")]
    Anchor {
        name: String,
        source: Box<AnchorError>,
    },
    #[error("could not destroy the keys")]
    Destroy(#[source] VaultError),
    #[error("the provider has not destroyed the key that wrapped that of {subject}")]
    NotDestroyed { subject: Uuid },
    #[error("could not read the log")]
    ReadLog(#[source] sqlx::Error),
    #[error("could not read which events hold the person's data")]
    Index(#[source] VaultError),
    #[error("the event at position {position} does not decode")]
    Decode {
        position: i64,
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    #[error("could not read where the projections stand")]
    Positions(#[source] PositionError),
    #[error("the projections have not reached position {position} yet")]
    Behind { position: i64 },
    #[error("a certificate does not serialise")]
    Serialise(#[source] serde_json::Error),
}

impl Erasures {
    /// Erases whoever asks for it.
    pub async fn run(&self) -> Infallible {
        loop {
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
        let waiting = subject_list::to_erase(&self.projector, ROUND_MAX).await;
        let waiting = waiting.map_err(ErasureError::Look)?;
        let mut left = 0;
        for asked in waiting {
            match self.erase(asked).await {
                Ok(()) => metrics::counter!("proofline_erasures_total").increment(1),
                // It came in the meantime.
                Err(ErasureError::Command(CommandError::Refused(refusal)))
                    if refusal.code() == "legal_hold" => {}
                Err(error) => {
                    failed(Some(asked.subject_id), &error);
                    left += 1;
                }
            }
        }
        Ok(left)
    }

    /// Erases one person, and certifies it.
    async fn erase(&self, asked: ToErase) -> Result<(), ErasureError> {
        let subjects = &self.commands.subjects;
        let call = |step: &str| Call::of_process(PROCESS, &cause(&asked), step, now());
        subjects
            .erase(&call("erase"), asked.subject_id)
            .await
            .map_err(ErasureError::Command)?;
        let record = subjects
            .record(asked.account_id, asked.subject_id)
            .await
            .map_err(ErasureError::Command)?;
        let (erased_at, ids) = erased(asked.subject_id, &record.aggregate)?;
        self.tell_anchors(asked.account_id.into(), &ids, erased_at)
            .await?;
        let tenant = asked.account_id.into();
        let keys = self.vault.erase(tenant, &ids).await;
        let keys = keys.map_err(ErasureError::Destroy)?;
        // Nothing more is sealed for the person, so that what is indexed up to here is all there is.
        let positions = self.positions_of(&ids).await?;
        let forgotten = self.forget(&asked, &ids, &positions).await?;
        let projections = self.all_past(forgotten).await?;
        let certificate = Certificate {
            kind: Kind::ErasureCertificate1,
            log: self.log.incarnation(),
            account: tenant,
            subject: asked.subject_id.into(),
            identities: record
                .aggregate
                .identities()
                .iter()
                .map(|id| (*id).into())
                .collect(),
            requested_by: asked.event_id,
            erased_at,
            positions,
            final_at: final_at(&keys)?,
            keys: keys.into_iter().map(DestroyedKey::from).collect(),
            forgotten_at_position: forgotten.position,
            projections,
            caches_outside_max_age_s: self.outside.max_age_s,
            certified_at: now(),
        };
        let text = certificate.text().map_err(ErasureError::Serialise)?;
        let note = self.sealer.sign(text).await.map_err(ErasureError::Seal)?;
        subjects
            .certify_erasure(&call("certify"), asked.subject_id, note.to_string())
            .await
            .map_err(ErasureError::Command)?;
        tracing::info!(subject = %asked.subject_id, account = %asked.account_id, "a person was erased");
        Ok(())
    }

    /// The seals go first: a tombstone counts by keys that are known there.
    async fn tell_anchors(
        &self,
        tenant: Uuid,
        ids: &[Uuid],
        erased_at: DateTime<Utc>,
    ) -> Result<(), ErasureError> {
        self.sealer
            .seal(Due::Now)
            .await
            .map_err(ErasureError::Seal)?;
        self.sealer
            .anchor()
            .await
            .map_err(|error| ErasureError::Anchoring(error.into()))?;
        for subject in ids {
            let tombstone = Tombstone {
                tenant,
                subject: *subject,
                erased_at,
            };
            let note = self.sealer.sign(tombstone.to_string()).await;
            let note = note.map_err(ErasureError::Seal)?;
            for anchor in &self.anchors {
                let told = anchor.put_tombstone(*subject, &note).await;
                told.map_err(|source| ErasureError::Anchor {
                    name: anchor.name().to_owned(),
                    source: source.into(),
                })?;
            }
        }
        Ok(())
    }

    /// Where personal data of these stands in the log.
    async fn positions_of(&self, ids: &[Uuid]) -> Result<Vec<i64>, ErasureError> {
        let (head, _) = self.log.head().await.map_err(ErasureError::ReadLog)?;
        self.reached(&[Projection::SubjectEvents], self.log.token(head))
            .await?;
        self.index.positions(ids).await.map_err(ErasureError::Index)
    }

    /// Makes every read model forget them. Answers the last position of what does.
    async fn forget(
        &self,
        asked: &ToErase,
        ids: &[Uuid],
        positions: &[i64],
    ) -> Result<Token, ErasureError> {
        let (head, _) = self.log.head().await.map_err(ErasureError::ReadLog)?;
        let mut last = self.log.token(head);
        for some in positions.chunks(READ_MAX) {
            let events = self.log.read_at(some).await;
            let mut bought = Vec::new();
            for event in events.map_err(ErasureError::ReadLog)? {
                bought.extend(buyers_activity(&event, ids)?);
            }
            let told: Vec<i64> = stream::iter(bought)
                .map(|(activity, site)| async move {
                    let step = format!("forget/{activity}");
                    let call = Call::of_process(PROCESS, &cause(asked), &step, now());
                    let activities = &self.commands.activities;
                    let told = activities.forget_buyer(&call, site, activity).await;
                    told.map(|told| told.position.position)
                })
                .buffer_unordered(TOLD_AT_ONCE)
                .try_collect()
                .await
                .map_err(ErasureError::Command)?;
            last.position = told.into_iter().fold(last.position, i64::max);
        }
        Ok(last)
    }

    /// Waits until every projection of the domain log is past the position.
    async fn all_past(&self, token: Token) -> Result<Vec<ProjectionPast>, ErasureError> {
        let all: Vec<Projection> = Projection::ALL
            .iter()
            .copied()
            .filter(|projection| projection.log() == LogName::Events)
            .collect();
        self.reached(&all, token).await?;
        let status = self.positions.status().await;
        let standing = status.map_err(ErasureError::Positions)?.into_iter();
        // A version that stands by, or is being built, keeps rows, too.
        let followers: Vec<_> = standing
            .filter(|one| one.log == Some(LogName::Events))
            .collect();
        if followers.iter().any(|one| one.checkpoint < token.position) {
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
        Erasure::Erased { at } | Erasure::Certified { at } => at,
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
    let finals = keys
        .iter()
        .map(|key| match (&key.provider_key_id, key.final_at) {
            (_, Some(at)) => Ok(at),
            // There was nothing to destroy.
            (None, None) => Ok(key.erased_at),
            (Some(_), None) => Err(ErasureError::NotDestroyed {
                subject: key.subject,
            }),
        });
    let finals = finals.collect::<Result<Vec<_>, _>>()?;
    finals.into_iter().max().ok_or(ErasureError::NotErased)
}

fn cause(asked: &ToErase) -> Cause {
    Cause {
        account: asked.account_id,
        event_id: asked.event_id,
        correlation_id: asked.correlation_id,
    }
}

/// As precise as it is written.
fn now() -> DateTime<Utc> {
    platform::clock::now().trunc_subsecs(3)
}

fn failed(subject: Option<SubjectId>, error: &ErasureError) {
    metrics::counter!("proofline_erasure_failures_total").increment(1);
    tracing::error!(
        subject = subject.map(tracing::field::display),
        error = error as &dyn std::error::Error,
        "an erasure was cut short and will be taken up again"
    );
}
