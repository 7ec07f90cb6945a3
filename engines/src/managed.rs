//! What the supervisor must know about an engine that it runs.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use futures::future::BoxFuture;
use nix::sys::signal::Signal;

use crate::Engine;
use crate::error::{EnginesError, ProbeError};

/// A configured engine: how its process is made, asked and ended.
pub(crate) trait Managed: Send + Sync + 'static {
    fn engine(&self) -> Engine;

    /// The process to start. The supervisor sets its output and puts it in a group of its own.
    fn command(&self) -> Command;

    /// Where the engine itself writes its process id, and the argument by which its process is known to be ours.
    fn identity(&self) -> (PathBuf, String);

    /// Puts away what a killed engine leaves behind and would stumble over. Called while none of ours runs.
    fn clear_stale(&self) -> Result<(), EnginesError> {
        Ok(())
    }

    /// Asks a real question; `Ok` means that it serves.
    fn probe(&self) -> BoxFuture<'_, Result<(), ProbeError>>;

    /// The signals that end it, each with the time it is given; `SIGKILL` follows by itself.
    fn stop_signals(&self) -> &'static [(Signal, Duration)];

    fn log(&self) -> PathBuf;

    fn url(&self) -> String;
}
