//! `replay diff`.

use std::io::Write;

use anyhow::{Result, ensure};
use clap::Args;
use domain::changed_facts;
use serde_json::{Value, json};

use super::changes::changes;
use super::moment::{Moment, resolve};
use super::stream::{Folded, Target};

const NOTHING: &str = "nothing";

#[derive(Debug, Args)]
pub(crate) struct DiffArgs {
    #[command(flatten)]
    target: Target,
    /// A position, 0 being before the first event, or a time such as 2026-11-21T12:00:00Z.
    #[arg(long)]
    from: Moment,
    /// A later position or time; by default now.
    #[arg(long)]
    to: Option<Moment>,
    /// One JSON document instead of words.
    #[arg(long)]
    json: bool,
}

pub(crate) async fn run(
    args: &DiffArgs,
    database_url: &str,
    out: &mut (dyn Write + Send),
) -> Result<()> {
    let log = super::open(database_url).await?;
    let to = resolve(&log, args.to).await?;
    let from = resolve(&log, Some(args.from)).await?;
    ensure!(
        from <= to,
        "{} is after {}",
        args.from,
        args.to.unwrap_or(Moment::Position(to))
    );
    let before = args.target.fold(&log, from).await?;
    let after = args.target.fold(&log, to).await?;
    if args.json {
        let document = document(args, (from, &before), (to, &after))?;
        writeln!(out, "{document:#}")?;
        return Ok(());
    }
    let Target { aggregate, id } = &args.target;
    writeln!(
        out,
        "{aggregate} {id}, from version {} at position {from} to version {} at position {to}",
        before.version, after.version
    )?;
    let changed = changed_facts(before.state.facts(), after.state.facts());
    let width = changed.iter().map(|fact| fact.name.len()).max();
    let width = width.unwrap_or(0);
    for fact in &changed {
        writeln!(
            out,
            "    {:<width$}  {} -> {}",
            fact.name,
            fact.before.as_deref().unwrap_or(NOTHING),
            fact.after.as_deref().unwrap_or(NOTHING)
        )?;
    }
    if changed.is_empty() {
        writeln!(out, "    Nothing changed.")?;
    }
    Ok(())
}

fn document(
    args: &DiffArgs,
    (from, before): (i64, &Folded),
    (to, after): (i64, &Folded),
) -> Result<Value> {
    let changed = changes(
        &serde_json::to_value(&before.state)?,
        &serde_json::to_value(&after.state)?,
    );
    let changed = changed.into_iter().map(
        |change| json!({ "path": change.path, "before": change.before, "after": change.after }),
    );
    Ok(json!({
        "aggregate": args.target.aggregate,
        "id": args.target.id,
        "account": after.account,
        "from": { "position": from, "version": before.version },
        "to": { "position": to, "version": after.version },
        "changes": changed.collect::<Vec<_>>(),
    }))
}
