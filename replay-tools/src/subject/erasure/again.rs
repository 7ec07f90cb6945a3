//! Who was erased before the log was restored.

use commands::{Call, Cause, CommandError, Committed};
use domain::data_subject::Erasure;
use event_store::Log as _;
use projections::Projection;
use projections::subject_list::{self, NotAsking, ToErase};
use uuid::Uuid;

use super::{ErasureError, Erasures, PROCESS, asked_for, failed, now};

impl Erasures {
    /// Asks for everybody whose keys are destroyed as an anchor says, and whose record knows nothing of it: the log was restored
    /// from before they were erased. Their tombstones are noted for whoever is told of every note. Answers whether all of that could
    /// be done.
    pub(super) async fn ask_again(&self) -> Result<bool, ErasureError> {
        let (head, _) = self.log.head().await.map_err(ErasureError::ReadLog)?;
        self.reached(&[Projection::SubjectList], self.log.token(head))
            .await?;
        let mut all = true;
        for anchor in &self.anchors {
            let erased = anchor.erased_subjects().await;
            let mut erased = erased.map_err(|source| ErasureError::AskAnchor {
                name: anchor.name().to_owned(),
                source,
            })?;
            let taken_over = self.sealer.take_tombstones_over(anchor, &erased).await;
            if let Err(source) = taken_over {
                let name = anchor.name().to_owned();
                let source = source.into();
                failed(None, &ErasureError::TakeOver { name, source });
                all = false;
            }
            let keyed = self.vault.not_erased(&erased).await;
            let keyed = keyed.map_err(ErasureError::Destroy)?;
            erased.retain(|subject| !keyed.contains(subject));
            let unaware = subject_list::not_asking(&self.projector, &erased).await;
            for lost in unaware.map_err(ErasureError::Look)? {
                match self.ask_for(lost).await {
                    Ok(_) => tracing::warn!(
                        subject = %lost.subject_id,
                        account = %lost.account_id,
                        "a person was erased before the log was restored; their record is told again"
                    ),
                    Err(error) => {
                        failed(Some(lost.subject_id), &ErasureError::Command(error));
                        all = false;
                    }
                }
            }
        }
        Ok(all)
    }

    /// Unlinks whoever was not erased from a person who was, although their record knows nothing of it: they were unlinked after
    /// the moment that the log was restored from, and would be erased with them now.
    pub(super) async fn unlink_survivors(&self, asked: &ToErase) -> Result<(), ErasureError> {
        let (subjects, subject) = (&self.commands.subjects, asked.subject_id);
        let record = subjects.record(asked.account_id, subject).await;
        let record = &record.map_err(ErasureError::Command)?.aggregate;
        match record.erasure() {
            Erasure::NotRequested | Erasure::Requested { .. } => {}
            Erasure::Erased { .. } | Erasure::Certified { .. } => return Ok(()),
        }
        if record.identities().is_empty() {
            return Ok(());
        }
        let identities = record.identities().iter().copied();
        let ids: Vec<Uuid> = std::iter::once(subject)
            .chain(identities)
            .map(Uuid::from)
            .collect();
        let alive = self.vault.not_erased(&ids).await;
        let alive = alive.map_err(ErasureError::Destroy)?;
        if alive.contains(subject.as_uuid()) {
            return Ok(());
        }
        for identity in record.identities() {
            if alive.contains(identity.as_uuid()) {
                let call = asked_for(asked, &format!("unlink/{identity}"));
                let unlinked = subjects.unlink(&call, subject, *identity).await;
                unlinked.map_err(ErasureError::Command)?;
                tracing::warn!(%subject, %identity, "who was not erased with a person is unlinked again");
            }
        }
        Ok(())
    }

    async fn ask_for(&self, lost: NotAsking) -> Result<Committed, CommandError> {
        let log = self.log.incarnation();
        let cause = Cause {
            account: lost.account_id,
            event_id: log,
            correlation_id: log,
        };
        let step = format!("ask-again/{}", lost.subject_id);
        let call = Call {
            causation_id: None,
            ..Call::of_process(PROCESS, &cause, &step, now())
        };
        let subjects = &self.commands.subjects;
        subjects.request_erasure(&call, lost.subject_id).await
    }
}
