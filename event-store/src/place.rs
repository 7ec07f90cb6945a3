//! A place outside of the databases, for what has to outlive them: a folder, or an object store.

use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt as _;
use std::sync::Arc;

use futures::stream::BoxStream;
use futures::{StreamExt as _, TryStreamExt as _};
use object_store::buffered::BufWriter;
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStore, ObjectStoreExt as _, PutMode};
use sha2::{Digest as _, Sha256};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};

/// Of what is written in one go.
const PIECE_BYTES: usize = 1 << 20;

/// Why a place did not do what it was asked for.
#[derive(Debug, thiserror::Error)]
pub enum PlaceError {
    #[error("{name} is no place to write to: it takes a path of a folder")]
    NoPlace {
        name: String,
        source: Box<object_store::Error>,
    },
    #[error("could not make the folder {name}")]
    MakeFolder {
        name: String,
        source: std::io::Error,
    },
    #[error("could not write {path} to {name}")]
    Write {
        name: String,
        path: Path,
        source: Box<object_store::Error>,
    },
    #[error("could not read {path} from {name}")]
    Read {
        name: String,
        path: Path,
        source: Box<object_store::Error>,
    },
    #[error("could not remove {path} from {name}")]
    Remove {
        name: String,
        path: Path,
        source: Box<object_store::Error>,
    },
    #[error("could not remove the folder {name}")]
    RemoveFolder {
        name: String,
        source: std::io::Error,
    },
    #[error("what was to be written as {path} could not be read to its end")]
    Source { path: Path, source: std::io::Error },
}

impl PlaceError {
    /// Whether there is nothing of that name.
    pub fn is_not_found(&self) -> bool {
        match self {
            Self::Read { source, .. } => matches!(**source, object_store::Error::NotFound { .. }),
            _ => false,
        }
    }
}

/// What was written, or is to be found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Content {
    pub bytes: u64,
    pub sha256: [u8; 32],
}

/// Something that stands at a place.
#[derive(Clone, Debug)]
pub struct Stored {
    pub path: Path,
    pub modified_at: chrono::DateTime<chrono::Utc>,
}

/// Cheap to clone. `Debug` and errors show the name only.
#[derive(Clone, Debug)]
pub struct Place {
    name: String,
    store: Arc<dyn ObjectStore>,
    /// Where it is one.
    folder: Option<std::path::PathBuf>,
}

impl Place {
    /// A folder, which is made where there is none. Each write is on the disk when it returns.
    pub fn folder(path: &std::path::Path) -> Result<Self, PlaceError> {
        Self::made(path, &mut DirBuilder::new())
    }

    /// The same, and where it is made, nobody else may look into it.
    pub fn private_folder(path: &std::path::Path) -> Result<Self, PlaceError> {
        Self::made(path, DirBuilder::new().mode(0o700))
    }

    fn made(path: &std::path::Path, builder: &mut DirBuilder) -> Result<Self, PlaceError> {
        let name = path.display().to_string();
        let made = builder.recursive(true).create(path);
        made.map_err(|source| PlaceError::MakeFolder {
            name: name.clone(),
            source,
        })?;
        let store =
            LocalFileSystem::new_with_prefix(path).map_err(|source| PlaceError::NoPlace {
                name: name.clone(),
                source: source.into(),
            })?;
        Ok(Self {
            folder: Some(path.to_owned()),
            ..Self::new(name, Arc::new(store.with_fsync(true)))
        })
    }

    /// Any store, under a name that may be shown.
    pub fn new(name: String, store: Arc<dyn ObjectStore>) -> Self {
        Self {
            name,
            store,
            folder: None,
        }
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    /// Writes what is not there yet. Answers whether it was written.
    pub async fn create(&self, path: &Path, bytes: Vec<u8>) -> Result<bool, PlaceError> {
        let mode = PutMode::Create.into();
        match self.store.put_opts(path, bytes.into(), mode).await {
            Ok(_) => Ok(true),
            Err(object_store::Error::AlreadyExists { .. }) => Ok(false),
            Err(source) => Err(self.write_error(path, source)),
        }
    }

    /// Writes it, in the place of what may be there: as a whole, or not at all.
    pub async fn put(&self, path: &Path, bytes: Vec<u8>) -> Result<(), PlaceError> {
        let put = self.store.put(path, bytes.into()).await;
        put.map(drop)
            .map_err(|source| self.write_error(path, source))
    }

    /// Writes everything that comes, however much, as a whole or not at all.
    pub async fn write(
        &self,
        path: &Path,
        mut from: impl AsyncRead + Unpin,
    ) -> Result<Content, PlaceError> {
        let mut writer = BufWriter::new(self.store.clone(), path.clone());
        let copied = self.copy(path, &mut from, &mut writer).await;
        if copied.is_err() {
            // What was sent of it counts for nothing; a store keeps parts for a while.
            drop(writer.abort().await);
        }
        copied
    }

    async fn copy(
        &self,
        path: &Path,
        from: &mut (impl AsyncRead + Unpin),
        writer: &mut BufWriter,
    ) -> Result<Content, PlaceError> {
        let (mut hasher, mut bytes) = (Sha256::new(), 0);
        let mut piece = vec![0; PIECE_BYTES];
        loop {
            let read = from.read(&mut piece).await;
            let read = read.map_err(|source| PlaceError::Source {
                path: path.clone(),
                source,
            })?;
            if read == 0 {
                break;
            }
            hasher.update(&piece[..read]);
            bytes += read as u64;
            let written = writer.write_all(&piece[..read]).await;
            written.map_err(|error| self.write_error(path, generic(error)))?;
        }
        let written = writer.shutdown().await;
        written.map_err(|error| self.write_error(path, generic(error)))?;
        Ok(Content {
            bytes,
            sha256: hasher.finalize().into(),
        })
    }

    pub async fn read(&self, path: &Path) -> Result<Vec<u8>, PlaceError> {
        let failed = |source| self.read_error(path, source);
        let object = self.store.get(path).await.map_err(failed)?;
        Ok(object.bytes().await.map_err(failed)?.to_vec())
    }

    /// In pieces, for what may be large.
    pub async fn stream(
        &self,
        path: &Path,
    ) -> Result<BoxStream<'static, Result<Vec<u8>, PlaceError>>, PlaceError> {
        let object = self.store.get(path).await;
        let object = object.map_err(|source| self.read_error(path, source))?;
        let (place, path) = (self.clone(), path.clone());
        let pieces = object.into_stream().map(move |piece| {
            let piece = piece.map_err(|source| place.read_error(&path, source))?;
            Ok(piece.to_vec())
        });
        Ok(pieces.boxed())
    }

    /// What it is, by reading all of it.
    pub async fn content(&self, path: &Path) -> Result<Content, PlaceError> {
        let mut pieces = self.stream(path).await?;
        let (mut hasher, mut bytes) = (Sha256::new(), 0);
        while let Some(piece) = pieces.try_next().await? {
            hasher.update(&piece);
            bytes += piece.len() as u64;
        }
        Ok(Content {
            bytes,
            sha256: hasher.finalize().into(),
        })
    }

    /// Everything below a path, by name.
    pub async fn list(&self, below: &Path) -> Result<Vec<Stored>, PlaceError> {
        let listed = self
            .store
            .list(Some(below))
            .try_collect::<Vec<ObjectMeta>>();
        let listed = listed
            .await
            .map_err(|source| self.read_error(below, source))?;
        let mut stored: Vec<Stored> = listed
            .into_iter()
            .map(|object| Stored {
                path: object.location,
                modified_at: object.last_modified,
            })
            .collect();
        stored.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(stored)
    }

    /// The names directly below which something is stored, or was begun to be.
    pub async fn folders(&self) -> Result<Vec<String>, PlaceError> {
        let root = Path::default();
        let listed = self.store.list_with_delimiter(None).await;
        let listed = listed.map_err(|source| self.read_error(&root, source))?;
        let names = listed.common_prefixes.iter().filter_map(Path::filename);
        Ok(names.map(str::to_owned).collect())
    }

    /// Removes everything below a name, also what was only begun.
    pub async fn remove_folder(&self, name: &str) -> Result<(), PlaceError> {
        for stored in self.list(&Path::from_iter([name])).await? {
            self.remove(&stored.path).await?;
        }
        // What a process that died was writing there is no object yet.
        let Some(folder) = &self.folder else {
            return Ok(());
        };
        match std::fs::remove_dir_all(folder.join(name)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(PlaceError::RemoveFolder {
                    name: name.to_owned(),
                    source: error,
                })
            }
            _ => Ok(()),
        }
    }

    /// Removes it, if it is there.
    pub async fn remove(&self, path: &Path) -> Result<(), PlaceError> {
        match self.store.delete(path).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(source) => Err(PlaceError::Remove {
                name: self.name.clone(),
                path: path.clone(),
                source: source.into(),
            }),
        }
    }

    fn write_error(&self, path: &Path, source: object_store::Error) -> PlaceError {
        PlaceError::Write {
            name: self.name.clone(),
            path: path.clone(),
            source: source.into(),
        }
    }

    fn read_error(&self, path: &Path, source: object_store::Error) -> PlaceError {
        PlaceError::Read {
            name: self.name.clone(),
            path: path.clone(),
            source: source.into(),
        }
    }
}

/// The store's own error is inside.
fn generic(error: std::io::Error) -> object_store::Error {
    object_store::Error::Generic {
        store: "writer",
        source: error.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(folder: &tempfile::TempDir) -> Place {
        Place::folder(&folder.path().join("place")).unwrap()
    }

    #[tokio::test]
    async fn what_is_written_piece_by_piece_is_what_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let place = place(&folder);
        let path = Path::from("a/large");
        let bytes: Vec<u8> = (0..25 << 20).map(|n: u32| (n % 251) as u8).collect();
        let written = place.write(&path, &*bytes).await.unwrap();
        assert_eq!(written.bytes, 25 << 20);
        assert_eq!(place.content(&path).await.unwrap(), written);
        assert!(place.read(&path).await.unwrap() == bytes);
        let listed = place.list(&Path::from("a")).await.unwrap();
        assert_eq!(listed.len(), 1);
        place.remove(&path).await.unwrap();
        place.remove(&path).await.unwrap();
        assert!(place.read(&path).await.unwrap_err().is_not_found());
    }

    #[tokio::test]
    async fn what_breaks_off_leaves_what_was_there() {
        let folder = tempfile::tempdir().unwrap();
        let place = place(&folder);
        let path = Path::from("kept");
        place.put(&path, b"as it was".to_vec()).await.unwrap();
        let broken = cut_off();
        let error = place.write(&path, broken).await.unwrap_err();
        assert!(matches!(error, PlaceError::Source { .. }), "{error}");
        assert_eq!(place.read(&path).await.unwrap(), b"as it was");
        assert!(!place.create(&path, b"other".to_vec()).await.unwrap());
        assert_eq!(place.read(&path).await.unwrap(), b"as it was");
    }

    /// Some bytes, then an error.
    fn cut_off() -> impl AsyncRead + Unpin {
        struct Broken;
        impl AsyncRead for Broken {
            fn poll_read(
                self: std::pin::Pin<&mut Self>,
                _: &mut std::task::Context<'_>,
                _: &mut tokio::io::ReadBuf<'_>,
            ) -> std::task::Poll<std::io::Result<()>> {
                std::task::Poll::Ready(Err(std::io::Error::other("cut off")))
            }
        }
        std::io::Cursor::new(vec![1; 12 << 20]).chain(Broken)
    }
}
