//! A place outside of the databases, for what has to outlive them: a folder, or an object store.

mod error;
mod location;
mod s3;

use std::fmt;
use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt as _;
use std::sync::Arc;
use std::time::Duration;

use futures::stream::BoxStream;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use object_store::buffered::BufWriter;
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{GetOptions, ObjectMeta, ObjectStore, ObjectStoreExt as _, PutMode};
use sha2::{Digest as _, Sha256};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::OnceCell;
use tokio::time::timeout;

pub use self::error::PlaceError;
pub use self::location::{Location, LocationError};

/// Of what is written, what is taken over in one go.
const PIECE_BYTES: usize = 1 << 20;
/// A store takes 10,000 parts of one object: 160 GB.
const PART_BYTES: usize = 16 << 20;
const PARTS_AT_ONCE: usize = 4;
/// Read by one request, whose time is limited, however slowly it is used.
const READ_BYTES: u64 = 8 << 20;
/// How long it may take to see that a bucket is there.
const LOOKED_WITHIN: Duration = Duration::from_secs(5);
/// What it is tried on whether a store writes over what is there.
const TRIED: &str = "written-once.txt";

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

/// Cheap to clone.
#[derive(Clone)]
pub struct Place {
    name: String,
    store: Arc<dyn ObjectStore>,
    /// Where it is one.
    folder: Option<std::path::PathBuf>,
    /// Set once the store was seen to leave alone what is there.
    writes_once: Arc<OnceCell<()>>,
}

/// Credentials stay out of logs.
impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Place").field(&self.name).finish()
    }
}

impl Place {
    /// A folder, as [`Place::folder`] has it, or a bucket, which must be there. One that can't be reached now may be later:
    /// whoever asks it for something is told.
    pub async fn open(location: &Location) -> Result<Self, PlaceError> {
        match location {
            Location::Folder(path) => Self::folder(path),
            Location::S3 { bucket, prefix } => Self::bucket(location, bucket, prefix).await,
            Location::Refused(error) => Err((*error).into()),
        }
    }

    /// The same, with a folder that is made here for nobody else's eyes.
    pub async fn open_private(location: &Location) -> Result<Self, PlaceError> {
        match location {
            Location::Folder(path) => Self::private_folder(path),
            Location::S3 { bucket, prefix } => Self::bucket(location, bucket, prefix).await,
            Location::Refused(error) => Err((*error).into()),
        }
    }

    async fn bucket(location: &Location, bucket: &str, prefix: &Path) -> Result<Self, PlaceError> {
        let name = location.to_string();
        let store = s3::store(bucket, prefix);
        let store = store.map_err(|source| PlaceError::Settings {
            name: name.clone(),
            source: source.into(),
        })?;
        let place = Self::new(name, store);
        let looked = timeout(LOOKED_WITHIN, place.look()).await;
        if !looked.unwrap_or(Ok(false))? {
            tracing::warn!(place = place.name, "a place can't be reached now");
        }
        Ok(place)
    }

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
            writes_once: Arc::new(OnceCell::new_with(Some(()))),
            ..Self::new(name, Arc::new(store.with_fsync(true)))
        })
    }

    /// Whether it can be listed, unless it can't be reached. Fails where it says that it can't.
    async fn look(&self) -> Result<bool, PlaceError> {
        use object_store::Error::{NotFound, PermissionDenied, Unauthenticated};
        let Err(source) = self.store.list(None).try_next().await else {
            return Ok(true);
        };
        // A list that fails does not say why. Who answers, if by a refusal, can be reached.
        match self.store.head(&Path::from(TRIED)).await {
            Ok(_) | Err(NotFound { .. } | PermissionDenied { .. } | Unauthenticated { .. }) => {
                Err(PlaceError::Denied {
                    name: self.name.clone(),
                    source: source.into(),
                })
            }
            Err(_) => Ok(false),
        }
    }

    /// Any store, under a name that may be shown.
    pub fn new(name: String, store: Arc<dyn ObjectStore>) -> Self {
        Self {
            name,
            store,
            folder: None,
            writes_once: Arc::default(),
        }
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    /// Writes what is not there yet. Answers whether it was written. Fails at a store that would write over what is there.
    pub async fn create(&self, path: &Path, bytes: Vec<u8>) -> Result<bool, PlaceError> {
        let seen = self
            .writes_once
            .get_or_try_init(|| self.try_to_write_over());
        seen.await?;
        self.put_new(path, bytes).await
    }

    /// A store that does not know of conditions says nothing, and overwrites. What it is tried on stays.
    async fn try_to_write_over(&self) -> Result<(), PlaceError> {
        let path = Path::from(TRIED);
        for _ in 0..2 {
            let text = b"Whether anything here is written over was tried on this.\n".to_vec();
            if !self.put_new(&path, text).await? {
                return Ok(());
            }
        }
        Err(PlaceError::WritesOver {
            name: self.name.clone(),
        })
    }

    async fn put_new(&self, path: &Path, bytes: Vec<u8>) -> Result<bool, PlaceError> {
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
        let writer = BufWriter::with_capacity(self.store.clone(), path.clone(), PART_BYTES);
        let mut writer = writer.with_max_concurrency(PARTS_AT_ONCE);
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

    /// In pieces, for what may be large. One that is replaced meanwhile is an error.
    pub async fn stream(
        &self,
        path: &Path,
    ) -> Result<BoxStream<'static, Result<Vec<u8>, PlaceError>>, PlaceError> {
        let object = self.store.head(path).await;
        let object = object.map_err(|source| self.read_error(path, source))?;
        let place = self.clone();
        let pieces = stream::try_unfold((place, object, 0), async |(place, object, at)| {
            if at >= object.size {
                return Ok(None);
            }
            let end = object.size.min(at + READ_BYTES);
            let piece = place.read_range(&object, at..end).await?;
            Ok(Some((piece, (place, object, end))))
        });
        Ok(pieces.boxed())
    }

    async fn read_range(
        &self,
        object: &ObjectMeta,
        range: std::ops::Range<u64>,
    ) -> Result<Vec<u8>, PlaceError> {
        let path = &object.location;
        let failed = |source| self.read_error(path, source);
        let options = GetOptions::new()
            .with_range(Some(range))
            .with_if_match(object.e_tag.clone());
        let piece = self.store.get_opts(path, options).await.map_err(failed)?;
        Ok(piece.bytes().await.map_err(failed)?.to_vec())
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
        self.listed(below, self.store.list(Some(below))).await
    }

    /// The same, without what comes before a name or is it.
    pub async fn list_after(&self, below: &Path, name: &Path) -> Result<Vec<Stored>, PlaceError> {
        let after = self.store.list_with_offset(Some(below), name);
        self.listed(below, after).await
    }

    async fn listed(
        &self,
        below: &Path,
        listed: BoxStream<'static, object_store::Result<ObjectMeta>>,
    ) -> Result<Vec<Stored>, PlaceError> {
        let listed = listed.try_collect::<Vec<ObjectMeta>>().await;
        let listed = listed.map_err(|source| self.read_error(below, source))?;
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

    /// Whether nothing stands there.
    pub async fn is_empty(&self) -> Result<bool, PlaceError> {
        let first = self.store.list(None).try_next().await;
        let first = first.map_err(|source| self.read_error(&Path::default(), source))?;
        Ok(first.is_none())
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
