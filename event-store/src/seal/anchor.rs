//! Where seals are kept outside of the database that they seal: a folder or an object store, to which nothing is written
//! twice.
//!
//! ```text
//! keys/000001.txt                                  statements about signing keys, in order
//! <incarnation>/heads/00000000000000004096.txt     signed tree heads, by size
//! <incarnation>/leaves/00000000000000004096.bin    the leaves since the head before, 32 bytes each
//! erased/<subject>.txt                             that a subject was erased
//! ```

use std::collections::BTreeMap;

use futures::{StreamExt as _, TryStreamExt as _, stream};
use object_store::path::Path;
use uuid::Uuid;

use super::head::SignedHead;
use super::merkle::Hash;
use super::note::Note;
use super::tree;
use crate::place::{Location, Place, PlaceError, Stored};

const ERASED: &str = "erased";
/// A store that is far answers many at once as fast as one.
const READ_AT_ONCE: usize = 32;

/// Why an anchor did not do what it was asked for.
#[derive(Debug, thiserror::Error)]
pub enum AnchorError {
    #[error(transparent)]
    Place(#[from] PlaceError),
    #[error("the anchor holds another {path}: the log was forked, or one of the two was forged")]
    Differs { path: Path },
    #[error("{path} at the anchor is malformed")]
    Malformed { path: Path },
}

/// A place outside. What is written is remembered under its name.
#[derive(Clone, Debug)]
pub struct Anchor(Place);

impl Anchor {
    /// A folder, which is made where there is none.
    pub fn folder(path: &std::path::Path) -> Result<Self, AnchorError> {
        Ok(Self(Place::folder(path)?))
    }

    /// A folder, or a bucket that is there.
    pub async fn open(location: &Location) -> Result<Self, AnchorError> {
        Ok(Self(Place::open(location).await?))
    }

    pub fn new(place: Place) -> Self {
        Self(place)
    }

    /// Whether nothing was written there yet.
    pub async fn is_empty(&self) -> Result<bool, AnchorError> {
        Ok(self.0.is_empty().await?)
    }

    pub fn name(&self) -> &str {
        self.0.name()
    }

    pub(super) async fn put_key(&self, place: usize, note: &Note) -> Result<(), AnchorError> {
        let path = Path::from(format!("keys/{place:06}.txt"));
        self.put(path, note.to_string().into_bytes()).await
    }

    pub(super) async fn put_head(&self, signed: &SignedHead) -> Result<(), AnchorError> {
        let path = head_path(signed.head.incarnation, signed.head.size);
        self.put(path, signed.note.to_string().into_bytes()).await
    }

    /// The last of the first `size` leaves.
    pub(super) async fn put_leaves(
        &self,
        incarnation: Uuid,
        size: u64,
        leaves: &[Hash],
    ) -> Result<(), AnchorError> {
        let path = Path::from(format!("{incarnation}/leaves/{size:020}.bin"));
        self.put(path, tree::to_bytes(leaves)).await
    }

    /// Notes that a subject was erased.
    pub(super) async fn put_tombstone(
        &self,
        subject: Uuid,
        note: &Note,
    ) -> Result<(), AnchorError> {
        let bytes = note.to_string().into_bytes();
        self.put(tombstone_path(subject), bytes).await
    }

    /// What is noted about a subject that was erased.
    pub async fn tombstone(&self, subject: Uuid) -> Result<Note, AnchorError> {
        let path = tombstone_path(subject);
        let text = self.text(&path).await?;
        text.parse().map_err(|_| AnchorError::Malformed { path })
    }

    /// Every subject that is noted to be erased.
    pub async fn erased_subjects(&self) -> Result<Vec<Uuid>, AnchorError> {
        let listed = self.listed(Path::from(ERASED)).await?;
        let subjects = listed.into_iter().map(|object| {
            let path = object.path;
            let name = path.filename().and_then(|name| name.strip_suffix(".txt"));
            let subject = name.and_then(|name| name.parse().ok());
            subject.ok_or(AnchorError::Malformed { path })
        });
        subjects.collect()
    }

    /// The statements about signing keys, in order.
    pub async fn keys(&self) -> Result<Vec<Note>, AnchorError> {
        let mut keys = Vec::new();
        for object in self.listed(Path::from("keys")).await? {
            let path = object.path;
            let text = self.text(&path).await?;
            keys.push(text.parse().map_err(|_| AnchorError::Malformed { path })?);
        }
        Ok(keys)
    }

    /// The heads of an incarnation of the log, by size, whoever signed them.
    pub async fn heads(&self, incarnation: Uuid) -> Result<Vec<SignedHead>, AnchorError> {
        let listed = self.listed(heads_path(incarnation)).await?;
        let heads = stream::iter(listed).map(|object| self.head(object.path));
        heads.buffered(READ_AT_ONCE).try_collect().await
    }

    /// The largest of them, which is looked for from `noted` on, a size that one of them is believed to have.
    pub(super) async fn last_head(
        &self,
        incarnation: Uuid,
        noted: u64,
    ) -> Result<Option<SignedHead>, AnchorError> {
        let below = heads_path(incarnation);
        let before = head_path(incarnation, noted.saturating_sub(1));
        let mut listed = self.0.list_after(&below, &before).await?;
        if listed.is_empty() {
            listed = self.listed(below).await?;
        }
        match listed.pop() {
            Some(object) => self.head(object.path).await.map(Some),
            None => Ok(None),
        }
    }

    async fn head(&self, path: Path) -> Result<SignedHead, AnchorError> {
        let text = self.text(&path).await?;
        text.parse().map_err(|_| AnchorError::Malformed { path })
    }

    /// Where the leaves of an incarnation of the log are: up to which size each part reaches.
    pub(super) async fn leaves(
        &self,
        incarnation: Uuid,
    ) -> Result<BTreeMap<u64, Path>, AnchorError> {
        let listed = self
            .listed(Path::from(format!("{incarnation}/leaves")))
            .await?;
        let parts = listed.into_iter().map(|object| {
            let path = object.path;
            let size = number(&path).ok_or_else(|| AnchorError::Malformed { path: path.clone() });
            Ok((size?, path))
        });
        parts.collect()
    }

    /// The leaves after `from` up to `to`, both of which are sizes of heads, from the parts that [`Anchor::leaves`] named.
    pub(super) async fn read_leaves(
        &self,
        parts: &BTreeMap<u64, Path>,
        from: u64,
        to: u64,
    ) -> Result<Vec<Hash>, AnchorError> {
        let mut leaves = Vec::new();
        for (_, path) in parts.range(from + 1..=to) {
            let part = tree::from_bytes(&self.0.read(path).await?);
            leaves.extend(part.ok_or_else(|| AnchorError::Malformed { path: path.clone() })?);
        }
        Ok(leaves)
    }

    /// Writes what is not there yet; what is there must be the same.
    async fn put(&self, path: Path, bytes: Vec<u8>) -> Result<(), AnchorError> {
        if self.0.create(&path, bytes.clone()).await? || self.0.read(&path).await? == bytes {
            Ok(())
        } else {
            Err(AnchorError::Differs { path })
        }
    }

    async fn text(&self, path: &Path) -> Result<String, AnchorError> {
        let text = String::from_utf8(self.0.read(path).await?);
        text.map_err(|_| AnchorError::Malformed { path: path.clone() })
    }

    /// What stands below a path, by name.
    async fn listed(&self, below: Path) -> Result<Vec<Stored>, AnchorError> {
        Ok(self.0.list(&below).await?)
    }
}

pub(super) fn tombstone_path(subject: Uuid) -> Path {
    Path::from(format!("{ERASED}/{subject}.txt"))
}

fn heads_path(incarnation: Uuid) -> Path {
    Path::from(format!("{incarnation}/heads"))
}

fn head_path(incarnation: Uuid, size: u64) -> Path {
    Path::from(format!("{incarnation}/heads/{size:020}.txt"))
}

/// The number that a file is named by.
fn number(path: &Path) -> Option<u64> {
    path.filename()?.split('.').next()?.parse().ok()
}
