//! The key providers that are reached over the network, and how a deployment names its own.
//!
//! **Owns** how AWS KMS and HashiCorp Vault are spoken to. **Must not know** what their keys wrap, nor which of them is current: that
//! is the vault's.

mod args;
mod aws_kms;
mod error;
mod transit;

pub use args::{KeyProviderArgs, ProviderName};
pub use aws_kms::AwsKms;
pub use error::OpenError;
pub use transit::{Token, Transit};
