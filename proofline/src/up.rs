//! `proofline up`: everything in one process, on engines that are started here unless their URLs are given.

use std::io::Write as _;
use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;

use anyhow::{Context as _, Result};
use engines::{Engines, Progress as _, Spinners};
use key_providers::KeyProviderArgs;
use replay_tools::backup::{Source, Target};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::account::{self, Opened};
use crate::app::{App, Part};
use crate::config::{Connections, Tuning};
use crate::migrate::migrate;
use crate::running::Running;
use crate::secrets::Secrets;
use crate::signals;

#[derive(Debug, clap::Args)]
pub(crate) struct UpArgs {
    /// The API's port; 0 takes a free one.
    #[arg(long, default_value_t = 8080)]
    port: u16,
    /// The API's address. Serve over TLS, or put a proxy that does in front, before it is anything but loopback.
    #[arg(long, default_value_t = IpAddr::V4(Ipv4Addr::LOCALHOST))]
    host: IpAddr,
    /// Where engines and keys are kept.
    #[arg(long, default_value = ".proofline")]
    data_dir: PathBuf,
    /// Do not open a demo account in a new store.
    #[arg(long)]
    no_demo: bool,
    /// Bring a backup back first, the newest unless one is named: where the data directory has no databases any more.
    #[arg(long, value_name = "ID", num_args = 0..=1, default_missing_value = "")]
    restore: Option<String>,
    #[command(flatten)]
    key_provider: KeyProviderArgs,
    #[command(flatten)]
    tuning: Tuning,
}

/// Runs until Ctrl-C, and then stops everything.
pub(crate) async fn run(args: UpArgs) -> Result<()> {
    let shutdown = signals::shutdown()?;
    // Bound first: a port that is taken is told at once, not after the engines have started.
    let listener = TcpListener::bind((args.host, args.port))
        .await
        .with_context(|| format!("could not listen on {}:{}", args.host, args.port))?;
    let progress = Spinners::default();
    let config = engines::Config::new(&args.data_dir)?.with_urls_from_env();
    let engines = tokio::select! {
        engines = Engines::start(config, &progress) => engines?,
        () = shutdown.cancelled() => return Ok(()),
    };
    let served = serve(&args, &engines, listener, &progress, shutdown).await;
    Running::remove(&args.data_dir);
    engines.stop().await;
    served
}

async fn serve(
    args: &UpArgs,
    engines: &Engines,
    listener: TcpListener,
    progress: &Spinners,
    shutdown: CancellationToken,
) -> Result<()> {
    let connections =
        Connections::to_engines(engines.urls(), &args.data_dir, args.key_provider.clone())?;
    if let Some(id) = &args.restore {
        progress.started("Restoring");
        restore(&connections, id).await?;
        progress.finished("Restoring");
    }
    progress.started("Migrating");
    migrate(&connections).await?;
    progress.finished("Migrating");
    let app = App::open(Part::All, &connections, &args.tuning).await?;
    let scheme = if args.tuning.tls()?.is_some() {
        "https"
    } else {
        "http"
    };
    let api_url = format!("{scheme}://{}", listener.local_addr()?);
    let demo = if args.no_demo {
        None
    } else {
        demo_account(&app, &connections).await?
    };
    let running = Running {
        pid: std::process::id(),
        api_url,
        database_url: connections.database_url.clone(),
        redis_url: connections.redis_url.clone(),
        clickhouse_url: connections.clickhouse_url.clone(),
    };
    running.write(&args.data_dir)?;
    say(&running, demo)?;
    app.serve(listener, shutdown).await
}

/// No name stands for the newest.
async fn restore(connections: &Connections, id: &str) -> Result<()> {
    let places = connections.places().await?;
    let named = Some(id.to_owned()).filter(|id| !id.is_empty());
    let id = places.find(named).await?;
    let Source {
        database_url,
        keys_url,
        ..
    } = connections.backed_up()?;
    let target = Target {
        database_url,
        keys_url,
        clickhouse: connections.clickhouse()?,
        clickhouse_database: connections.clickhouse_database.clone(),
        key_provider: connections.key_provider.clone(),
        key_file: connections.key_file.clone(),
        region: connections.region.clone(),
    };
    places.restore(&id, None, &target).await?;
    Ok(())
}

/// Opens an account in a store that has nothing yet.
async fn demo_account(app: &App, connections: &Connections) -> Result<Option<Opened>> {
    let commands = app.commands().context("this part has no write side")?;
    let projections = app.projections().context("this part has no projections")?;
    let empty = projections.reads().positions().is_empty().await?;
    if !empty {
        return Ok(None);
    }
    let secrets = Secrets::open(connections).await?;
    let opened = account::open(commands, &secrets.api_keys, "Demo").await?;
    Ok(Some(opened))
}

fn say(running: &Running, demo: Option<Opened>) -> Result<()> {
    let mut out = std::io::stdout().lock();
    let url = &running.api_url;
    writeln!(out, "API        {url}")?;
    writeln!(out, "docs       {url}/docs")?;
    writeln!(out, "ready      {url}/readyz")?;
    writeln!(out, "metrics    {url}/metrics")?;
    if let Some(Opened { account, key }) = demo {
        writeln!(out, "account    {account}")?;
        writeln!(out, "demo key   {key}")?;
        writeln!(
            out,
            "           shown this once; `proofline account` issues others"
        )?;
    }
    writeln!(out, "Ctrl-C stops everything.")?;
    Ok(out.flush()?)
}
