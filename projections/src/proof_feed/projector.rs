use chrono::{DateTime, Utc};
use domain::Event;
use domain::activity::ActivityEvent;
use serde::{Deserialize, Serialize, Serializer};
use serde_json::value::RawValue;
use sqlx::PgConnection;
use uuid::Uuid;

use super::MODEL;
use crate::fold::{ProjectError, Rows, Stored, none_standing, to_micros};
use crate::projection::Projection;
use crate::sink::{CopyRows, PgProjector, column};

/// Projects into table `proof`.
pub struct ProofFeed;

/// A row of table `proof`.
#[derive(Serialize)]
pub struct Row {
    activity_id: Uuid,
    account_id: Uuid,
    site_id: Uuid,
    kind: String,
    product: Option<String>,
    /// JSON, as text: on the way through `jsonb` it would be rewritten.
    #[serde(serialize_with = "as_json")]
    buyer: Option<String>,
    event_id: Uuid,
    version: i64,
    position: i64,
    occurred_at: DateTime<Utc>,
}

/// The buyer's envelope as it stands in the log: kept byte by byte, so that it opens as the event's own would.
#[derive(Deserialize)]
struct Payload<'a> {
    #[serde(borrow)]
    buyer: Option<&'a RawValue>,
}

/// A text that is JSON, as what it says.
fn as_json<S: Serializer>(text: &Option<String>, serializer: S) -> Result<S::Ok, S::Error> {
    let parsed = text.as_deref().map(serde_json::from_str::<&RawValue>);
    parsed
        .transpose()
        .map_err(serde::ser::Error::custom)?
        .serialize(serializer)
}

impl Rows for ProofFeed {
    const PROJECTION: Projection = MODEL;

    type Event = ActivityEvent;
    type Row = Row;

    fn own(event: Event) -> Option<ActivityEvent> {
        match event {
            Event::Activity(event) => Some(event),
            Event::Account(_)
            | Event::Site(_)
            | Event::Notification(_)
            | Event::Integration(_)
            | Event::DataSubject(_) => None,
        }
    }

    fn apply(
        row: Option<Row>,
        event: ActivityEvent,
        Stored { key, recorded }: Stored<'_>,
    ) -> Result<Option<Row>, ProjectError> {
        match event {
            ActivityEvent::Recorded {
                site_id,
                integration_id: _,
                external_id: _,
                kind,
                occurred_at,
                buyer: _, // as stored, below
                product,
                items_count: _,
                total: _,
                at: _,
            } => {
                none_standing(row)?;
                let payload: Payload<'_> =
                    serde_json::from_str(recorded.payload.get()).map_err(ProjectError::Payload)?;
                Ok(Some(Row {
                    activity_id: key,
                    account_id: recorded.tenant,
                    site_id: site_id.into(),
                    kind: kind.as_str().to_owned(),
                    product: product.map(|product| product.as_str().to_owned()),
                    buyer: payload.buyer.map(|buyer| buyer.get().to_owned()),
                    event_id: recorded.event_id,
                    version: recorded.sequence,
                    position: recorded.position,
                    occurred_at: to_micros(occurred_at),
                }))
            }
            // No row stands where the refund overtook its order.
            ActivityEvent::Withdrawn { .. } => Ok(None),
            // None stands either where it was withdrawn before.
            ActivityEvent::BuyerForgotten { .. } => Ok(row.map(|row| Row {
                buyer: None,
                version: recorded.sequence,
                ..row
            })),
        }
    }

    fn key(row: &Row) -> Uuid {
        row.activity_id
    }

    fn heap_bytes(row: &Row) -> usize {
        row.kind.capacity()
            + row.product.as_ref().map_or(0, String::capacity)
            + row.buyer.as_ref().map_or(0, String::capacity)
    }
}

impl PgProjector for ProofFeed {
    async fn load(tx: &mut PgConnection, keys: &[Uuid]) -> sqlx::Result<Vec<Row>> {
        sqlx::query_as!(
            Row,
            "select activity_id, account_id, site_id, kind, product, buyer::text, event_id, version, position,
                    occurred_at
             from proof where activity_id = any($1)",
            keys
        )
        .fetch_all(tx)
        .await
    }

    async fn store(tx: &mut PgConnection, rows: &[Row]) -> sqlx::Result<()> {
        sqlx::query_file!(
            "sql/store_proofs.sql",
            &column(rows, |row| row.activity_id),
            &column(rows, |row| row.account_id),
            &column(rows, |row| row.site_id),
            &column(rows, |row| &*row.kind) as _,
            &column(rows, |row| row.product.as_deref()) as _,
            &column(rows, |row| row.buyer.as_deref()) as _,
            &column(rows, |row| row.event_id),
            &column(rows, |row| row.version),
            &column(rows, |row| row.position),
            &column(rows, |row| row.occurred_at)
        )
        .execute(tx)
        .await?;
        Ok(())
    }

    async fn remove(tx: &mut PgConnection, keys: &[Uuid]) -> sqlx::Result<()> {
        sqlx::query!("delete from proof where activity_id = any($1)", keys)
            .execute(tx)
            .await?;
        Ok(())
    }

    const COPY: &'static str = "copy proof (activity_id, account_id, site_id, kind, product, buyer, event_id, version, \
         position, occurred_at) from stdin (format binary)";

    fn copy(row: &Row, out: &mut CopyRows) {
        out.row(10)
            .uuid(row.activity_id)
            .uuid(row.account_id)
            .uuid(row.site_id)
            .text(&row.kind)
            .text_or_null(row.product.as_deref())
            .text_or_null(row.buyer.as_deref())
            .uuid(row.event_id)
            .i64(row.version)
            .i64(row.position)
            .time(row.occurred_at);
    }
}
