//! What a process that writes looks after beside its requests.

use std::convert::Infallible;
use std::future;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use chrono::TimeDelta;
use commands::Commands;
use event_store::seal::{Anchor, Sealer, erase_again};
use event_store::vault::{FORGOTTEN_WITHIN, SubjectEvents, Vault};
use event_store::{EventLog, Role, TelemetryLog, Upkeep, connect};
use projections::{Positions, Progress};
use read_api::ReadConfig;
use replay_tools::backup::Backups;
use replay_tools::subject::{Erasures, Outside};

use crate::config::{Connections, Tuning};
use crate::webhook::Webhook;

const UPKEEP_CONNECTIONS: u32 = 1;
const SEALER_CONNECTIONS: u32 = 2;
/// One is kept while somebody is told of a note.
const WEBHOOK_CONNECTIONS: u32 = 2;
const ERASURE_CONNECTIONS: u32 = 2;

/// Room in the logs, accesses that were noted long ago, erasures, seals, whoever is told of them, and backups. Any number of
/// processes may.
pub struct Chores {
    upkeep: Upkeep,
    sealer: Arc<Sealer>,
    erasures: Erasures,
    backups: Option<(Backups, TimeDelta)>,
    webhook: Option<Webhook>,
}

/// Refuses to go on with keys of people who were erased after those keys were backed up: erases them again.
pub(crate) async fn erase_those_who_came_back(
    connections: &Connections,
    vault: &Vault,
) -> Result<()> {
    let anchor = Anchor::open(&connections.anchor()).await?;
    let pool = connect(&connections.database_url, Role::Sealer, 1)?;
    let returned = erase_again(&pool, &anchor, vault).await;
    returned.context(
        "the keys may be older than an erasure, and nothing is served before that is known",
    )?;
    Ok(())
}

impl Chores {
    pub(crate) async fn open(
        connections: &Connections,
        tuning: &Tuning,
        vault: Vault,
        commands: &Commands,
    ) -> Result<Self> {
        let url = &connections.database_url;
        let anchor = Anchor::open(&connections.anchor()).await?;
        let upkeep = connect(url, Role::Writer, UPKEEP_CONNECTIONS)?;
        let sealer = connect(url, Role::Sealer, SEALER_CONNECTIONS)?;
        let projector = connect(url, Role::Projector, ERASURE_CONNECTIONS)?;
        let keys = connect(&connections.keys_url()?, Role::Vault, ERASURE_CONNECTIONS)?;
        let log = EventLog::open(projector.clone()).await?;
        let telemetry = TelemetryLog::open(projector.clone()).await?;
        let sealer = Arc::new(Sealer::new(sealer, vault.clone(), vec![anchor.clone()]));
        let erasures = Erasures {
            commands: commands.clone(),
            vault: vault.clone(),
            index: SubjectEvents::new(keys),
            positions: Positions::new(
                projector.clone(),
                log.clone(),
                telemetry,
                Progress::default(),
            ),
            log,
            projector,
            sealer: sealer.clone(),
            anchors: vec![anchor],
            outside: Outside {
                max_age_s: ReadConfig::default().feed_max_age_s,
            },
            settled_after: FORGOTTEN_WITHIN,
        };
        let backups = match tuning.backup_every_hours {
            Some(hours) => {
                let backups = Backups {
                    source: connections.backed_up()?,
                    places: connections.places().await?,
                    retention: tuning.backup_retention,
                };
                Some((backups, TimeDelta::hours(hours.into())))
            }
            None => None,
        };
        let told = connect(url, Role::Sealer, WEBHOOK_CONNECTIONS)?;
        Ok(Self {
            backups,
            webhook: Webhook::open(&tuning.webhook, told).await?,
            upkeep: Upkeep::new(upkeep, vault).keeping_accesses(tuning.audit_retention_days),
            sealer,
            erasures,
        })
    }

    /// Those who carry people's requests out.
    pub fn erasures(&self) -> &Erasures {
        &self.erasures
    }

    pub(crate) async fn run(&self) -> Infallible {
        let backups = async {
            match &self.backups {
                Some((backups, every)) => backups.run(*every).await,
                None => future::pending().await,
            }
        };
        let webhook = async {
            match &self.webhook {
                Some(webhook) => webhook.run().await,
                None => future::pending().await,
            }
        };
        let (never, ..) = tokio::join!(
            self.upkeep.run(),
            self.sealer.run(),
            self.erasures.run(),
            backups,
            webhook
        );
        never
    }
}
