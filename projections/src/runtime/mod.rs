//! The one loop that drives every projection: in production, in tests, and for the tail behind the event stream.
//!
//! A [`Runner`] owns batching, retry, contiguity, shutdown, status and metrics. A [`Sink`] owns where its rows stand
//! and writes a batch exactly once.

mod backoff;
mod batch;
mod error;
mod meters;
mod pace;
mod runner;
mod signals;
mod sink;
#[cfg(test)]
mod tests;
mod trace;

pub use self::batch::{Batch, Limits};
pub use self::error::{RunError, SinkError, Stopped};
pub use self::runner::Runner;
pub use self::signals::{Progress, Wake};
pub use self::sink::{Sink, Standing};
