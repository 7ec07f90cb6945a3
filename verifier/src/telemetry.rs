//! The telemetry log by itself.

use std::collections::HashMap;

use anyhow::{Context as _, Result};
use chrono::{DateTime, Utc};
use serde::Deserialize;
use sqlx::PgConnection;
use uuid::Uuid;

use crate::log::bucket;
use crate::report::{Check, Report};

const READ_AT_ONCE: i64 = 50_000;

/// An event of the telemetry log.
pub(crate) struct Observed {
    pub(crate) position: i64,
    pub(crate) tenant: Uuid,
    pub(crate) owner: Uuid,
    pub(crate) bucket: u16,
    pub(crate) event_id: Uuid,
    pub(crate) kind: String,
    pub(crate) occurred_at: DateTime<Utc>,
    pub(crate) received_at: DateTime<Utc>,
    pub(crate) notification: Uuid,
    pub(crate) page: String,
}

pub(crate) struct TelemetryLog {
    pub(crate) incarnation: Uuid,
    /// In order of positions.
    pub(crate) events: Vec<Observed>,
    /// Position by event id and owner.
    pub(crate) ids: HashMap<(Uuid, Uuid), i64>,
}

impl TelemetryLog {
    pub(crate) fn head(&self) -> i64 {
        self.events.last().map_or(0, |event| event.position)
    }
}

#[derive(sqlx::FromRow)]
struct Row {
    position: i64,
    tenant_id: Uuid,
    owner_id: Uuid,
    bucket: i16,
    event_id: Uuid,
    kind: String,
    occurred_at: DateTime<Utc>,
    received_at: DateTime<Utc>,
    payload: String,
}

#[derive(Deserialize)]
struct Payload {
    notification_id: Uuid,
    #[serde(default)]
    page: String,
}

pub(crate) async fn read(postgres: &mut PgConnection, report: &mut Report) -> Result<TelemetryLog> {
    let incarnation = sqlx::query_scalar("select incarnation from es.log where name = 'telemetry'")
        .fetch_one(&mut *postgres)
        .await
        .context("read es.log")?;
    let mut log = TelemetryLog {
        incarnation,
        events: Vec::new(),
        ids: HashMap::new(),
    };
    let mut positions = Check::new("1", "positions of the telemetry log are exactly 1..N");
    let mut ids = Check::new("7", "a telemetry event of an owner is counted once");
    let mut clock = Check::new("1", "received_at never steps back");
    let mut buckets = Check::new("15", "telemetry's bucket is the hash of its owner");
    let mut after = 0;
    loop {
        let rows: Vec<Row> = sqlx::query_as(
            "select position, tenant_id, owner_id, bucket, event_id, kind, occurred_at, received_at,
                    payload::text as payload
             from es.telemetry where position > $1 order by position limit $2",
        )
        .bind(after)
        .bind(READ_AT_ONCE)
        .fetch_all(&mut *postgres)
        .await
        .context("read es.telemetry")?;
        let Some(last) = rows.last() else { break };
        after = last.position;
        for row in rows {
            let position = row.position;
            let expected = log.head() + 1;
            positions.expect(position == expected, || {
                format!("position {expected} was expected, {position} stands there")
            });
            let before = log.events.last().map(|event| event.received_at);
            clock.expect(before <= Some(row.received_at), || {
                format!("position {position} was received before the one in front of it")
            });
            let other = log.ids.insert((row.event_id, row.owner_id), position);
            ids.expect(other.is_none(), || {
                format!(
                    "event {} stands at positions {other:?} and {position}",
                    row.event_id
                )
            });
            let hashed = bucket(row.owner_id);
            buckets.expect(u16::try_from(row.bucket) == Ok(hashed), || {
                format!(
                    "position {position} has bucket {}, not {hashed}",
                    row.bucket
                )
            });
            let payload: Payload = serde_json::from_str(&row.payload)
                .with_context(|| format!("the payload at position {position}"))?;
            log.events.push(Observed {
                position,
                tenant: row.tenant_id,
                owner: row.owner_id,
                bucket: hashed,
                event_id: row.event_id,
                kind: row.kind,
                occurred_at: row.occurred_at,
                received_at: row.received_at,
                notification: payload.notification_id,
                page: payload.page,
            });
        }
    }
    for check in [positions, ids, clock, buckets] {
        report.add(check);
    }
    Ok(log)
}
