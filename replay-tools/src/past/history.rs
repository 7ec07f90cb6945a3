//! `replay history`.

use std::io::Write;

use anyhow::Result;
use clap::Args;
use event_store::RecordedEvent;
use serde_json::json;

use super::stream::{Next, Target, decode};

#[derive(Debug, Args)]
pub(crate) struct HistoryArgs {
    #[command(flatten)]
    target: Target,
    /// A JSON document a line instead of words.
    #[arg(long)]
    json: bool,
}

pub(crate) async fn run(
    args: &HistoryArgs,
    database_url: &str,
    out: &mut (dyn Write + Send),
) -> Result<()> {
    let log = super::open(database_url).await?;
    args.target
        .visit(&log, |event| {
            if args.json {
                tell_json(event, out)?;
            } else {
                tell(event, out)?;
            }
            Ok(Next::More)
        })
        .await
}

/// An event that this build can't read is told with the reason in place of a sentence.
fn tell(event: &RecordedEvent, out: &mut (dyn Write + Send)) -> Result<()> {
    let said = match decode(event) {
        Ok(decoded) => decoded.sentence(),
        Err(error) => format!("{}, of which this build says: {error:#}", event.event_type),
    };
    writeln!(
        out,
        "position {}, version {}, at {}, by {}, command {}\n    {said}",
        event.position, event.sequence, event.recorded_at, event.actor, event.command_id
    )?;
    Ok(())
}

fn tell_json(event: &RecordedEvent, out: &mut (dyn Write + Send)) -> Result<()> {
    let (sentence, error) = match decode(event) {
        Ok(decoded) => (Some(decoded.sentence()), None),
        Err(error) => (None, Some(format!("{error:#}"))),
    };
    let document = json!({
        "position": event.position,
        "sequence": event.sequence,
        "recorded_at": event.recorded_at,
        "actor": event.actor,
        "command_id": event.command_id,
        "correlation_id": event.correlation_id,
        "causation_id": event.causation_id,
        "event_id": event.event_id,
        "event_type": event.event_type,
        "event_version": event.event_version,
        "sentence": sentence,
        "error": error,
    });
    writeln!(out, "{document}")?;
    Ok(())
}
