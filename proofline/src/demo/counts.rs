//! What is there, asked of the engines themselves and of nobody in between.

use std::collections::BTreeMap;
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use clickhouse::Client;
use redis::AsyncCommands as _;
use serde_json::Value;
use sqlx::{Connection as _, PgConnection};

use super::client::Api;
use super::plan::{Expected, Plan, Traffic};
use super::report::Report;
use super::traffic::Sent;
use super::{CAUGHT_UP_WITHIN, Setup, set_up_events};
use crate::config::Connections;

const KINDS: [&str; 4] = ["impression", "click", "dismissal", "conversion"];

/// Waits until every projection has caught up and compares the log, Postgres, Redis and ClickHouse with the plan.
pub(super) async fn compare(
    connections: &Connections,
    setup: &Setup,
    plan: &Plan,
    traffic: &Traffic,
    sent: &Sent,
    report: &mut Report,
) -> Result<()> {
    let mut postgres = PgConnection::connect(&connections.database_url).await?;
    caught_up(&mut postgres).await?;
    log(&mut postgres, plan, report).await?;
    telemetry_log(&mut postgres, traffic, sent, report).await?;
    read_models(&mut postgres, plan, report).await?;
    keys(connections, plan, report).await?;
    redis(connections, setup, traffic, sent, report).await?;
    clickhouse(connections, setup, traffic, sent, report).await
}

async fn caught_up(postgres: &mut PgConnection) -> Result<()> {
    let deadline = Instant::now() + CAUGHT_UP_WITHIN;
    loop {
        let behind: Vec<String> = sqlx::query_scalar(
            "select distinct name from es.projections where checkpoint < case
               when name in ('telemetry_counters', 'telemetry_facts') then (select coalesce(max(position), 0) from es.telemetry)
               else (select coalesce(max(position), 0) from es.events) end",
        )
        .fetch_all(&mut *postgres)
        .await?;
        if behind.is_empty() {
            return Ok(());
        }
        ensure!(
            Instant::now() < deadline,
            "still behind after {CAUGHT_UP_WITHIN:?}: {behind:?}"
        );
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}

async fn log(postgres: &mut PgConnection, plan: &Plan, report: &mut Report) -> Result<()> {
    let rows: Vec<(String, i64)> =
        sqlx::query_as("select event_type, count(*) from es.events group by 1")
            .fetch_all(&mut *postgres)
            .await?;
    let actual: BTreeMap<String, i64> = rows.into_iter().collect();
    let mut expected: BTreeMap<&str, u64> = set_up_events().into();
    expected.insert("activity.recorded", plan.count(Expected::Recorded));
    expected.insert("activity.withdrawn", plan.count(Expected::Withdrawn));
    for (event_type, number) in &expected {
        let found = actual.get(*event_type).copied().unwrap_or(0);
        report.count(format!("log: {event_type}"), *number, u64::try_from(found)?);
    }
    let (count, last): (i64, i64) =
        sqlx::query_as("select count(*), coalesce(max(position), 0) from es.events")
            .fetch_one(postgres)
            .await?;
    report.count(
        "log: all events",
        expected.values().sum(),
        u64::try_from(count)?,
    );
    report.count(
        "log: last position",
        expected.values().sum(),
        u64::try_from(last)?,
    );
    Ok(())
}

async fn telemetry_log(
    postgres: &mut PgConnection,
    traffic: &Traffic,
    sent: &Sent,
    report: &mut Report,
) -> Result<()> {
    report.count(
        "telemetry: answered as accepted",
        traffic.accepted_total(),
        sent.accepted,
    );
    report.count(
        "telemetry: answered as duplicate",
        traffic.duplicates,
        sent.duplicates,
    );
    report.count(
        "telemetry: answered as refused",
        traffic.refused,
        sent.refused,
    );
    let rows: Vec<(String, i64)> =
        sqlx::query_as("select kind, count(*) from es.telemetry group by 1")
            .fetch_all(postgres)
            .await?;
    for kind in KINDS {
        let found = rows
            .iter()
            .find(|(name, _)| name == kind)
            .map_or(0, |(_, count)| *count);
        report.count(
            format!("telemetry log: {kind}"),
            of_kind(traffic, kind),
            u64::try_from(found)?,
        );
    }
    Ok(())
}

async fn read_models(postgres: &mut PgConnection, plan: &Plan, report: &mut Report) -> Result<()> {
    for (what, query, expected) in [
        ("sites", "select count(*) from rm_site_list_v1.site", 1),
        (
            "integrations",
            "select count(*) from rm_integration_list_v1.integration",
            1,
        ),
        (
            "notifications, published",
            "select count(*) from rm_notification_list_v1.notification where status = 'published'",
            2,
        ),
        (
            "notifications, archived",
            "select count(*) from rm_notification_list_v1.notification where status = 'archived'",
            1,
        ),
        (
            "orders to show",
            "select count(*) from rm_proof_feed_v1.proof where kind = 'order'",
            plan.shown(),
        ),
    ] {
        let found: i64 = sqlx::query_scalar(query).fetch_one(&mut *postgres).await?;
        report.count(format!("Postgres: {what}"), expected, u64::try_from(found)?);
    }
    Ok(())
}

/// Every recorded buyer, and the integration's secret, indexed.
async fn keys(connections: &Connections, plan: &Plan, report: &mut Report) -> Result<()> {
    let mut keys = PgConnection::connect(&connections.keys_url()?).await?;
    let expected = plan.count(Expected::Recorded) + 1;
    for (what, query) in [
        (
            "subjects with personal data",
            "select count(distinct subject_id) from keys.subject_events",
        ),
        (
            "positions with personal data",
            "select count(*) from keys.subject_events",
        ),
    ] {
        let found: i64 = sqlx::query_scalar(query).fetch_one(&mut keys).await?;
        report.count(format!("keys: {what}"), expected, u64::try_from(found)?);
    }
    Ok(())
}

async fn redis(
    connections: &Connections,
    setup: &Setup,
    traffic: &Traffic,
    sent: &Sent,
    report: &mut Report,
) -> Result<()> {
    let client = redis::Client::open(&*connections.redis_url)?;
    let mut redis = client.get_multiplexed_async_connection().await?;
    let pattern = format!("*telemetry_counters*:site:{}:*", setup.site_id);
    let keys: Vec<String> = redis.keys(pattern).await?;
    let (mut totals, mut hours) = (BTreeMap::<String, u64>::new(), 0);
    for key in &keys {
        let fields: BTreeMap<String, u64> = redis.hgetall(key).await?;
        if key.ends_with(":total") {
            totals.extend(fields);
        } else {
            hours += fields.values().sum::<u64>();
        }
    }
    for ((notification, kind), expected) in &traffic.accepted {
        let field = format!("{}:{kind}", setup.published[*notification]);
        let found = totals.get(&field).copied().unwrap_or(0);
        report.count(
            format!("Redis: notification {} {kind}", notification + 1),
            *expected,
            found,
        );
    }
    report.count("Redis: all hours", sent.hours.values().sum(), hours);
    Ok(())
}

async fn clickhouse(
    connections: &Connections,
    setup: &Setup,
    traffic: &Traffic,
    sent: &Sent,
    report: &mut Report,
) -> Result<()> {
    let client = connections
        .clickhouse()?
        .with_database(&connections.clickhouse_database);
    for ((notification, kind), expected) in &traffic.accepted {
        let query = client
            .query("select count() from telemetry where notification_id = toUUID(?) and kind = ?")
            .bind(&setup.published[*notification])
            .bind(*kind);
        report.count(
            format!("ClickHouse: notification {} {kind}", notification + 1),
            *expected,
            query.fetch_one().await?,
        );
    }
    let hours = distinct_hours(&client, setup, sent).await?;
    report.count(
        "ClickHouse: hours that agree",
        sent.hours.len() as u64,
        hours,
    );
    let positions: u64 = client
        .query("select uniqExact(position) from telemetry")
        .fetch_one()
        .await?;
    report.count(
        "ClickHouse: distinct positions",
        traffic.accepted_total(),
        positions,
    );
    Ok(())
}

/// How many of the hours, notifications and kinds that were sent have exactly their count in the roll-up.
async fn distinct_hours(client: &Client, setup: &Setup, sent: &Sent) -> Result<u64> {
    let mut agreeing = 0;
    for ((hour, notification, kind), expected) in &sent.hours {
        let found: u64 = client
            .query(
                "select sum(events) from telemetry_hourly
                 where hour = fromUnixTimestamp(?) and notification_id = toUUID(?) and kind = ?",
            )
            .bind(*hour)
            .bind(&setup.published[*notification])
            .bind(*kind)
            .fetch_one()
            .await?;
        agreeing += u64::from(found == *expected);
    }
    Ok(agreeing)
}

/// What the read API serves of it, at the position of the last acknowledged event.
pub(super) async fn compare_served(
    api: &Api,
    setup: &Setup,
    traffic: &Traffic,
    sent: &Sent,
    report: &mut Report,
) -> Result<()> {
    let path = format!("/v1/sites/{}/analytics", setup.site_id);
    let response = api
        .read(&path, Some(&sent.position))
        .await?
        .error_for_status()?;
    let analytics: Value = response.json().await?;
    for kind in KINDS {
        let found = analytics["totals"][kind]
            .as_u64()
            .with_context(|| format!("no {kind} in {analytics}"))?;
        report.count(format!("read API: {kind}"), of_kind(traffic, kind), found);
    }
    Ok(())
}

fn of_kind(traffic: &Traffic, kind: &str) -> u64 {
    traffic
        .accepted
        .iter()
        .filter(|((_, of), _)| *of == kind)
        .map(|(_, count)| count)
        .sum()
}
