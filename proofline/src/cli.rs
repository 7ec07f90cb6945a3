//! What the command line says, and who does it.

use std::io::Write as _;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use clap::{Parser, Subcommand, ValueEnum};
use engines::clickhouse::ServerArgs;
use engines::{Progress as _, Spinners};
use key_providers::KeyProviderArgs;
use platform::telemetry::{self, Format};

use crate::account::{self, AccountCommand};
use crate::config::{Connections, Tuning};
use crate::demo::{self, DemoArgs};
use crate::part::{self, Part};
use crate::running::Running;
use crate::secrets::Secrets;
use crate::up::{self, UpArgs};
use crate::{migrate, write_side};

/// Social proof that can prove itself.
#[derive(Debug, Parser)]
#[command(version)]
pub struct Arguments {
    /// How log lines look.
    #[arg(long, global = true, env = "PROOFLINE_LOG_FORMAT", value_enum, default_value_t = LogFormat::Pretty)]
    log_format: LogFormat,
    #[command(subcommand)]
    command: Command,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum LogFormat {
    Pretty,
    Json,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Everything in one process, on engines that are started here unless their URLs are given
    Up(UpArgs),
    /// Only the write API
    WriteApi(PartArgs),
    /// Only the read API
    ReadApi(PartArgs),
    /// Only the projectors
    Projector(PartArgs),
    /// Bring every engine's tables up to date
    Migrate {
        #[command(flatten)]
        connections: Connections,
    },
    /// Open accounts, issue and revoke API keys
    Account {
        /// Of the platform that runs here; without one, the engines' URLs must be given.
        #[arg(long, default_value = ".proofline")]
        data_dir: PathBuf,
        #[command(flatten)]
        key_provider: KeyProviderArgs,
        #[command(subcommand)]
        command: AccountCommand,
    },
    /// Send real input through the whole pipeline and compare every count
    Demo(DemoArgs),
    /// The server that `up` starts for ClickHouse
    #[command(hide = true)]
    ClickhouseServer(ServerArgs),
}

impl Command {
    /// What its traces are called.
    fn part(&self) -> &'static str {
        match self {
            Self::Up(_) => "up",
            Self::WriteApi(_) => "write-api",
            Self::ReadApi(_) => "read-api",
            Self::Projector(_) => "projector",
            Self::Migrate { .. } => "migrate",
            Self::Account { .. } => "account",
            Self::Demo(_) => "demo",
            Self::ClickhouseServer(_) => "clickhouse-server",
        }
    }
}

#[derive(Debug, clap::Args)]
struct PartArgs {
    #[command(flatten)]
    connections: Connections,
    #[command(flatten)]
    tuning: Tuning,
    /// Where to serve; a projector serves its health and metrics.
    #[arg(long, default_value = "127.0.0.1:8080")]
    listen: SocketAddr,
}

/// Does what the arguments say.
pub async fn run(arguments: Arguments) -> Result<ExitCode> {
    let format = match arguments.log_format {
        LogFormat::Pretty => Format::Pretty,
        LogFormat::Json => Format::Json,
    };
    let _telemetry = telemetry::init(format, arguments.command.part());
    match arguments.command {
        Command::Up(args) => up::run(args).await?,
        Command::WriteApi(args) => serve(Part::WriteApi, args).await?,
        Command::ReadApi(args) => serve(Part::ReadApi, args).await?,
        Command::Projector(args) => serve(Part::Projector, args).await?,
        Command::Migrate { connections } => {
            let progress = Spinners::default();
            progress.started("Migrating");
            migrate::migrate(&connections).await?;
            progress.finished("Migrating");
        }
        Command::Account {
            data_dir,
            key_provider,
            command,
        } => {
            let connections = running_connections(&data_dir, key_provider)?;
            let secrets = Secrets::open(&connections).await?;
            let commands = write_side::open(&connections, &secrets).await?;
            let said = account::run(&commands, &secrets.api_keys, command).await?;
            writeln!(std::io::stdout(), "{said}")?;
        }
        Command::Demo(args) => {
            if !demo::run(args).await? {
                return Ok(ExitCode::FAILURE);
            }
        }
        Command::ClickhouseServer(args) => engines::clickhouse::serve(args).await?,
    }
    Ok(ExitCode::SUCCESS)
}

async fn serve(part: Part, args: PartArgs) -> Result<()> {
    part::run(part, args.connections, args.tuning, args.listen).await
}

fn running_connections(
    data_dir: &std::path::Path,
    key_provider: KeyProviderArgs,
) -> Result<Connections> {
    match Running::read(data_dir)? {
        Some(running) => running.connections(data_dir, key_provider),
        None => Connections::from_env(data_dir, key_provider)?.with_context(|| {
            format!("no platform runs in {}, and DATABASE_URL, REDIS_URL and CLICKHOUSE_URL are not all set", data_dir.display())
        }),
    }
}
