//! Long logs in short time: rows that are what the lane would have written, by statements over many.

use std::str::FromStr as _;
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use chrono::TimeDelta;
use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions as _, Connection as _, Executor as _, PgConnection};
use uuid::Uuid;

use crate::ours;

/// Events in one transaction.
const CHUNK: i64 = 1_000_000;
/// Every stream has so many.
const EVENTS_PER_STREAM: i64 = 5;

/// Fills the empty domain log of a migrated database. Indexes that keep random places in order are built at the end, which
/// is quicker and leaves them denser than growing would.
pub(crate) async fn domain_log(url: &str, events: i64) -> Result<()> {
    let began = Instant::now();
    let streams = events / EVENTS_PER_STREAM;
    let indexes = Indexes::drop_from(url).await?;
    // Slow statements are what is wanted here, and not worth a warning.
    let options = PgConnectOptions::from_str(url)?.disable_statement_logging();
    let (mut for_events, mut for_streams) = (options.connect().await?, options.connect().await?);
    tokio::try_join!(
        fill_events(&mut for_events, events, streams),
        fill_streams(&mut for_streams, events, streams)
    )?;
    indexes.create(&mut for_events).await?;
    for_events.execute("vacuum analyze es.events").await?;
    for_events.execute("vacuum analyze es.streams").await?;
    for_events.execute("checkpoint").await?;
    check(&mut for_events, events).await?;
    tracing::info!(events, seconds = began.elapsed().as_secs(), "filled a log");
    Ok(())
}

async fn fill_events(connection: &mut PgConnection, events: i64, streams: i64) -> Result<()> {
    let tenant = Uuid::from_u128(1);
    let event = ours::drafted(tenant.into())?;
    let recorded_at = platform::clock::now() - TimeDelta::microseconds(events);
    for from in (1..=events).step_by(usize::try_from(CHUNK)?) {
        sqlx::query(include_str!("fill_events.sql"))
            .bind(from)
            .bind((from + CHUNK - 1).min(events))
            .bind(streams)
            .bind(tenant)
            .bind(&event.event_type)
            .bind(&event.event_version)
            .bind(&event.payload)
            .bind(ours::metadata())
            .bind(recorded_at)
            .execute(&mut *connection)
            .await
            .context("could not fill es.events")?;
    }
    Ok(())
}

async fn fill_streams(connection: &mut PgConnection, events: i64, streams: i64) -> Result<()> {
    sqlx::query(include_str!("fill_streams.sql"))
        .bind(streams)
        .bind(events)
        .bind(Uuid::from_u128(1))
        .execute(connection)
        .await
        .context("could not fill es.streams")?;
    Ok(())
}

/// That the log is one the lane goes on with, and that heads and events agree.
async fn check(connection: &mut PgConnection, events: i64) -> Result<()> {
    let (count, head): (i64, i64) = sqlx::query_as("select count(*), max(position) from es.events")
        .fetch_one(&mut *connection)
        .await?;
    ensure!(
        (count, head) == (events, events),
        "the filled log has {count} events up to {head}"
    );
    let wrong: i64 = sqlx::query_scalar(
        "select count(*) from (select * from es.streams limit 1000) s
         where s.version <> (select max(e.sequence) from es.events e
                             where e.aggregate_type = s.aggregate_type and e.aggregate_id = s.aggregate_id)
            or s.last_position <> (select max(e.position) from es.events e
                                   where e.aggregate_type = s.aggregate_type and e.aggregate_id = s.aggregate_id)
            or s.first_position <> (select min(e.position) from es.events e
                                    where e.aggregate_type = s.aggregate_type and e.aggregate_id = s.aggregate_id)",
    )
    .fetch_one(connection)
    .await?;
    ensure!(
        wrong == 0,
        "{wrong} heads of streams do not agree with their events"
    );
    Ok(())
}

/// The definitions of what was dropped, to be made again.
struct Indexes(Vec<String>);

impl Indexes {
    async fn drop_from(url: &str) -> Result<Self> {
        let mut connection = PgConnection::connect(url).await?;
        let found: Vec<(String, String)> = sqlx::query_as(
            "select pg_get_indexdef(i.indexrelid), format('drop index %s', i.indexrelid::regclass)
             from pg_index i
             where not i.indisprimary and i.indrelid in (select inhrelid from pg_inherits where inhparent = 'es.events'::regclass)
               and not exists (select from pg_inherits where inhrelid = i.indexrelid)
             union all
             select replace(pg_get_indexdef(i.indexrelid), ' ON ONLY ', ' ON '), format('drop index %s', i.indexrelid::regclass)
             from pg_index i where not i.indisprimary and i.indrelid = 'es.events'::regclass
             union all
             select format('alter table %s add constraint %I %s', conrelid::regclass, conname, pg_get_constraintdef(oid)),
                    format('alter table %s drop constraint %I', conrelid::regclass, conname)
             from pg_constraint where conrelid = 'es.streams'::regclass and contype = 'p'",
        )
        .fetch_all(&mut connection)
        .await?;
        let (definitions, drops): (Vec<_>, Vec<_>) = found.into_iter().unzip();
        for drop in drops {
            connection.execute(&*drop).await?;
        }
        Ok(Self(definitions))
    }

    async fn create(self, connection: &mut PgConnection) -> Result<()> {
        connection
            .execute("set maintenance_work_mem = '1GB'")
            .await?;
        for definition in self.0 {
            connection
                .execute(&*definition)
                .await
                .with_context(|| format!("could not {definition}"))?;
        }
        Ok(())
    }
}
