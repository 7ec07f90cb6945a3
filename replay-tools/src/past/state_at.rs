//! `replay state-at`.

use std::io::Write;

use anyhow::Result;
use clap::Args;
use serde_json::json;

use super::mask::mask;
use super::moment::{MomentArgs, resolve};
use super::stream::{Folded, Target};

#[derive(Debug, Args)]
pub(crate) struct StateAtArgs {
    #[command(flatten)]
    target: Target,
    #[command(flatten)]
    moment: MomentArgs,
    /// One JSON document instead of words.
    #[arg(long)]
    json: bool,
}

pub(crate) async fn run(
    args: &StateAtArgs,
    database_url: &str,
    out: &mut (dyn Write + Send),
) -> Result<()> {
    let log = super::open(database_url).await?;
    let position = resolve(&log, args.moment.moment()).await?;
    let folded = args.target.fold(&log, position).await?;
    if args.json {
        let document = json!({
            "aggregate": args.target.aggregate,
            "id": args.target.id,
            "account": folded.account,
            "position": position,
            "version": folded.version,
            "changed_position": folded.changed.map(|changed| changed.position),
            "changed_at": folded.changed.map(|changed| changed.at),
            "state": mask(&serde_json::to_value(&folded.state)?),
        });
        writeln!(out, "{document:#}")?;
        return Ok(());
    }
    show(&args.target, position, &folded, out)
}

fn show(
    target: &Target,
    position: i64,
    folded: &Folded,
    out: &mut (dyn Write + Send),
) -> Result<()> {
    writeln!(
        out,
        "{} {} of account {}, as of position {position}",
        target.aggregate, target.id, folded.account
    )?;
    match folded.changed {
        None => writeln!(out, "It was not there yet.")?,
        Some(changed) => writeln!(
            out,
            "Version {}, since position {} at {}",
            folded.version, changed.position, changed.at
        )?,
    }
    let facts = folded.state.facts();
    let width = facts.iter().map(|fact| fact.name.len()).max().unwrap_or(0);
    for fact in facts {
        writeln!(out, "    {:<width$}  {}", fact.name, fact.value)?;
    }
    Ok(())
}
