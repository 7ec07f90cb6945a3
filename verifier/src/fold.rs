//! What each read model must hold: a fold of the events up to where each of its shards stands, from the stored JSON.

use std::collections::{BTreeMap, HashMap};

use anyhow::{Context as _, Result, bail};
use chrono::{DateTime, Utc};
use serde_json::Value;
use serde_json::value::RawValue;
use uuid::Uuid;

use crate::log::EventRow;
use crate::progress::Progress;

/// A row in the text of its columns, in the order of [`Model::columns`].
pub(crate) type Row = Vec<Option<String>>;

/// One read model's table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Model {
    Site,
    Notification,
    Integration,
    Proof,
    Subject,
}

/// One version of a read model.
pub(crate) struct Fold {
    pub(crate) model: Model,
    pub(crate) version: i32,
    /// By shard; a single one takes every bucket.
    checkpoints: BTreeMap<i16, i64>,
    pub(crate) rows: HashMap<String, Row>,
}

pub(crate) struct Folds {
    pub(crate) all: Vec<Fold>,
}

impl Model {
    const ALL: [Self; 5] = [
        Self::Site,
        Self::Notification,
        Self::Integration,
        Self::Proof,
        Self::Subject,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Site => "site_list",
            Self::Notification => "notification_list",
            Self::Integration => "integration_list",
            Self::Proof => "proof_feed",
            Self::Subject => "subject_list",
        }
    }

    pub(crate) fn table(self) -> &'static str {
        match self {
            Self::Site => "site",
            Self::Notification => "notification",
            Self::Integration => "integration",
            Self::Proof => "proof",
            Self::Subject => "subject",
        }
    }

    /// Names of columns, the key first. Those of times end in `_at`.
    pub(crate) fn columns(self) -> &'static [&'static str] {
        match self {
            Self::Site => &[
                "site_id",
                "account_id",
                "name",
                "domain",
                "embed_key",
                "feed_items_max",
                "feed_age_hours_max",
                "version",
                "position",
                "registered_at",
                "updated_at",
                "data_region",
            ],
            Self::Notification => &[
                "notification_id",
                "account_id",
                "site_id",
                "name",
                "message",
                "status",
                "version",
                "position",
                "drafted_at",
                "updated_at",
            ],
            Self::Integration => &[
                "integration_id",
                "account_id",
                "site_id",
                "platform",
                "shop_domain",
                "version",
                "position",
                "connected_at",
            ],
            Self::Proof => &[
                "activity_id",
                "account_id",
                "site_id",
                "kind",
                "product",
                "buyer",
                "event_id",
                "version",
                "position",
                "occurred_at",
            ],
            // What a person asked for; their record as a whole is the projector's own.
            Self::Subject => &[
                "subject_id",
                "account_id",
                "erasure",
                "held",
                "certificate",
                "version",
                "position",
                "registered_at",
                "updated_at",
            ],
        }
    }

    fn column(self, name: &str) -> usize {
        self.columns()
            .iter()
            .position(|column| *column == name)
            .expect("a column of the model")
    }
}

impl Folds {
    pub(crate) fn new(progress: &Progress) -> Self {
        let all = Model::ALL
            .into_iter()
            .flat_map(|model| {
                progress
                    .versions(model.name())
                    .map(move |(version, standing)| Fold {
                        model,
                        version,
                        checkpoints: standing.checkpoints.clone(),
                        rows: HashMap::new(),
                    })
            })
            .collect();
        Self { all }
    }

    /// Hands the event to every fold that has it behind its checkpoint.
    pub(crate) fn apply(&mut self, row: &EventRow, payload: &Value) -> Result<()> {
        for fold in &mut self.all {
            if fold.covers(row) {
                fold.apply(row, payload)?;
            }
        }
        Ok(())
    }
}

impl Fold {
    fn covers(&self, row: &EventRow) -> bool {
        let shard = if self.checkpoints.len() == 1 {
            0
        } else {
            row.bucket / 16
        };
        self.checkpoints
            .get(&shard)
            .is_some_and(|checkpoint| row.position <= *checkpoint)
    }

    fn apply(&mut self, row: &EventRow, payload: &Value) -> Result<()> {
        match (self.model, &*row.event_type) {
            (Model::Site, "site.registered") => self.site_registered(row, payload),
            (Model::Site, "site.renamed") => {
                let name = text(payload, "name")?;
                self.change(row, payload, &[("name", name)])
            }
            (Model::Site, "site.settings_changed") => {
                let settings = &payload["settings"];
                let changes = [
                    ("feed_items_max", number(settings, "feed_items_max")?),
                    (
                        "feed_age_hours_max",
                        number(settings, "feed_age_hours_max")?,
                    ),
                ];
                self.change(row, payload, &changes)
            }
            (Model::Notification, "notification.drafted") => {
                self.notification_drafted(row, payload)
            }
            (Model::Notification, "notification.published" | "notification.resumed") => {
                self.change(row, payload, &[("status", "published".to_owned())])
            }
            (Model::Notification, "notification.paused") => {
                self.change(row, payload, &[("status", "paused".to_owned())])
            }
            (Model::Notification, "notification.archived") => {
                self.change(row, payload, &[("status", "archived".to_owned())])
            }
            (Model::Integration, "integration.connected") => {
                self.integration_connected(row, payload)
            }
            (Model::Proof, "activity.recorded") => self.activity_recorded(row, payload),
            (Model::Proof, "activity.withdrawn") => {
                self.rows.remove(&row.aggregate_id);
                Ok(())
            }
            (Model::Proof, "activity.buyer_forgotten") => {
                // Where it was withdrawn, there is no row.
                if let Some(cells) = self.rows.get_mut(&row.aggregate_id) {
                    cells[self.model.column("buyer")] = None;
                    cells[self.model.column("version")] = Some(row.sequence.to_string());
                }
                Ok(())
            }
            (Model::Subject, "data_subject.registered") => {
                let at = Some(micros(payload, "at")?);
                let place = [row.sequence, row.position].map(|place| Some(place.to_string()));
                let [version, position] = place;
                let state = [Some("none".to_owned()), Some("false".to_owned()), None];
                let [erasure, held, certificate] = state;
                self.insert(
                    row,
                    [
                        erasure,
                        held,
                        certificate,
                        version,
                        position,
                        at.clone(),
                        at,
                    ],
                )
            }
            (Model::Subject, "data_subject.erasure_requested") => {
                self.change(row, payload, &[("erasure", "requested".to_owned())])
            }
            (Model::Subject, "data_subject.erasure_withdrawn") => {
                self.change(row, payload, &[("erasure", "none".to_owned())])
            }
            (Model::Subject, "data_subject.erased") => {
                self.change(row, payload, &[("erasure", "erased".to_owned())])
            }
            (Model::Subject, "data_subject.erasure_certified") => {
                let certificate = text(payload, "certificate")?;
                let changes = [
                    ("erasure", "certified".to_owned()),
                    ("certificate", certificate),
                ];
                self.change(row, payload, &changes)
            }
            (Model::Subject, "data_subject.legal_hold_placed") => {
                self.change(row, payload, &[("held", "true".to_owned())])
            }
            (Model::Subject, "data_subject.legal_hold_released") => {
                self.change(row, payload, &[("held", "false".to_owned())])
            }
            (
                Model::Subject,
                "data_subject.identity_linked"
                | "data_subject.identity_unlinked"
                | "data_subject.consent_granted"
                | "data_subject.consent_withdrawn"
                | "data_subject.access_requested"
                | "data_subject.access_fulfilled",
            ) => self.change(row, payload, &[]),
            (model, other) if other.split('.').next() == Some(model.aggregate()) => {
                bail!("{other} is not known here")
            }
            _ => Ok(()),
        }
    }

    fn site_registered(&mut self, row: &EventRow, payload: &Value) -> Result<()> {
        let (settings, at) = (&payload["settings"], micros(payload, "at")?);
        let promised = match payload.get("data_region") {
            Some(_) => Some(text(payload, "data_region")?),
            None => None,
        };
        self.insert(
            row,
            [
                Some(text(payload, "name")?),
                Some(text(payload, "domain")?),
                Some(text(payload, "embed_key")?),
                Some(number(settings, "feed_items_max")?),
                Some(number(settings, "feed_age_hours_max")?),
                Some(row.sequence.to_string()),
                Some(row.position.to_string()),
                Some(at.clone()),
                Some(at),
                promised,
            ],
        )
    }

    fn notification_drafted(&mut self, row: &EventRow, payload: &Value) -> Result<()> {
        let at = micros(payload, "at")?;
        self.insert(
            row,
            [
                text(payload, "site_id")?,
                text(payload, "name")?,
                text(payload, "message")?,
                "draft".to_owned(),
                row.sequence.to_string(),
                row.position.to_string(),
                at.clone(),
                at,
            ]
            .map(Some),
        )
    }

    fn integration_connected(&mut self, row: &EventRow, payload: &Value) -> Result<()> {
        self.insert(
            row,
            [
                text(payload, "site_id")?,
                text(payload, "platform")?,
                text(payload, "shop_domain")?,
                row.sequence.to_string(),
                row.position.to_string(),
                micros(payload, "at")?,
            ]
            .map(Some),
        )
    }

    fn activity_recorded(&mut self, row: &EventRow, payload: &Value) -> Result<()> {
        // The envelope as it stands in the log, byte by byte.
        let members: HashMap<&str, &RawValue> =
            serde_json::from_str(&row.payload).context("the payload")?;
        let buyer = members.get("buyer").map(|raw| raw.get().to_owned());
        let product = payload["product"].as_str().map(str::to_owned);
        self.insert(
            row,
            [
                Some(text(payload, "site_id")?),
                Some(text(payload, "kind")?),
                product,
                buyer,
                Some(row.event_id.to_string()),
                Some(row.sequence.to_string()),
                Some(row.position.to_string()),
                Some(micros(payload, "occurred_at")?),
            ],
        )
    }

    /// A new row: the stream's id, the tenant, and then the rest.
    fn insert<const N: usize>(&mut self, row: &EventRow, rest: [Option<String>; N]) -> Result<()> {
        let key = row
            .aggregate_id
            .parse::<Uuid>()
            .context("the stream's id")?
            .to_string();
        let mut cells = vec![Some(key.clone()), Some(row.tenant_id.to_string())];
        cells.extend(rest);
        if self.rows.insert(key, cells).is_some() {
            bail!("there was a row of {} already", row.aggregate_id);
        }
        Ok(())
    }

    fn change(
        &mut self,
        row: &EventRow,
        payload: &Value,
        changes: &[(&str, String)],
    ) -> Result<()> {
        let model = self.model;
        let cells = self
            .rows
            .get_mut(&row.aggregate_id)
            .with_context(|| format!("there is no row of {} to change", row.aggregate_id))?;
        for (column, value) in changes {
            cells[model.column(column)] = Some(value.clone());
        }
        cells[model.column("version")] = Some(row.sequence.to_string());
        cells[model.column("updated_at")] = Some(micros(payload, "at")?);
        Ok(())
    }
}

impl Model {
    /// Whose events make its rows.
    fn aggregate(self) -> &'static str {
        match self {
            Self::Site => "site",
            Self::Notification => "notification",
            Self::Integration => "integration",
            Self::Proof => "activity",
            Self::Subject => "data_subject",
        }
    }
}

fn text(value: &Value, member: &str) -> Result<String> {
    Ok(value[member]
        .as_str()
        .with_context(|| format!("{member} is no text"))?
        .to_owned())
}

fn number(value: &Value, member: &str) -> Result<String> {
    Ok(value[member]
        .as_i64()
        .with_context(|| format!("{member} is no number"))?
        .to_string())
}

/// Microseconds since 1970, which is how fine Postgres keeps time.
fn micros(value: &Value, member: &str) -> Result<String> {
    let time: DateTime<Utc> = text(value, member)?
        .parse()
        .with_context(|| format!("{member} is no time"))?;
    Ok(time.timestamp_micros().to_string())
}
