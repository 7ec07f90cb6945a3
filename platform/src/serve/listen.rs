//! The accept loop: HTTP/1.1 and HTTP/2 on one listener, graceful up to a deadline.

use std::{convert::Infallible, io, net::SocketAddr, pin::pin, sync::Arc, time::Duration};

use axum::{
    BoxError, Extension, Router,
    extract::{ConnectInfo, FromRequestParts},
    http::request::Parts,
};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::{
        conn::auto,
        graceful::{GracefulShutdown, Watcher},
    },
    service::TowerToHyperService,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    task::JoinSet,
};
use tokio_util::sync::CancellationToken;
use tower::Layer;

use super::tls::Tls;

const CONNECTIONS_MAX: usize = 10_000;
const HEADER_READ_TIMEOUT: Duration = Duration::from_secs(30);
const H2_STREAMS_MAX: u32 = 256;
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

/// Cancelled when the server begins to stop, for handlers that stream for long: end the stream then, or
/// it is cut when the grace is over. Never cancelled where the router is not served by [`serve`].
#[derive(Clone, Debug)]
pub struct Stopping(pub CancellationToken);

impl<S: Send + Sync> FromRequestParts<S> for Stopping {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Infallible> {
        let stopping = parts.extensions.get::<Self>().cloned();
        Ok(stopping.unwrap_or_else(|| Self(CancellationToken::new())))
    }
}

/// Serve, over TLS where that is given, until `shutdown`; then stop accepting, let requests in flight finish for up to
/// `grace`, and cut what is left, which is long-lived streams.
pub async fn serve(
    listener: TcpListener,
    tls: Option<Tls>,
    router: Router,
    shutdown: CancellationToken,
    grace: Duration,
) -> io::Result<()> {
    let address = listener.local_addr()?;
    let mut server = Server {
        router: Extension(Stopping(shutdown.clone())).layer(router),
        builder: builder(),
        graceful: GracefulShutdown::new(),
        connections: JoinSet::new(),
        tls: tls.map(Arc::new),
    };
    let renewed = server.tls.clone();
    let slots = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let mut renewing = pin!(renew(renewed.as_deref()));
    loop {
        tokio::select! {
            biased;
            () = shutdown.cancelled() => break,
            Some(_ended) = server.connections.join_next() => {}
            never = &mut renewing => match never {},
            accepted = accept(&listener, &slots) => server.spawn(accepted),
        }
    }
    drop(listener);
    tracing::debug!(%address, "no longer accepting");
    server.stop(grace).await;
    Ok(())
}

struct Server {
    router: AddStopping,
    builder: auto::Builder<TokioExecutor>,
    graceful: GracefulShutdown,
    /// Dropping the set cuts every connection, so nothing outlives [`serve`].
    connections: JoinSet<()>,
    tls: Option<Arc<Tls>>,
}

type Service =
    TowerToHyperService<<Extension<ConnectInfo<SocketAddr>> as Layer<AddStopping>>::Service>;

type AddStopping = <Extension<Stopping> as Layer<Router>>::Service;

struct Accepted {
    stream: TcpStream,
    peer: SocketAddr,
    slot: OwnedSemaphorePermit,
}

impl Server {
    fn spawn(&mut self, accepted: Accepted) {
        let Accepted { stream, peer, slot } = accepted;
        let service = Extension(ConnectInfo(peer)).layer(self.router.clone());
        let service = TowerToHyperService::new(service);
        let (builder, watcher) = (self.builder.clone(), self.graceful.watcher());
        let tls = self.tls.clone();
        self.connections.spawn(async move {
            let ended = match tls {
                None => converse(&builder, watcher, stream, service).await,
                Some(tls) => match tls.accept(stream).await {
                    Ok(stream) => converse(&builder, watcher, stream, service).await,
                    Err(error) => Err(error.into()),
                },
            };
            // Clients hang up and send garbage: their affair, not ours.
            if let Err(error) = ended {
                tracing::debug!(error = format!("{error:#}"), "connection ended early");
            }
            drop(slot);
        });
    }

    async fn stop(mut self, grace: Duration) {
        let drained = tokio::time::timeout(grace, self.graceful.shutdown()).await;
        if drained.is_err() {
            let cut = self.connections.len();
            tracing::info!(cut, "connections cut after the grace period");
        }
        self.connections.shutdown().await;
    }
}

/// Answers one client, until one of the two has enough.
async fn converse(
    builder: &auto::Builder<TokioExecutor>,
    watcher: Watcher,
    stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    service: Service,
) -> Result<(), BoxError> {
    let connection = builder
        .serve_connection_with_upgrades(TokioIo::new(stream), service)
        .into_owned();
    watcher.watch(connection).await
}

/// Never ends; without TLS there is nothing to do.
async fn renew(tls: Option<&Tls>) -> Infallible {
    match tls {
        Some(tls) => tls.renew().await,
        None => std::future::pending().await,
    }
}

fn builder() -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_READ_TIMEOUT);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(H2_STREAMS_MAX);
    builder
}

/// The next connection. Safe to cancel. Errors don't end the server: they pass (a client that hung up at
/// once) or need a pause (no file descriptors left).
async fn accept(listener: &TcpListener, slots: &Arc<Semaphore>) -> Accepted {
    loop {
        let Ok(slot) = slots.clone().acquire_owned().await else {
            // Nobody closes the semaphore.
            std::future::pending().await
        };
        match listener.accept().await {
            Ok((stream, peer)) => {
                // Answers are small and wanted at once.
                let _ = stream.set_nodelay(true);
                return Accepted { stream, peer, slot };
            }
            Err(error) if is_clients_affair(&error) => {}
            Err(error) => {
                tracing::warn!(
                    error = format!("{error:#}"),
                    "could not accept a connection"
                );
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

fn is_clients_affair(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::ConnectionReset
    )
}
