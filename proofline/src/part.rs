//! `proofline write-api`, `read-api` and `projector`: one part alone, on engines that run already.

use std::net::SocketAddr;

use anyhow::{Context as _, Result};
use tokio::net::TcpListener;

pub(crate) use crate::app::Part;

use crate::app::App;
use crate::config::{Connections, Tuning};
use crate::signals;

pub(crate) async fn run(
    part: Part,
    connections: Connections,
    tuning: Tuning,
    listen: SocketAddr,
) -> Result<()> {
    let shutdown = signals::shutdown()?;
    let app = App::open(part, &connections, &tuning).await?;
    let listener = TcpListener::bind(listen)
        .await
        .with_context(|| format!("could not listen on {listen}"))?;
    tracing::info!(?part, address = %listener.local_addr()?, "serving");
    app.serve(listener, shutdown).await
}
