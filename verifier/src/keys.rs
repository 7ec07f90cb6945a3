//! The index of whose data stands at which position, in the key database.

use std::collections::BTreeSet;

use anyhow::{Context as _, Result};
use uuid::Uuid;

use crate::connect;
use crate::log::DomainLog;
use crate::progress::Progress;
use crate::report::{Check, Report};

pub(crate) async fn check(
    url: &str,
    progress: &Progress,
    log: &DomainLog,
    drained: bool,
    report: &mut Report,
) -> Result<()> {
    let mut keys = connect(url).await?;
    let checkpoint: Option<(Uuid, i64)> =
        sqlx::query_as("select incarnation, position from keys.subject_events_checkpoint")
            .fetch_optional(&mut keys)
            .await
            .context("read keys.subject_events_checkpoint")?;
    let mut check = Check::new("13", "keys.subject_events is what stands in the log");
    let stands = checkpoint.map_or(0, |(_, position)| position);
    check.expect(
        checkpoint.is_none_or(|(incarnation, _)| incarnation == log.incarnation),
        || "it stands in another incarnation".to_owned(),
    );
    check.expect(stands <= log.head(), || {
        format!("it stands at {stands}, beyond {}", log.head())
    });
    let found: BTreeSet<(Uuid, i64)> =
        sqlx::query_as("select subject_id, position from keys.subject_events")
            .fetch_all(&mut keys)
            .await
            .context("read keys.subject_events")?
            .into_iter()
            .collect();
    let expected: BTreeSet<(Uuid, i64)> = log
        .subjects
        .iter()
        .copied()
        .filter(|(_, position)| *position <= stands)
        .collect();
    for (subject, position) in expected.symmetric_difference(&found) {
        let missing = expected.contains(&(*subject, *position));
        check.expect(false, || {
            let what = if missing { "is missing" } else { "is too much" };
            format!("subject {subject} at position {position} {what}")
        });
    }
    check.asked += found.len() as u64;
    for (version, standing) in progress.versions("subject_events") {
        let mirrored = standing.lowest();
        check.expect(
            if drained {
                mirrored == stands
            } else {
                mirrored <= stands
            },
            || format!("version {version} is told to stand at {mirrored} and stands at {stands}"),
        );
    }
    report.add(check);
    Ok(())
}
