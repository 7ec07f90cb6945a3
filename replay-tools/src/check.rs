//! `replay check`: whether this build can take every event of the log.

use std::io::Write;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use clap::Args;
use event_store::{EventLog, Role, connect};
use projections::rebuild::{Broken, Tracker, Verdict, try_out};
use serde_json::{Value, json};

use crate::rebuild::{Memory, bar};
use crate::told::told;

#[derive(Debug, Args)]
pub(crate) struct CheckArgs {
    #[command(flatten)]
    memory: Memory,
    /// How many broken events are told one by one; all are counted.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u16).range(1..=10_000))]
    list: u16,
    /// One JSON document instead of text.
    #[arg(long)]
    json: bool,
}

pub(crate) async fn run(
    args: &CheckArgs,
    database_url: &str,
    out: &mut (dyn Write + Send),
) -> Result<()> {
    let pool = connect(database_url, Role::Projector, 2).context("this is no Postgres URL")?;
    let log = EventLog::open(pool).await?;
    let (tracker, began) = (Tracker::default(), Instant::now());
    let bar = bar::show(tracker.watch());
    let verdict = try_out(&log, args.memory.bytes(), args.list.into(), &tracker).await;
    drop(tracker);
    bar.await.context("the progress bar failed")?;
    let (verdict, took) = (verdict?, began.elapsed());
    if args.json {
        writeln!(out, "{:#}", document(&verdict, took))?;
    } else {
        show(&verdict, took, out)?;
    }
    match verdict.broken_count {
        0 => Ok(()),
        1 => bail!("1 event breaks in this build"),
        count => bail!("{count} events break in this build"),
    }
}

fn show(verdict: &Verdict, took: Duration, out: &mut (dyn Write + Send)) -> Result<()> {
    writeln!(
        out,
        "tried      {} events in {:.1} s, {:.0} events/s",
        verdict.head,
        took.as_secs_f64(),
        rate(verdict, took)
    )?;
    for broken in &verdict.broken {
        let Broken {
            position,
            event_type,
            event_version,
            stream,
            why,
            ..
        } = broken;
        writeln!(
            out,
            "BREAKS     position {position}, {event_type} version {event_version} of {} {}: it {}",
            stream.aggregate_type,
            stream.aggregate_id,
            told(why)
        )?;
    }
    let unlisted = verdict.broken_count - verdict.broken.len() as u64;
    if unlisted > 0 {
        writeln!(out, "           and {unlisted} more")?;
    }
    if verdict.behind_count > 0 {
        writeln!(
            out,
            "behind     {} events come after one that breaks, in the same stream: they decode, and nothing else was tried",
            verdict.behind_count
        )?;
    }
    if verdict.broken_count == 0 {
        writeln!(
            out,
            "whole      every event decodes, applies to its aggregate and folds into every read model"
        )?;
    }
    Ok(())
}

fn document(verdict: &Verdict, took: Duration) -> Value {
    let broken = verdict.broken.iter().map(|broken| {
        json!({
            "position": broken.position,
            "event_id": broken.event_id,
            "event_type": broken.event_type,
            "event_version": broken.event_version,
            "aggregate": broken.stream.aggregate_type,
            "id": broken.stream.aggregate_id,
            "why": told(&broken.why),
        })
    });
    json!({
        "events": verdict.head,
        "seconds": took.as_secs_f64(),
        "events_per_second": rate(verdict, took),
        "broken": broken.collect::<Vec<_>>(),
        "broken_count": verdict.broken_count,
        "behind_count": verdict.behind_count,
    })
}

fn rate(verdict: &Verdict, took: Duration) -> f64 {
    verdict.head as f64 / took.as_secs_f64().max(f64::EPSILON)
}
