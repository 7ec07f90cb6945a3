//! What a process that writes looks after beside its requests.

use std::convert::Infallible;

use anyhow::Result;
use event_store::seal::{Anchor, Sealer};
use event_store::{Role, Upkeep, connect};

use crate::config::Connections;
use crate::secrets::Secrets;
use crate::write_side;

const UPKEEP_CONNECTIONS: u32 = 1;
const SEALER_CONNECTIONS: u32 = 2;

/// Room in the logs, erasures that were cut short, and seals. Any number of processes may.
pub(crate) struct Chores {
    upkeep: Upkeep,
    sealer: Sealer,
}

impl Chores {
    pub(crate) async fn open(connections: &Connections, secrets: &Secrets) -> Result<Self> {
        let url = &connections.database_url;
        let vault = write_side::vault(connections, secrets).await?;
        let anchor = Anchor::folder(&connections.anchor())?;
        let upkeep = connect(url, Role::Writer, UPKEEP_CONNECTIONS)?;
        let sealer = connect(url, Role::Sealer, SEALER_CONNECTIONS)?;
        Ok(Self {
            upkeep: Upkeep::new(upkeep, vault.clone()),
            sealer: Sealer::new(sealer, vault, vec![anchor]),
        })
    }

    pub(crate) async fn run(&self) -> Infallible {
        let (never, _) = tokio::join!(self.upkeep.run(), self.sealer.run());
        never
    }
}
