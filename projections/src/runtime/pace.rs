//! Waiting that a shutdown ends.

use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// How long a batch may go on after shutdown was asked for. Dropping it is safe: its outcome is found out at the next
/// start.
const SHUTDOWN_GRACE: Duration = Duration::from_secs(2);

/// Until the instant or shutdown.
pub(super) async fn until_either(instant: Instant, shutdown: &CancellationToken) {
    tokio::select! {
        () = tokio::time::sleep_until(instant) => {}
        () = shutdown.cancelled() => {}
    }
}

/// Until a shutdown has given its grace.
pub(super) async fn grace(shutdown: &CancellationToken) {
    shutdown.cancelled().await;
    tokio::time::sleep(SHUTDOWN_GRACE).await;
}
