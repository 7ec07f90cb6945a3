//! The parts of the platform, put together in one process.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use axum::Router;
use axum::extract::Request;
use axum::http::Method;
use axum::middleware::{self, Next};
use commands::Commands;
use event_store::vault::{SubjectEvents, Vault};
use event_store::{AccessLog, EventLog, LogName, Role, connect};
use platform::serve::{self, Ops, Tls};
use projections::{ProjectionState, Projections, Reads, Wake};
use read_api::ReadState;
use replay_tools::subject::{ExportState, Exports};
use sqlx::PgPool;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use utoipa_axum::router::OpenApiRouter;
use write_api::WriteState;

use crate::chores::{Chores, erase_those_who_came_back};
use crate::config::{Connections, Tuning};
use crate::secrets::Secrets;
use crate::write_side;

const PROJECTOR_CONNECTIONS: u32 = 12;
const READER_CONNECTIONS: u32 = 10;
/// People look back now and then.
const COMPLIANCE_CONNECTIONS: u32 = 3;
const KEY_CONNECTIONS: u32 = 2;
/// Somebody asks now and then.
const EXPORT_CONNECTIONS: u32 = 1;
/// For requests in flight when the process is told to stop; streams end at once.
const GRACE: Duration = Duration::from_secs(2);
/// For a batch that a projector has begun, and for giving its leases back.
const PROJECTORS_GRACE: Duration = Duration::from_secs(3);

/// What a process runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    All,
    WriteApi,
    ReadApi,
    Projector,
}

/// A process of the platform, ready to serve.
pub struct App {
    part: Part,
    commands: Option<Commands>,
    chores: Option<Arc<Chores>>,
    projections: Option<Projections>,
    router: Router,
    tls: Option<Tls>,
}

impl App {
    /// Opens what the part needs. Postgres must serve, and be migrated; the other engines need not.
    pub async fn open(part: Part, connections: &Connections, tuning: &Tuning) -> Result<Self> {
        let secrets = Secrets::open(connections).await?;
        let vault = write_side::vault(connections, &secrets).await?;
        erase_those_who_came_back(connections, &vault).await?;
        let commands = match part {
            Part::All | Part::WriteApi => {
                let vault = vault.clone();
                Some(write_side::open_with(connections, &secrets, vault).await?)
            }
            Part::ReadApi | Part::Projector => None,
        };
        let chores = match &commands {
            Some(commands) => Some(Arc::new(
                Chores::open(connections, tuning, vault.clone(), commands).await?,
            )),
            None => None,
        };
        let projections = match part {
            Part::All | Part::ReadApi | Part::Projector => {
                Some(open_projections(connections, vault.clone()).await?)
            }
            Part::WriteApi => None,
        };
        let mut routes = OpenApiRouter::new();
        if let Some(commands) = &commands {
            let keys = write_api::ApiKeys::new(commands.accounts.clone(), secrets.api_keys.clone());
            let impressions = secrets.impressions.clone();
            let state = WriteState::new(
                commands.clone(),
                Arc::new(keys),
                impressions,
                secrets.exports.clone(),
                tuning.write(connections.region.as_ref())?,
            );
            routes = routes.merge(write_api::router(state));
        }
        if let Some(projections) = &projections
            && part != Part::Projector
        {
            let reads = projections.reads();
            let keys = read_api::ApiKeys::new(reads.clone(), secrets.api_keys.clone());
            let impressions = secrets.impressions.clone();
            let state = ReadState::new(reads, Arc::new(keys), impressions, tuning.read());
            routes = routes.merge(read_api::router(state));
            let state = exports(connections, &secrets, vault, projections).await?;
            routes = routes.merge(replay_tools::subject::router(state));
        }
        let (mut router, openapi) = routes.split_for_parts();
        if let (Part::All, Some(projections)) = (part, &projections) {
            router = router.layer(middleware::from_fn_with_state(projections.wake(), ring));
        }
        let ops = readiness(
            Ops::new(openapi),
            connections,
            projections.as_ref().map(Projections::reads),
        )?
        .trusted_proxies(tuning.trusted_proxies);
        Ok(Self {
            part,
            commands,
            chores,
            projections,
            router: serve::finish(router, ops),
            tls: tuning.tls()?.map(Tls::load).transpose()?,
        })
    }

    /// The write side, where this part has it.
    pub fn commands(&self) -> Option<&Commands> {
        self.commands.as_ref()
    }

    /// What is looked after beside requests, where this part does.
    pub fn chores(&self) -> Option<&Arc<Chores>> {
        self.chores.as_ref()
    }

    /// The projections, where this part has them.
    pub fn projections(&self) -> Option<&Projections> {
        self.projections.as_ref()
    }

    /// Serves on the listener, and runs the projectors where this part does, until shutdown. What was acknowledged is
    /// durable; what a projector had begun is finished or begun again at the next start.
    pub async fn serve(self, listener: TcpListener, shutdown: CancellationToken) -> Result<()> {
        let projecting = CancellationToken::new();
        let mut tasks = tokio::task::JoinSet::new();
        if let Some(chores) = self.chores {
            let until = projecting.clone();
            tasks.spawn(async move {
                until.run_until_cancelled(chores.run()).await;
            });
        }
        if let Some(projections) = &self.projections {
            if matches!(self.part, Part::All | Part::Projector) {
                let projectors = projections.spawn_all(&projecting);
                // Why one stopped is in the log by then.
                tasks.spawn(async move { drop(projectors.await) });
            }
            if matches!(self.part, Part::All | Part::ReadApi) {
                let (projections, projecting) = (projections.clone(), projecting.clone());
                tasks.spawn(async move { drop(projections.run_tail(projecting).await) });
            }
        }
        let served = serve::serve(listener, self.tls, self.router, shutdown, GRACE)
            .await
            .context("could not serve");
        projecting.cancel();
        let ended = tokio::time::timeout(PROJECTORS_GRACE, async {
            while tasks.join_next().await.is_some() {}
        });
        if ended.await.is_err() {
            tracing::warn!(
                "a projector did not end in time; it goes on from its checkpoint at the next start"
            );
        }
        served
    }

    /// Serves without projectors, for whoever drives them by [`Projections::catch_up_all`].
    pub async fn serve_only(
        self,
        listener: TcpListener,
        shutdown: CancellationToken,
    ) -> Result<()> {
        serve::serve(listener, self.tls, self.router, shutdown, GRACE)
            .await
            .context("could not serve")
    }
}

/// What is held about people, for those who were given a link.
async fn exports(
    connections: &Connections,
    secrets: &Secrets,
    vault: Vault,
    projections: &Projections,
) -> Result<ExportState> {
    let url = &connections.database_url;
    let keys = connect(&connections.keys_url()?, Role::Vault, EXPORT_CONNECTIONS)?;
    let projector = connect(url, Role::Projector, EXPORT_CONNECTIONS)?;
    let exports = Exports {
        reader: connect(url, Role::Reader, EXPORT_CONNECTIONS)?,
        positions: projections.reads().positions().clone(),
        vault,
        index: SubjectEvents::new(keys),
        log: EventLog::open(projector).await?,
        accesses: AccessLog::new(connect(url, Role::Compliance, EXPORT_CONNECTIONS)?),
        // Nobody waits for the answer any longer.
        searched_within: serve::REQUEST_TIMEOUT_DEFAULT,
    };
    Ok(ExportState::new(exports, secrets.exports.clone()))
}

async fn open_projections(connections: &Connections, vault: Vault) -> Result<Projections> {
    let url = &connections.database_url;
    let config = projections::Config {
        projector: connect(url, Role::Projector, PROJECTOR_CONNECTIONS).context("DATABASE_URL")?,
        reader: connect(url, Role::Reader, READER_CONNECTIONS)?,
        compliance: connect(url, Role::Compliance, COMPLIANCE_CONNECTIONS)?,
        keys: connect(&connections.keys_url()?, Role::Vault, KEY_CONNECTIONS)
            .context("KEYS_DATABASE_URL")?,
        vault,
        redis_url: connections.redis_url.clone(),
        redis_prefix: connections.redis_prefix.clone(),
        clickhouse: connections.clickhouse()?,
        clickhouse_database: connections.clickhouse_database.clone(),
        worker: connections.worker.clone(),
        lease: projections::LEASE,
    };
    Projections::open(config)
        .await
        .context("could not open the projections; was the database migrated?")
}

/// Without Postgres and the keys nothing can be acknowledged or shown. Redis and ClickHouse are not asked: without them
/// commands go on and their projections lag, which the metrics tell.
fn readiness(ops: Ops, connections: &Connections, reads: Option<Reads>) -> Result<Ops> {
    let store = connect(&connections.database_url, Role::Reader, 1)?;
    let keys = connect(&connections.keys_url()?, Role::Vault, 1)?;
    let ops = ops
        .ready("event-store", move || answers(store.clone()))
        .ready("subject-keys", move || answers(keys.clone()));
    Ok(match reads {
        Some(reads) => ops.ready("projections", move || none_stopped(reads.clone())),
        None => ops,
    })
}

async fn answers(pool: PgPool) -> Result<(), String> {
    sqlx::query("select 1")
        .execute(&pool)
        .await
        .map(drop)
        .map_err(|error| error.to_string())
}

async fn none_stopped(reads: Reads) -> Result<(), String> {
    let all = reads
        .positions()
        .status()
        .await
        .map_err(|error| error.to_string())?;
    let stopped: Vec<_> = all
        .iter()
        .filter(|one| one.state == ProjectionState::Stopped)
        .map(|one| &*one.name)
        .collect();
    if stopped.is_empty() {
        Ok(())
    } else {
        Err(format!("stopped: {}", stopped.join(", ")))
    }
}

/// Tells the projectors of this process that there may be something new; they would find out by themselves a little
/// later.
async fn ring(
    axum::extract::State(wake): axum::extract::State<Wake>,
    request: Request,
    next: Next,
) -> axum::response::Response {
    let reads = matches!(
        *request.method(),
        Method::GET | Method::HEAD | Method::OPTIONS
    );
    let response = next.run(request).await;
    if !reads && response.status().is_success() {
        wake.ring(LogName::Events);
        wake.ring(LogName::Telemetry);
    }
    response
}
