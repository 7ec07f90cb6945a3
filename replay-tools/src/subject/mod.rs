//! People's requests, carried out: who asked to be erased is erased, and gets a certificate of it.

mod certificate;
mod erasure;

pub use self::certificate::Certificate;
pub use self::erasure::{ErasureError, Erasures, Outside};
