//! Where seals are kept outside of the database that they seal: a folder or an object store, to which nothing is written
//! twice.
//!
//! ```text
//! keys/000001.txt                                 statements about signing keys, in order
//! <incarnation>/heads/00000000000000004096.txt    signed tree heads, by size
//! <incarnation>/tiles/0000000000000000.4096       leaves of a tile, 32 bytes each, and how many
//! ```

use std::sync::Arc;

use futures::TryStreamExt as _;
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt as _, PutMode};
use uuid::Uuid;

use super::head::SignedHead;
use super::merkle::Hash;
use super::note::Note;
use super::tree;

/// Why an anchor did not do what it was asked for.
#[derive(Debug, thiserror::Error)]
pub enum AnchorError {
    #[error("{url} is no place for an anchor: it takes a path of a folder")]
    NoPlace {
        url: String,
        source: object_store::Error,
    },
    #[error("could not make the anchor's folder {path}")]
    MakeFolder {
        path: String,
        source: std::io::Error,
    },
    #[error("could not write {path} to the anchor")]
    Write {
        path: Path,
        source: object_store::Error,
    },
    #[error("could not read {path} from the anchor")]
    Read {
        path: Path,
        source: object_store::Error,
    },
    #[error("the anchor holds another {path}: the log was forked, or one of the two was forged")]
    Differs { path: Path },
    #[error("{path} at the anchor is malformed")]
    Malformed { path: Path },
}

/// A place outside.
#[derive(Clone, Debug)]
pub struct Anchor {
    name: String,
    store: Arc<dyn ObjectStore>,
}

impl Anchor {
    /// A folder, which is made where there is none. Each write is on the disk when it returns.
    pub fn folder(path: &std::path::Path) -> Result<Self, AnchorError> {
        let name = path.display().to_string();
        std::fs::create_dir_all(path).map_err(|source| AnchorError::MakeFolder {
            path: name.clone(),
            source,
        })?;
        let store =
            LocalFileSystem::new_with_prefix(path).map_err(|source| AnchorError::NoPlace {
                url: name.clone(),
                source,
            })?;
        Ok(Self::new(name, Arc::new(store.with_fsync(true))))
    }

    /// Any store. What is written is remembered under the name.
    pub fn new(name: String, store: Arc<dyn ObjectStore>) -> Self {
        Self { name, store }
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    pub(super) async fn put_key(&self, place: usize, note: &Note) -> Result<(), AnchorError> {
        let path = Path::from(format!("keys/{place:06}.txt"));
        self.put(path, note.to_string().into_bytes()).await
    }

    pub(super) async fn put_head(&self, signed: &SignedHead) -> Result<(), AnchorError> {
        let head = &signed.head;
        let path = Path::from(format!("{}/heads/{:020}.txt", head.incarnation, head.size));
        self.put(path, signed.note.to_string().into_bytes()).await
    }

    pub(super) async fn put_tile(
        &self,
        incarnation: Uuid,
        tile: u64,
        leaves: &[Hash],
    ) -> Result<(), AnchorError> {
        let path = tile_path(incarnation, tile, leaves.len());
        self.put(path, tree::to_bytes(leaves)).await
    }

    /// The statements about signing keys, in order.
    pub async fn keys(&self) -> Result<Vec<Note>, AnchorError> {
        let texts = self.texts(Path::from("keys")).await?;
        texts
            .into_iter()
            .map(|(path, text)| text.parse().map_err(|_| AnchorError::Malformed { path }))
            .collect()
    }

    /// The heads of an incarnation of the log, by size, whoever signed them.
    pub async fn heads(&self, incarnation: Uuid) -> Result<Vec<SignedHead>, AnchorError> {
        let texts = self
            .texts(Path::from(format!("{incarnation}/heads")))
            .await?;
        texts
            .into_iter()
            .map(|(path, text)| text.parse().map_err(|_| AnchorError::Malformed { path }))
            .collect()
    }

    /// The first `count` leaves of a tile.
    pub(super) async fn tile(
        &self,
        incarnation: Uuid,
        tile: u64,
        count: usize,
    ) -> Result<Option<Vec<Hash>>, AnchorError> {
        let path = tile_path(incarnation, tile, count);
        match self.read(&path).await {
            Ok(bytes) => tree::from_bytes(&bytes)
                .map(Some)
                .ok_or(AnchorError::Malformed { path }),
            Err(AnchorError::Read {
                source: object_store::Error::NotFound { .. },
                ..
            }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Writes what is not there yet; what is there must be the same.
    async fn put(&self, path: Path, bytes: Vec<u8>) -> Result<(), AnchorError> {
        let written = self
            .store
            .put_opts(&path, bytes.clone().into(), PutMode::Create.into())
            .await;
        match written {
            Ok(_) => Ok(()),
            Err(object_store::Error::AlreadyExists { .. }) => {
                if self.read(&path).await? == bytes {
                    Ok(())
                } else {
                    Err(AnchorError::Differs { path })
                }
            }
            Err(source) => Err(AnchorError::Write { path, source }),
        }
    }

    async fn read(&self, path: &Path) -> Result<Vec<u8>, AnchorError> {
        let failed = |source| AnchorError::Read {
            path: path.clone(),
            source,
        };
        let object = self.store.get(path).await.map_err(failed)?;
        Ok(object.bytes().await.map_err(failed)?.to_vec())
    }

    /// The texts below a path, by name.
    async fn texts(&self, below: Path) -> Result<Vec<(Path, String)>, AnchorError> {
        let listed = self.store.list(Some(&below)).try_collect::<Vec<_>>().await;
        let mut paths: Vec<Path> = listed
            .map_err(|source| AnchorError::Read {
                path: below,
                source,
            })?
            .into_iter()
            .map(|object| object.location)
            .collect();
        paths.sort();
        let mut texts = Vec::with_capacity(paths.len());
        for path in paths {
            let text = String::from_utf8(self.read(&path).await?);
            let text = text.map_err(|_| AnchorError::Malformed { path: path.clone() })?;
            texts.push((path, text));
        }
        Ok(texts)
    }
}

fn tile_path(incarnation: Uuid, tile: u64, count: usize) -> Path {
    Path::from(format!("{incarnation}/tiles/{tile:016}.{count}"))
}
