//! People's requests, carried out: who asked to be erased is erased, and gets a certificate of it.

mod certificate;
mod cli;
mod erasure;
mod export;
mod http;
mod page;
mod verify;

pub use self::certificate::Certificate;
pub(crate) use self::cli::{SubjectCommand, run};
pub use self::erasure::{ErasureError, Erasures, Outside};
pub use self::export::{Asker, Export, ExportError, Exports};
pub use self::http::{ExportState, router};

/// How long the command line looks through the read models, where nobody holds a connection open for the answer.
const SEARCHED_WITHIN: std::time::Duration = std::time::Duration::from_secs(3_600);
