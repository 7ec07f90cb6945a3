//! ClickHouse: each position of the telemetry log once, and the roll-up of what stands there.

use std::collections::HashMap;

use anyhow::{Context as _, Result};
use chrono::{DateTime, Utc};
use clickhouse::{Client, Row};
use serde::Deserialize;
use uuid::Uuid;

use crate::Verify;
use crate::clickhouse::client;
use crate::progress::{Intent, Progress, Standing, shard};
use crate::report::{Check, Report};
use crate::telemetry::{Observed, TelemetryLog};

const NAME: &str = "telemetry_facts";

#[derive(Debug, Row, Deserialize)]
struct Fact {
    position: u64,
    #[serde(with = "clickhouse::serde::uuid")]
    account_id: Uuid,
    #[serde(with = "clickhouse::serde::uuid")]
    site_id: Uuid,
    #[serde(with = "clickhouse::serde::uuid")]
    notification_id: Uuid,
    #[serde(with = "clickhouse::serde::uuid")]
    event_id: Uuid,
    kind: String,
    page: String,
    #[serde(with = "clickhouse::serde::chrono::datetime64::micros")]
    occurred_at: DateTime<Utc>,
    #[serde(with = "clickhouse::serde::chrono::datetime64::micros")]
    received_at: DateTime<Utc>,
}

/// Events of one notification, kind and hour.
#[derive(Row, Deserialize)]
struct Hourly {
    #[serde(with = "clickhouse::serde::uuid")]
    account_id: Uuid,
    #[serde(with = "clickhouse::serde::uuid")]
    site_id: Uuid,
    #[serde(with = "clickhouse::serde::uuid")]
    notification_id: Uuid,
    kind: String,
    hour: i64,
    events: u64,
}

type HourKey = (Uuid, Uuid, Uuid, String, i64);

pub(crate) async fn check(
    verify: &Verify,
    progress: &Progress,
    log: &TelemetryLog,
    report: &mut Report,
) -> Result<()> {
    let client = client(&verify.clickhouse_url, &verify.clickhouse_database)?;
    let mut rows = Check::new(
        "13",
        "ClickHouse has each position of the telemetry log once",
    );
    let mut rolled = Check::new("13", "ClickHouse's roll-up is the sum of its rows");
    for (version, standing) in progress.versions(NAME) {
        let intents: Vec<&Intent> = progress
            .intents
            .iter()
            .filter(|intent| (&*intent.name, intent.version) == (NAME, version))
            .collect();
        let suffix = suffix(version);
        let hours = facts(&client, &suffix, standing, &intents, log, &mut rows).await?;
        rollup(&client, &suffix, hours, &mut rolled).await?;
    }
    report.add(rows);
    report.add(rolled);
    Ok(())
}

/// Version 1 has the tables' bare names.
fn suffix(version: i32) -> String {
    if version == 1 {
        String::new()
    } else {
        format!("_v{version}")
    }
}

/// Compares row by row, and adds up per hour what stands there.
async fn facts(
    client: &Client,
    suffix: &str,
    standing: &Standing,
    intents: &[&Intent],
    log: &TelemetryLog,
    check: &mut Check,
) -> Result<HashMap<HourKey, u64>> {
    let query = format!(
        "select position, account_id, site_id, notification_id, event_id, toString(kind) as kind, page, occurred_at,
                received_at
         from telemetry{suffix} order by position"
    );
    let mut cursor = client
        .query(&query)
        .fetch::<Fact>()
        .context("read the facts")?;
    let mut times = vec![0u32; log.events.len()];
    let mut hours = HashMap::new();
    while let Some(fact) = cursor.next().await.context("read the facts")? {
        let hour = fact.occurred_at.timestamp().div_euclid(3600) * 3600;
        let key = (
            fact.account_id,
            fact.site_id,
            fact.notification_id,
            fact.kind.clone(),
            hour,
        );
        *hours.entry(key).or_default() += 1;
        let index = log
            .events
            .binary_search_by_key(&fact.position.cast_signed(), |event| event.position);
        let Ok(index) = index else {
            check.expect(false, || {
                format!("position {} is not in the log", fact.position)
            });
            continue;
        };
        times[index] += 1;
        check.expect(equals(&fact, &log.events[index]), || {
            format!("position {} differs from the log: {fact:?}", fact.position)
        });
    }
    for (event, times) in log.events.iter().zip(times) {
        let position = event.position;
        let written = position <= standing.checkpoint(event.bucket);
        // What was about to be written when the process ended may stand there or not, but once.
        let intended = intents.iter().any(|intent| {
            (intent.position_from + 1..=intent.position_to).contains(&position)
                && (standing.checkpoints.len() == 1 || intent.shard == shard(event.bucket))
        });
        let right = times == u32::from(written) || (intended && times == 1);
        check.expect(right, || {
            let must = u32::from(written);
            format!("position {position} stands there {times} times and must {must} times")
        });
    }
    Ok(hours)
}

async fn rollup(
    client: &Client,
    suffix: &str,
    mut expected: HashMap<HourKey, u64>,
    check: &mut Check,
) -> Result<()> {
    let query = format!(
        "select account_id, site_id, notification_id, toString(kind) as kind,
                toInt64(toUnixTimestamp(hour)) as hour, sum(events) as events
         from telemetry_hourly{suffix} group by account_id, site_id, notification_id, kind, hour"
    );
    let rows = client
        .query(&query)
        .fetch_all::<Hourly>()
        .await
        .context("read the roll-up")?;
    for row in rows {
        let key = (
            row.account_id,
            row.site_id,
            row.notification_id,
            row.kind,
            row.hour,
        );
        let counted = expected.remove(&key).unwrap_or(0);
        check.expect(row.events == counted, || {
            format!("{key:?} is {} and must be {counted}", row.events)
        });
    }
    for (key, counted) in expected {
        check.expect(false, || {
            format!("{key:?} is missing and must be {counted}")
        });
    }
    Ok(())
}

fn equals(fact: &Fact, event: &Observed) -> bool {
    (
        fact.account_id,
        fact.site_id,
        fact.notification_id,
        fact.event_id,
    ) == (
        event.tenant,
        event.owner,
        event.notification,
        event.event_id,
    ) && (&fact.kind, &fact.page) == (&event.kind, &event.page)
        && (fact.occurred_at, fact.received_at) == (event.occurred_at, event.received_at)
}
