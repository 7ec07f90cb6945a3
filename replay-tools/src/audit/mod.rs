//! `replay audit`: what happened in an account, whether the log is what was signed for, and evidence for whoever has nothing
//! else.

mod bundle;
mod check;
mod export;
mod list;
mod rotate;
mod verify;

use std::io::Write;
use std::path::Path;

use anyhow::{Context as _, Result, bail};
use clap::{Args, Subcommand};
use domain::CaseReference;
use event_store::seal::{Anchor, PublicKey, Sealer};
use event_store::{AccessLog, Location, Role, connect};
use serde_json::{Value, json};
use sqlx::PgPool;

use crate::keys::KeyArgs;

/// For a transaction, and for what is noted beside it.
const CONNECTIONS: u32 = 2;

#[derive(Debug, Subcommand)]
pub(crate) enum AuditCommand {
    /// Tell what happened in an account, newest first: who did it, why, and what it changed
    List(list::ListArgs),
    /// Tell who opened personal data of an account, newest first
    Accesses(list::AccessesArgs),
    /// Compare every event with what was signed for
    Verify {
        #[command(flatten)]
        args: verify::VerifyArgs,
        #[command(flatten)]
        anchor: AnchorArgs,
    },
    /// Write events with proofs that they are in the log, for somebody who can't look at it
    Export {
        #[command(flatten)]
        args: export::ExportArgs,
        #[command(flatten)]
        keys: KeyArgs,
        #[command(flatten)]
        anchor: AnchorArgs,
    },
    /// Check what `export` wrote, with nothing else at hand
    VerifyBundle(check::CheckArgs),
    /// Introduce a new signing key
    RotateKey {
        #[command(flatten)]
        keys: KeyArgs,
        #[command(flatten)]
        anchor: AnchorArgs,
    },
}

#[derive(Debug, Args)]
pub(crate) struct AnchorArgs {
    /// Where signed heads are kept outside of the database, a folder or `s3://BUCKET/PREFIX`; by default that of the platform that
    /// runs here.
    #[arg(long, env = "PROOFLINE_ANCHOR", value_parser = Location::of_argument)]
    anchor: Option<Location>,
}

impl AnchorArgs {
    /// Never made here: what is not there holds nothing to compare with. `None` where there is none by default.
    pub(crate) async fn open(&self, data_dir: &Path) -> Result<Option<Anchor>> {
        let folder = data_dir.join("anchor");
        let Some(named) = &self.anchor else {
            return Ok(match folder.is_dir() {
                true => Some(Anchor::folder(&folder)?),
                false => None,
            });
        };
        if named.as_folder().is_some_and(|folder| !folder.is_dir()) {
            bail!("there is no anchor in {named}");
        }
        let anchor = Anchor::open(named).await?;
        // A folder without anything in it was made by a platform that has sealed nothing yet.
        if named.as_folder().is_none() && anchor.is_empty().await? {
            bail!("there is no anchor in {named}");
        }
        Ok(Some(anchor))
    }

    /// One that there has to be.
    pub(crate) async fn open_known(&self, data_dir: &Path) -> Result<Anchor> {
        let anchor = self.open(data_dir).await?;
        anchor.context("there is no anchor to ask: name it with --anchor")
    }
}

impl AuditCommand {
    /// Whether it works without a platform.
    pub(crate) fn is_offline(&self) -> bool {
        matches!(self, Self::VerifyBundle(_))
    }
}

pub(crate) async fn run(
    database_url: &str,
    data_dir: &Path,
    command: AuditCommand,
    out: &mut (dyn Write + Send),
) -> Result<()> {
    match command {
        AuditCommand::List(args) => list::list(args, &list::pool(database_url)?, out).await,
        AuditCommand::Accesses(args) => list::accesses(args, &list::pool(database_url)?, out).await,
        AuditCommand::Verify { args, anchor } => {
            let anchors = Vec::from_iter(anchor.open(data_dir).await?);
            verify::run(&args, &pool(database_url)?, &anchors, out).await
        }
        AuditCommand::Export { args, keys, anchor } => {
            let anchor = anchor.open_known(data_dir).await?;
            let sealer = sealer(database_url, data_dir, &keys, anchor).await?;
            let accesses = AccessLog::new(list::pool(database_url)?);
            export::run(&args, &pool(database_url)?, &sealer, &accesses, out).await
        }
        AuditCommand::VerifyBundle(args) => check::run(&args, out),
        AuditCommand::RotateKey { keys, anchor } => {
            let anchor = anchor.open_known(data_dir).await?;
            let sealer = sealer(database_url, data_dir, &keys, anchor).await?;
            rotate::run(&sealer, out).await
        }
    }
}

/// What is noted of an access, with the reason where one was given.
pub(crate) fn because(mut what: Value, reason: Option<&CaseReference>) -> Value {
    if let Some(reason) = reason {
        what["reason"] = json!(reason);
    }
    what
}

fn pool(database_url: &str) -> Result<PgPool> {
    connect(database_url, Role::Sealer, CONNECTIONS).context("DATABASE_URL is no Postgres URL")
}

/// Who can sign, and asks the anchor before. The platform anchors the heads that are signed here.
async fn sealer(
    database_url: &str,
    data_dir: &Path,
    keys: &KeyArgs,
    anchor: Anchor,
) -> Result<Sealer> {
    let keys = keys.open(database_url, data_dir).await?;
    Ok(Sealer::new(pool(database_url)?, keys.vault, vec![anchor]))
}

/// A key as `verify` and `rotate-key` print it.
fn public_key(text: &str) -> Result<PublicKey, String> {
    text.parse()
        .map_err(|_| "this is not a public key such as proofline.seal/1+1a2b3c4d+AQ…".to_owned())
}
