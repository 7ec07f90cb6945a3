//! `replay project-at`.

use std::io::Write;

use anyhow::{Context as _, Result};
use clap::Args;
use projections::Projection;
use projections::past::rows_at;
use uuid::Uuid;

use super::mask::mask;
use super::moment::{MomentArgs, resolve};

#[derive(Debug, Args)]
pub(crate) struct ProjectAtArgs {
    /// site_list, notification_list, integration_list, proof_feed or subject_list.
    #[arg(value_parser = projection)]
    projection: Projection,
    #[arg(long)]
    account: Uuid,
    #[command(flatten)]
    moment: MomentArgs,
}

/// A row a line, as JSON, in the order in which they were made.
pub(crate) async fn run(
    args: &ProjectAtArgs,
    database_url: &str,
    out: &mut (dyn Write + Send),
) -> Result<()> {
    let log = super::open(database_url).await?;
    let position = resolve(&log, args.moment.moment()).await?;
    let rows = rows_at(&log, args.projection, args.account, position).await?;
    let rows = rows.with_context(|| {
        format!(
            "account {} has no event up to position {position}",
            args.account
        )
    })?;
    for row in rows {
        writeln!(out, "{}", mask(&row))?;
    }
    Ok(())
}

fn projection(name: &str) -> Result<Projection, String> {
    let known = Projection::parse(name).ok_or("this build has no such projection")?;
    match known {
        Projection::SiteList
        | Projection::NotificationList
        | Projection::IntegrationList
        | Projection::ProofFeed
        | Projection::SubjectList => Ok(known),
        Projection::TelemetryCounters | Projection::TelemetryFacts | Projection::SubjectEvents => {
            Err(format!(
                "the rows of {name} are not folded from domain events in Postgres"
            ))
        }
    }
}
