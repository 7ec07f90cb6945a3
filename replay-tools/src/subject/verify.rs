//! `replay subject verify-erasure`: believes neither the record nor the certificate, and looks.

use std::collections::BTreeSet;
use std::io::Write;
use std::sync::Arc;

use anyhow::{Context as _, Result, bail};
use domain::{AccountId, CaseReference};
use event_store::seal::{Anchor, KeyChain, Note, Tombstone};
use event_store::vault::{KeyProvider, SubjectEvents, Vault};
use event_store::{Access, AccessLog, EventLog, Log as _};
use projections::subject_list::SubjectRow;
use projections::{ReadTx, held};
use serde_json::{Value, json};
use sqlx::PgPool;
use uuid::Uuid;

use super::SEARCHED_WITHIN;
use super::certificate::Certificate;
use crate::audit::because;

const READ_MAX: usize = 500;

pub(super) struct Verification {
    pub(super) account: AccountId,
    pub(super) record: SubjectRow,
    pub(super) vault: Vault,
    pub(super) provider: Arc<dyn KeyProvider>,
    pub(super) index: SubjectEvents,
    pub(super) log: EventLog,
    /// As [`event_store::Role::Projector`], which sees every version of every read model.
    pub(super) projector: PgPool,
    pub(super) anchor: Anchor,
    pub(super) accesses: AccessLog,
    pub(super) actor: &'static str,
    pub(super) reason: Option<CaseReference>,
}

impl Verification {
    /// Says of each thing that it looked at how it stands. Fails where one does not stand as it should.
    pub(super) async fn run(&self, out: &mut (dyn Write + Send)) -> Result<()> {
        let identities = self.record.record.identities().iter().copied();
        let ids: Vec<Uuid> = std::iter::once(self.record.subject_id)
            .chain(identities)
            .map(Uuid::from)
            .collect();
        // It tries to open what nobody should be able to.
        let access = Access {
            tenant: self.account.into(),
            actor: self.actor.to_owned(),
            purpose: "verify_erasure",
            subjects: ids.clone(),
            what: because(json!({}), self.reason.as_ref()),
        };
        self.accesses.note(&access).await?;
        let looks = [
            ("certificate", self.certificate(&ids).await),
            ("anchor", self.tombstones(&ids).await),
            ("keys", self.keys(&ids).await),
            ("events", self.events(&ids).await),
            ("read models", self.read_models(&ids).await),
        ];
        let (mut failed, all) = (0, looks.len());
        for (what, look) in looks {
            match look {
                Ok(said) => writeln!(out, "ok      {what}: {said}")?,
                Err(error) => {
                    failed += 1;
                    writeln!(out, "FAILED  {what}: {error:#}")?;
                }
            }
        }
        if failed > 0 {
            bail!("{failed} of {all} looks found something");
        }
        Ok(())
    }

    async fn certificate(&self, ids: &[Uuid]) -> Result<String> {
        let certificate = self.record.certificate.as_ref().context("there is none")?;
        let note: Note = certificate.parse().context("it is no signed note")?;
        let chain = KeyChain::check(self.anchor.keys().await?, None)?;
        if !chain.has_signed(&note) {
            bail!("no signing key that the anchor knows has signed it");
        }
        let certificate: Certificate =
            serde_json::from_str(note.text()).context("what is signed is no certificate")?;
        let named: BTreeSet<Uuid> = std::iter::once(certificate.subject)
            .chain(certificate.identities)
            .collect();
        if named != ids.iter().copied().collect() || certificate.account != *self.account.as_uuid()
        {
            bail!("it is about somebody else");
        }
        if certificate.log != self.log.incarnation() {
            bail!("it is about another log");
        }
        let held: BTreeSet<i64> = self.positions(ids).await?.into_iter().collect();
        let unnamed: Vec<&i64> = held
            .iter()
            .filter(|position| !certificate.positions.contains(position))
            .collect();
        if !unnamed.is_empty() {
            bail!("it does not name {unnamed:?}, which held their data, too");
        }
        Ok("signed, and names every position".to_owned())
    }

    /// Where their data stands, by an index that is complete.
    async fn positions(&self, ids: &[Uuid]) -> Result<Vec<i64>> {
        let (head, _) = self.log.head().await?;
        Ok(self.index.positions(ids, self.log.token(head)).await?)
    }

    async fn tombstones(&self, ids: &[Uuid]) -> Result<String> {
        let chain = KeyChain::check(self.anchor.keys().await?, None)?;
        for id in ids {
            let note = self.anchor.tombstone(*id).await?;
            let tombstone: Tombstone = note.text().parse()?;
            let named = (tombstone.tenant, tombstone.subject);
            if !chain.has_signed(&note) || named != (self.account.into(), *id) {
                bail!("what is noted about {id} is not signed by a key that it knows");
            }
        }
        Ok(format!(
            "{} notes, so that no old copy of the keys counts",
            ids.len()
        ))
    }

    async fn keys(&self, ids: &[Uuid]) -> Result<String> {
        let erased = self.vault.erasures(self.account.into(), ids).await?;
        if erased.len() != ids.len() {
            bail!(
                "{} of {} ids are erased in the key database",
                erased.len(),
                ids.len()
            );
        }
        for erasure in &erased {
            let Some(key_id) = &erasure.provider_key_id else {
                bail!("{} was not taken out of the key tree yet", erasure.subject);
            };
            if erasure.receipt.is_none() {
                bail!("the provider was not told to destroy {key_id}");
            }
            if self.provider.holds(key_id).await? {
                bail!("the provider still has {key_id}");
            }
        }
        Ok("none is left, and what wrapped them is destroyed".to_owned())
    }

    async fn events(&self, ids: &[Uuid]) -> Result<String> {
        let positions = self.positions(ids).await?;
        for some in positions.chunks(READ_MAX) {
            for event in self.log.read_at(some).await? {
                let mut payload = event.payload_value()?;
                let opened = self
                    .vault
                    .open(event.tenant, event.event_id, &mut payload)
                    .await;
                opened.with_context(|| format!("position {}", event.position))?;
                if shows(&payload, ids) {
                    bail!("the event at position {} still opens", event.position);
                }
            }
        }
        Ok(format!(
            "{} held personal data, and none of it opens",
            positions.len()
        ))
    }

    async fn read_models(&self, ids: &[Uuid]) -> Result<String> {
        let mut tx = ReadTx::begin(&self.projector, self.account, &[]).await?;
        let held = held::held_about(&mut tx, ids, SEARCHED_WITHIN).await?;
        for held in &held {
            if held.rows.iter().any(|row| keeps(row, ids)) {
                bail!("{} keeps sealed data of theirs", held.table);
            }
        }
        Ok("no row keeps anything of theirs but the record of what they asked for".to_owned())
    }
}

/// Whether an envelope of theirs is open.
fn shows(value: &Value, ids: &[Uuid]) -> bool {
    any_envelope(value, ids, &|content| content.get("value").is_some())
}

/// Whether an envelope of theirs holds anything, sealed or not.
fn keeps(value: &Value, ids: &[Uuid]) -> bool {
    any_envelope(value, ids, &|content| {
        content.get("sealed").is_some() || content.get("value").is_some()
    })
}

fn any_envelope(value: &Value, ids: &[Uuid], is_so: &impl Fn(&Value) -> bool) -> bool {
    match value {
        Value::Object(members) => match members.get("$pii") {
            Some(content) => {
                let subject = content.get("subject").and_then(Value::as_str);
                let subject = subject.and_then(|text| Uuid::parse_str(text).ok());
                subject.is_some_and(|subject| ids.contains(&subject)) && is_so(content)
            }
            None => members
                .values()
                .any(|value| any_envelope(value, ids, is_so)),
        },
        Value::Array(items) => items.iter().any(|value| any_envelope(value, ids, is_so)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
    }
}
