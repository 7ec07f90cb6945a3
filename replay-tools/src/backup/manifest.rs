//! What stands in a backup.

use chrono::{DateTime, Utc};
use event_store::{Content, Place, PlacePath};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::BackupError;

/// Written last: what has none is no backup.
const NAME: &str = "manifest.json";

/// A backup of the event store, of its read models in Postgres, and of the facts in ClickHouse. Stored; never rename.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    pub kind: Kind,
    pub id: String,
    /// Of the moment that it shows.
    pub taken_at: DateTime<Utc>,
    pub release: String,
    /// Where its data may lie, if somebody said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    pub events: Extent,
    pub telemetry: Extent,
    pub facts: Facts,
    /// Who owns something in the database, or may do something: they belong to a cluster and are in no dump.
    pub roles: Vec<String>,
    pub dump: Part,
}

/// A backup of the key database, made after the other of its name: it has the key of everybody in that. Stored; never rename.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct KeyManifest {
    pub kind: KeyKind,
    pub id: String,
    pub taken_at: DateTime<Utc>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    pub roles: Vec<String>,
    pub dump: Part,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Kind {
    #[serde(rename = "proofline.backup.1")]
    Backup1,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum KeyKind {
    #[serde(rename = "proofline.key-backup.1")]
    KeyBackup1,
}

/// How far a log went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Extent {
    pub log: Uuid,
    pub head: i64,
}

/// The rows of the version of the facts that was served.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Facts {
    pub version: i32,
    /// Every event up to here has its row.
    pub checkpoint: i64,
    pub parts: Vec<Part>,
}

/// A file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    pub name: String,
    pub bytes: u64,
    /// In hexadecimal.
    pub sha256: String,
}

impl Part {
    pub(super) fn new(name: &str, content: Content) -> Self {
        Self {
            name: name.to_owned(),
            bytes: content.bytes,
            sha256: hex(content),
        }
    }

    fn is(&self, content: Content) -> bool {
        self.bytes == content.bytes && self.sha256 == hex(content)
    }
}

fn hex(content: Content) -> String {
    let bytes = content.sha256.iter();
    bytes.map(|byte| format!("{byte:02x}")).collect()
}

/// Of either kind.
pub(super) trait Described: Serialize + DeserializeOwned {
    fn id(&self) -> &str;
    fn taken_at(&self) -> DateTime<Utc>;
    fn parts(&self) -> Vec<&Part>;
}

impl Described for Manifest {
    fn id(&self) -> &str {
        &self.id
    }

    fn taken_at(&self) -> DateTime<Utc> {
        self.taken_at
    }

    fn parts(&self) -> Vec<&Part> {
        std::iter::once(&self.dump)
            .chain(&self.facts.parts)
            .collect()
    }
}

impl Described for KeyManifest {
    fn id(&self) -> &str {
        &self.id
    }

    fn taken_at(&self) -> DateTime<Utc> {
        self.taken_at
    }

    fn parts(&self) -> Vec<&Part> {
        vec![&self.dump]
    }
}

pub(super) fn path(id: &str, name: &str) -> PlacePath {
    PlacePath::from_iter([id, name])
}

pub(super) async fn write(place: &Place, manifest: &impl Described) -> Result<(), BackupError> {
    let path = path(manifest.id(), NAME);
    let text = serde_json::to_vec_pretty(manifest).map_err(BackupError::Serialise)?;
    // What is there already may be our own, whose first answer was lost on the way from a bucket.
    if place.create(&path, text.clone()).await? || place.read(&path).await? == text {
        Ok(())
    } else {
        Err(BackupError::Exists(manifest.id().to_owned()))
    }
}

/// Whether there is a backup, of whatever sense its manifest makes.
pub(super) async fn stands(place: &Place, id: &str) -> Result<bool, BackupError> {
    match place.read(&path(id, NAME)).await {
        Ok(_) => Ok(true),
        Err(error) if error.is_not_found() => Ok(false),
        Err(error) => Err(error.into()),
    }
}

pub(super) async fn read<M: Described>(place: &Place, id: &str) -> Result<M, BackupError> {
    let bytes = place.read(&path(id, NAME)).await;
    let bytes = bytes.map_err(|error| match error.is_not_found() {
        true => BackupError::NotFound(id.to_owned()),
        false => error.into(),
    })?;
    serde_json::from_slice(&bytes).map_err(|source| BackupError::Malformed {
        id: id.to_owned(),
        source,
    })
}

/// Every backup, oldest first. One that does not say what it is is told in the log, and left alone.
pub(super) async fn all<M: Described>(place: &Place) -> Result<Vec<M>, BackupError> {
    let mut manifests: Vec<M> = Vec::new();
    for id in place.folders().await? {
        match read(place, &id).await {
            Ok(manifest) => manifests.push(manifest),
            Err(BackupError::NotFound(_)) => {}
            Err(error @ BackupError::Malformed { .. }) => {
                let error = &error as &dyn std::error::Error;
                tracing::error!(error, place = place.name(), "a backup can't be used");
            }
            Err(error) => return Err(error),
        }
    }
    manifests.sort_by_key(M::taken_at);
    Ok(manifests)
}

/// Reads every file of it, and compares.
pub(super) async fn compare(place: &Place, manifest: &impl Described) -> Result<(), BackupError> {
    for part in manifest.parts() {
        let content = place.content(&path(manifest.id(), &part.name)).await?;
        if !part.is(content) {
            return Err(BackupError::Altered {
                id: manifest.id().to_owned(),
                part: part.name.clone(),
            });
        }
    }
    Ok(())
}

/// Removes it: the manifest first, so that what is half removed is no backup.
pub(super) async fn remove(place: &Place, id: &str) -> Result<(), BackupError> {
    place.remove(&path(id, NAME)).await?;
    Ok(place.remove_folder(id).await?)
}
