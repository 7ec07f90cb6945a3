//! What an export consists of.
//!
//! | File | Holds |
//! |---|---|
//! | `README.md` | how to read and check the others |
//! | `head.txt` | the signed tree head that the proofs lead to |
//! | `keys.json` | statements about signing keys, in order |
//! | `events.jsonl` | an event a line, all columns of its row |
//! | `proofs.jsonl` | for each event the hashes beside its leaf's way to the root, in base64 |
//! | `consistency.json` | where an earlier export was named: that its tree begins this one's |
//! | `manifest.txt` | size and SHA-256 of all the others, signed |

use std::fmt::Write as _;
use std::path::Path;

use anyhow::{Context as _, Result, bail, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, Utc};
use event_store::seal::merkle::Hash;
use event_store::{Bucket, RecordedEvent, StreamId};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

pub(super) const README: &str = "README.md";
pub(super) const HEAD: &str = "head.txt";
pub(super) const KEYS: &str = "keys.json";
pub(super) const EVENTS: &str = "events.jsonl";
pub(super) const PROOFS: &str = "proofs.jsonl";
pub(super) const CONSISTENCY: &str = "consistency.json";
pub(super) const MANIFEST: &str = "manifest.txt";
const MANIFEST_TITLE: &str = "proofline.bundle";

/// A row of `es.events`. `payload` and `metadata` are the texts as they are stored, byte for byte.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct EventLine {
    pub(super) position: i64,
    tenant_id: Uuid,
    aggregate_type: String,
    aggregate_id: String,
    sequence: i64,
    bucket: i16,
    event_id: Uuid,
    event_type: String,
    event_version: String,
    recorded_at: DateTime<Utc>,
    command_id: Uuid,
    correlation_id: Uuid,
    causation_id: Option<Uuid>,
    actor: String,
    payload: String,
    metadata: String,
}

impl From<&RecordedEvent> for EventLine {
    fn from(event: &RecordedEvent) -> Self {
        Self {
            position: event.position,
            tenant_id: event.tenant,
            aggregate_type: event.stream.aggregate_type.clone(),
            aggregate_id: event.stream.aggregate_id.clone(),
            sequence: event.sequence,
            bucket: event.bucket.as_i16(),
            event_id: event.event_id,
            event_type: event.event_type.clone(),
            event_version: event.event_version.clone(),
            recorded_at: event.recorded_at,
            command_id: event.command_id,
            correlation_id: event.correlation_id,
            causation_id: event.causation_id,
            actor: event.actor.clone(),
            payload: event.payload.get().to_owned(),
            metadata: event.metadata.get().to_owned(),
        }
    }
}

impl EventLine {
    pub(super) fn event(self) -> Result<RecordedEvent> {
        Ok(RecordedEvent {
            position: self.position,
            tenant: self.tenant_id,
            stream: StreamId {
                aggregate_type: self.aggregate_type,
                aggregate_id: self.aggregate_id,
            },
            sequence: self.sequence,
            bucket: Bucket::from_stored(self.bucket).context("a bucket is out of range")?,
            event_id: self.event_id,
            event_type: self.event_type,
            event_version: self.event_version,
            recorded_at: self.recorded_at,
            command_id: self.command_id,
            correlation_id: self.correlation_id,
            causation_id: self.causation_id,
            actor: self.actor,
            payload: RawValue::from_string(self.payload).context("a payload is no JSON")?,
            metadata: RawValue::from_string(self.metadata).context("metadata is no JSON")?,
        })
    }
}

/// The hashes beside the way of the leaf at a position to the root, from the leaf on.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ProofLine {
    pub(super) position: i64,
    pub(super) path: Hashes,
}

/// That the tree of an earlier head begins the tree of this export's head.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Consistency {
    /// The earlier head, signed.
    pub(super) earlier: String,
    pub(super) proof: Hashes,
}

/// Hashes in base64.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(into = "Vec<String>", try_from = "Vec<String>")]
pub(super) struct Hashes(pub(super) Vec<Hash>);

impl From<Hashes> for Vec<String> {
    fn from(hashes: Hashes) -> Self {
        hashes.0.iter().map(|hash| STANDARD.encode(hash)).collect()
    }
}

impl TryFrom<Vec<String>> for Hashes {
    type Error = &'static str;

    fn try_from(texts: Vec<String>) -> Result<Self, Self::Error> {
        texts
            .iter()
            .map(|text| STANDARD.decode(text).ok()?.try_into().ok())
            .collect::<Option<_>>()
            .map(Self)
            .ok_or("not a hash in base64")
    }
}

/// Sizes and hashes of the files of a bundle.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Manifest(Vec<ManifestLine>);

#[derive(Debug, PartialEq, Eq)]
struct ManifestLine {
    sha256: String,
    size: usize,
    name: String,
}

impl Manifest {
    /// Of the files that stand in a folder.
    pub(super) fn of(folder: &Path, names: &[&str]) -> Result<Self> {
        let lines = names.iter().map(|name| {
            let bytes = std::fs::read(folder.join(name))
                .with_context(|| format!("could not read {name}"))?;
            let mut sha256 = String::new();
            for byte in Sha256::digest(&bytes) {
                write!(sha256, "{byte:02x}")?;
            }
            Ok(ManifestLine {
                sha256,
                size: bytes.len(),
                name: (*name).to_owned(),
            })
        });
        lines.collect::<Result<_>>().map(Self)
    }

    pub(super) fn text(&self) -> String {
        let mut text = format!("{MANIFEST_TITLE}\n");
        for line in &self.0 {
            writeln!(text, "{} {} {}", line.sha256, line.size, line.name)
                .expect("a string takes everything");
        }
        text
    }

    /// The names that a signed text lists.
    pub(super) fn names(text: &str) -> Result<Vec<&str>> {
        let mut lines = text.lines();
        ensure!(
            lines.next() == Some(MANIFEST_TITLE),
            "{MANIFEST} is no manifest"
        );
        lines
            .map(|line| {
                line.rsplit(' ')
                    .next()
                    .context("a line of the manifest is empty")
            })
            .collect()
    }
}

/// Every file of the folder, by name. Anything else in it is refused.
pub(super) fn names(folder: &Path) -> Result<Vec<String>> {
    let mut names = Vec::new();
    let listed = std::fs::read_dir(folder)
        .with_context(|| format!("could not read {}", folder.display()))?;
    for entry in listed {
        let entry = entry?;
        let name = entry.file_name().into_string();
        let Ok(name) = name else {
            bail!("the bundle holds a file whose name is no text");
        };
        ensure!(entry.file_type()?.is_file(), "{name} is not a file");
        names.push(name);
    }
    names.sort();
    Ok(names)
}
