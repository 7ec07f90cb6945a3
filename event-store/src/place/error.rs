use object_store::path::Path;

use super::LocationError;

/// Why a place did not do what it was asked for.
#[derive(Debug, thiserror::Error)]
pub enum PlaceError {
    #[error("what a place was named by names none")]
    Location(#[from] LocationError),
    #[error("{name} is no place to write to: it takes a path of a folder")]
    NoPlace {
        name: String,
        source: Box<object_store::Error>,
    },
    #[error("could not speak to {name} with the AWS_ variables that are set")]
    Settings {
        name: String,
        source: Box<object_store::Error>,
    },
    #[error("{name} is not there, or not for us to list")]
    Denied {
        name: String,
        source: Box<object_store::Error>,
    },
    #[error(
        "{name} wrote over what was there though it was told not to: it does not heed If-None-Match"
    )]
    WritesOver { name: String },
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
