//! Who was erased before the log was restored.

use std::collections::BTreeSet;

use commands::{Call, Cause, CommandError, Committed};
use event_store::Log as _;
use projections::Projection;
use projections::subject_list::{self, NotAsking};
use uuid::Uuid;

use super::{ErasureError, Erasures, PROCESS, failed, now};

impl Erasures {
    /// Asks for everybody whose keys are destroyed as an anchor says, and whose record knows nothing of it: the log was restored
    /// from before they were erased. Who was linked to them then and is not known to be erased was unlinked since, and is again. Their
    /// tombstones are noted for whoever is told of every note. Answers whether all of that could be done.
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
            let known: BTreeSet<Uuid> = erased.iter().copied().collect();
            let keyed = self.vault.not_erased(&erased).await;
            let keyed = keyed.map_err(ErasureError::Destroy)?;
            erased.retain(|subject| !keyed.contains(subject));
            let unaware = subject_list::not_asking(&self.projector, &erased).await;
            for lost in unaware.map_err(ErasureError::Look)? {
                match self.ask_for(&lost, &known).await {
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

    async fn ask_for(
        &self,
        lost: &NotAsking,
        erased: &BTreeSet<Uuid>,
    ) -> Result<Committed, CommandError> {
        let log = self.log.incarnation();
        let cause = Cause {
            account: lost.account_id,
            event_id: log,
            correlation_id: log,
        };
        let call = |step: String| Call {
            causation_id: None,
            ..Call::of_process(PROCESS, &cause, &step, now())
        };
        let (subjects, subject) = (&self.commands.subjects, lost.subject_id);
        let record = subjects.record(lost.account_id, subject).await?;
        for identity in record.aggregate.identities() {
            if !erased.contains(identity.as_uuid()) {
                let call = call(format!("unlink-again/{subject}/{identity}"));
                subjects.unlink(&call, subject, *identity).await?;
                tracing::warn!(%subject, %identity, "somebody who was not erased with the person is unlinked again");
            }
        }
        let call = call(format!("ask-again/{subject}"));
        subjects.request_erasure(&call, subject).await
    }
}
