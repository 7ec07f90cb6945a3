//! ClickHouse for one machine: libchdb (ClickHouse as a library) behind ClickHouse's own HTTP interface.
//!
//! Enough of the interface for the official `clickhouse` crate and for `curl`; whoever outgrows it points
//! `CLICKHOUSE_URL` at a ClickHouse server and changes nothing else. Not supported, and refused clearly: sessions,
//! roles, external tables, response bodies in HTTP compression (the interface makes that the server's choice).
//!
//! **Invariants.** One request, one session of the engine, never reused. A request's body is received, decoded and
//! checked completely before the engine sees any of it. Results stream in bounded memory. An insert is written in
//! blocks that depend on its bytes only, never on how they arrived, so that a repeat with the same deduplication token
//! is a repeat of every block.

//!
//! **Limits.** An insert of more than 1,048,449 rows or 128 MiB is written in several blocks, as by ClickHouse itself:
//! where a later block turns out to be wrong, the earlier ones stay, and a repeat with the same token completes it.
//! Formats that are one document (`JSON`, `Parquet`, `Pretty`, …) are collected in memory before they are sent; formats
//! of rows stream. A client's `query_id` is echoed, not given to the engine, whose own ids can't be chosen.
//! `fsync_after_insert` is a setting of tables, not of requests.
//!
//! **Measured** on two cores. Release build: server ready in 0.1 to 0.3 s and 200 MB, the smallest query 1.2 ms. Development
//! build: an insert of 200,000 rows of 29 bytes 25 ms, of 5,000,000 rows of 109 bytes 0.9 s; a result of 540 MB 2.4 s. After large
//! statements (up to 1 GB at the peak) memory is back at 300 MB within six seconds. Ten statements, two of them streamed
//! inserts, were in the engine at once: there is no lock around it.

mod blocks;
mod body;
mod connection;
mod engine;
mod exception;
mod ffi;
mod format;
mod http;
pub(crate) mod launch;
mod lexer;
mod plan;
mod request;
mod respond;
mod results;
mod spool;
mod statement;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::AsyncReadExt as _;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep, timeout};

use self::connection::{Flushes, Loopback};
use self::engine::Engine;
use self::ffi::Api;
use self::http::Server;

/// Where the server writes its process id, below its data. Stored; never rename.
pub(crate) const PID_FILE: &str = "server.pid";
const INSERT_BLOCK_BYTES: u64 = 128 << 20;
/// Requests that run when the server is told to stop get this long.
const DRAIN_WITHIN: Duration = Duration::from_millis(2500);

/// How the server is started; [`crate::Engines`] does it, a person rarely.
#[derive(Debug, clap::Args)]
pub struct ServerArgs {
    /// The folder of the data.
    #[arg(long)]
    pub path: PathBuf,
    /// libchdb.so.
    #[arg(long)]
    pub library: PathBuf,
    /// A loopback address and port.
    #[arg(long, default_value = "127.0.0.1:8123")]
    pub listen: SocketAddr,
    /// A file with the password of the user `proofline`.
    #[arg(long)]
    pub password_file: PathBuf,
    /// End when standard input ends, as it does when the parent process dies.
    #[arg(long)]
    pub end_with_stdin: bool,
    /// Statements that run at the same time; further ones wait.
    #[arg(long, default_value_t = 32)]
    pub statements_max: usize,
    /// Memory that one statement may use.
    #[arg(long, default_value_t = 2 << 30)]
    pub statement_memory_bytes_max: u64,
}

/// Why the server did not start or ended badly.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    #[error("could not load {}", path.display())]
    Load {
        path: PathBuf,
        #[source]
        source: libloading::Error,
    },
    #[error("the engine could not open the data in {}; is another server using it?", path.display())]
    Open { path: PathBuf },
    #[error("{listen} is no loopback address; this server is for one machine")]
    NotLoopback { listen: SocketAddr },
    #[error("could not listen on {listen}")]
    Listen {
        listen: SocketAddr,
        #[source]
        source: std::io::Error,
    },
    #[error("could not {action} {}", path.display())]
    File {
        action: &'static str,
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("could not watch for signals")]
    Signals(#[source] std::io::Error),
    #[error("the listener failed")]
    Serve(#[source] std::io::Error),
}

/// Serves until SIGTERM, SIGINT or the end of standard input; then finishes what runs, within bounds.
pub async fn serve(args: ServerArgs) -> Result<(), ServeError> {
    if !args.listen.ip().is_loopback() {
        return Err(ServeError::NotLoopback {
            listen: args.listen,
        });
    }
    let at = |action, path: &Path| {
        let path = path.to_owned();
        move |source| ServeError::File {
            action,
            path,
            source,
        }
    };
    std::fs::create_dir_all(args.path.join("tmp")).map_err(at("create", &args.path))?;
    let password =
        std::fs::read_to_string(&args.password_file).map_err(at("read", &args.password_file))?;
    let pid_file = args.path.join(PID_FILE);
    std::fs::write(&pid_file, std::process::id().to_string()).map_err(at("write", &pid_file))?;

    let stop = stop_signal(args.end_with_stdin)?;
    let since = Instant::now();
    let engine = open(&args)?;
    let listener = TcpListener::bind(args.listen)
        .await
        .map_err(|source| ServeError::Listen {
            listen: args.listen,
            source,
        })?;
    tracing::info!(version = %engine.version, duration_ms = since.elapsed().as_millis(), listen = %args.listen, "serving");
    let server = Arc::new(Server {
        engine,
        password: password.trim().to_owned(),
        slots: Arc::new(Semaphore::new(args.statements_max)),
        running: AtomicUsize::new(0),
    });
    let service =
        http::router(Arc::clone(&server)).into_make_service_with_connect_info::<Flushes>();
    let (stopping, stopped) = tokio::sync::oneshot::channel::<()>();
    let serving = axum::serve(Loopback(listener), service)
        .with_graceful_shutdown(async move {
            stop.await;
            stopping.send(()).ok();
        })
        .into_future();
    let drained = async {
        stopped.await.ok();
        sleep(DRAIN_WITHIN).await;
    };
    tokio::select! {
        ended = serving => ended.map_err(ServeError::Serve)?,
        () = drained => tracing::warn!("ended while requests were still open"),
    }
    close(&server).await;
    Ok(())
}

fn open(args: &ServerArgs) -> Result<Engine, ServeError> {
    let api = Api::load(&args.library).map_err(|source| ServeError::Load {
        path: args.library.clone(),
        source,
    })?;
    let settings = [
        // An insert that was answered is written; the engine's default would gather inserts in memory first.
        ("async_insert", "0".to_owned()),
        (
            "max_memory_usage",
            args.statement_memory_bytes_max.to_string(),
        ),
        // Caches sized for a machine that is shared with the rest of the platform.
        // An insert up to this size (and 1,048,449 rows, the engine's default) is one block: written as a whole, or
        // not at all where its data turn out to be wrong. It also bounds what an insert of wide rows takes in memory.
        (
            "max_insert_block_size_bytes",
            INSERT_BLOCK_BYTES.to_string(),
        ),
        (
            "min_insert_block_size_bytes",
            INSERT_BLOCK_BYTES.to_string(),
        ),
        ("mark_cache_size", (64_u64 << 20).to_string()),
        ("index_mark_cache_size", (16_u64 << 20).to_string()),
        ("mmap_cache_size", "100".to_owned()),
    ];
    let engine = Engine::open(api, &args.path, &settings).ok_or_else(|| ServeError::Open {
        path: args.path.clone(),
    })?;
    tracing::debug!(library.version = api.version(), "libchdb loaded");
    Ok(engine)
}

/// Statements may outlive their requests. Closing a session under one aborts the process, so a process whose
/// statements do not end is killed instead: the data is made for it, as for any crash.
async fn close(server: &Server) {
    let idle = async {
        while server.running.load(Ordering::SeqCst) > 0 {
            sleep(Duration::from_millis(10)).await;
        }
    };
    if timeout(Duration::from_millis(500), idle).await.is_ok() {
        server.engine.close();
    } else {
        tracing::warn!("ending with statements still running");
        crate::process::signal(std::process::id(), nix::sys::signal::Signal::SIGKILL);
    }
}

fn stop_signal(end_with_stdin: bool) -> Result<impl Future<Output = ()>, ServeError> {
    let mut terminate = signal(SignalKind::terminate()).map_err(ServeError::Signals)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(ServeError::Signals)?;
    let stdin_ends = async move {
        if end_with_stdin {
            let mut buffer = [0; 64];
            let mut stdin = tokio::io::stdin();
            while matches!(stdin.read(&mut buffer).await, Ok(1..)) {}
        } else {
            std::future::pending::<()>().await;
        }
    };
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
            () = stdin_ends => {}
        }
    })
}
