//! Building read models anew from the log, beside raw COPY of what comes of it, and beside how fast the live ones follow
//! the same log.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use futures::TryStreamExt as _;
use projections::rebuild::{MEMORY_BYTES_MAX, Tracker, Waiting};
use projections::{Drivers, Projection, Projections};
use proofline::app::{App, Part};
use sqlx::{Connection as _, Executor as _, PgConnection};

use crate::history::History;
use crate::load::Measured;
use crate::ours;
use crate::report::Entry;

const RAW_COPY: &str = "raw COPY of its rows into the same table";
const LIVE: &str = "its live projector, all of them at once";

/// How often it is looked whether a live projector has reached the head.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// One read model for each kind of engine, the largest there is.
pub(crate) async fn measure(history: &History, rounds: u32) -> Result<Vec<Entry>> {
    let app = App::open(Part::Projector, &history.connections, &ours::tuning()).await?;
    let projections = app.projections().context("a projector has projections")?;
    let models = [
        ("rebuild.postgres", Projection::ProofFeed, history.events),
        (
            "rebuild.redis",
            Projection::TelemetryCounters,
            history.telemetry,
        ),
        (
            "rebuild.clickhouse",
            Projection::TelemetryFacts,
            history.telemetry,
        ),
    ];
    let followed = follow(projections, &history.connections.database_url, &models).await?;
    let mut entries = Vec::new();
    for ((name, projection, events), live) in models.into_iter().zip(followed) {
        tracing::info!(name, events, "rebuild");
        let (mut built, mut copied) = (Measured::default(), Measured::default());
        for _ in 0..rounds {
            if projection == Projection::ProofFeed {
                copied.add(copy(&history.connections.database_url).await?);
            }
            built.add(build(projections.drivers(), projection, events).await?);
        }
        if projection == Projection::ProofFeed {
            entries.push(Entry::rate(name, "events/s", &built, RAW_COPY, &copied));
        }
        entries.push(Entry::rate(name, "events/s", &built, LIVE, &live));
    }
    Ok(entries)
}

/// All live projectors at once, as a process runs them, from the logs' beginnings to their heads. Answers for each model how
/// fast its own was.
async fn follow(
    projections: &Projections,
    database_url: &str,
    models: &[(&str, Projection, u64)],
) -> Result<Vec<Measured>> {
    let mut connection = PgConnection::connect(database_url).await?;
    let mut reached: Vec<Option<Measured>> = models.iter().map(|_| None).collect();
    let began = Instant::now();
    let caught_up = projections.catch_up_all();
    tokio::pin!(caught_up);
    let mut done = false;
    while !done {
        tokio::select! {
            outcome = &mut caught_up => {
                outcome?;
                done = true;
            }
            () = tokio::time::sleep(LOOK_EVERY) => {}
        }
        for ((_, projection, events), reached) in models.iter().zip(&mut reached) {
            let checkpoint: Option<i64> =
                sqlx::query_scalar("select min(checkpoint) from es.projections where name = $1")
                    .bind(projection.name())
                    .fetch_one(&mut connection)
                    .await?;
            if reached.is_none() && checkpoint.is_some_and(|at| at.unsigned_abs() >= *events) {
                *reached = Some(Measured::bulk(*events, began.elapsed()));
            }
        }
    }
    reached
        .into_iter()
        .map(|reached| reached.context("a projector is not at the head"))
        .collect()
}

/// A version beside the live one: read, folded, loaded, indexed, caught up. It is compared with the live one afterwards,
/// and removed.
async fn build(drivers: &Drivers, projection: Projection, events: u64) -> Result<Measured> {
    let rebuild = drivers.rebuild(projection, Tracker::default()).await?;
    let began = Instant::now();
    let version = rebuild.build(Waiting::TakenOver, MEMORY_BYTES_MAX).await?;
    let took = began.elapsed();
    let compared = rebuild.compare(version).await?;
    ensure!(
        compared.difference.is_none(),
        "{} was not rebuilt equal: {:?}",
        projection.name(),
        compared.difference
    );
    rebuild.remove(version).await?;
    rebuild.end().await?;
    Ok(Measured::bulk(events, took))
}

/// The final rows into an empty table with the same indexes.
async fn copy(url: &str) -> Result<Measured> {
    let mut connection = PgConnection::connect(url).await?;
    let rows: Vec<_> = connection
        .copy_out_raw("copy rm_proof_feed_v1.proof to stdout (format binary)")
        .await?
        .try_collect()
        .await?;
    connection
        .execute("create table copied (like rm_proof_feed_v1.proof including all)")
        .await?;
    let began = Instant::now();
    let mut copy = connection
        .copy_in_raw("copy copied from stdin (format binary)")
        .await?;
    for chunk in rows {
        copy.send(chunk).await?;
    }
    let copied = copy.finish().await?;
    let took = began.elapsed();
    connection.execute("drop table copied").await?;
    Ok(Measured::bulk(copied, took))
}
