use chrono::{DateTime, Utc};
use cqrs_es::Aggregate as _;
use domain::Event;
use domain::data_subject::{Access, DataSubject, DataSubjectEvent, Erasure};
use serde::Serialize;
use sqlx::PgConnection;
use uuid::Uuid;

use super::MODEL;
use crate::fold::{ProjectError, Rows, Stored, none_standing, standing, to_micros};
use crate::projection::Projection;
use crate::sink::{CopyRows, PgProjector, column};

/// Projects into table `subject`.
pub struct SubjectList;

/// A row of table `subject`.
#[derive(Serialize)]
pub struct Row {
    subject_id: Uuid,
    account_id: Uuid,
    /// JSON.
    record: String,
    due_at: Option<DateTime<Utc>>,
    erasure: String,
    held: bool,
    erasure_requested_by: Option<Uuid>,
    erasure_requested_for: Option<Uuid>,
    certificate: Option<String>,
    version: i64,
    position: i64,
    registered_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
}

impl Rows for SubjectList {
    const PROJECTION: Projection = MODEL;

    type Event = DataSubjectEvent;
    type Row = Row;

    fn own(event: Event) -> Option<DataSubjectEvent> {
        match event {
            Event::DataSubject(event) => Some(event),
            Event::Account(_)
            | Event::Site(_)
            | Event::Notification(_)
            | Event::Integration(_)
            | Event::Activity(_) => None,
        }
    }

    fn apply(
        row: Option<Row>,
        event: DataSubjectEvent,
        Stored { key, recorded }: Stored<'_>,
    ) -> Result<Option<Row>, ProjectError> {
        let at = to_micros(event.at());
        let (row, mut record) = match &event {
            DataSubjectEvent::Registered { .. } => {
                none_standing(row)?;
                let new = Row {
                    subject_id: key,
                    account_id: recorded.tenant,
                    record: String::new(),
                    due_at: None,
                    erasure: String::new(),
                    held: false,
                    erasure_requested_by: None,
                    erasure_requested_for: None,
                    certificate: None,
                    version: 0,
                    position: recorded.position,
                    registered_at: at,
                    updated_at: at,
                };
                (new, DataSubject::default())
            }
            _ => {
                let row = standing(row)?;
                let record = serde_json::from_str(&row.record).map_err(ProjectError::Record)?;
                (row, record)
            }
        };
        let (requested_by, requested_for) = match &event {
            DataSubjectEvent::ErasureRequested { .. } => {
                (Some(recorded.event_id), Some(recorded.correlation_id))
            }
            DataSubjectEvent::ErasureWithdrawn { .. } => (None, None),
            _ => (row.erasure_requested_by, row.erasure_requested_for),
        };
        let certificate = match &event {
            DataSubjectEvent::ErasureCertified { certificate, .. } => Some(certificate.clone()),
            _ => row.certificate,
        };
        record.apply(event);
        Ok(Some(Row {
            record: serde_json::to_string(&record).map_err(ProjectError::Record)?,
            due_at: due_at(&record).map(to_micros),
            erasure: erasure(&record).to_owned(),
            held: record.legal_hold().is_some(),
            erasure_requested_by: requested_by,
            erasure_requested_for: requested_for,
            certificate,
            version: recorded.sequence,
            updated_at: at,
            ..row
        }))
    }

    fn key(row: &Row) -> Uuid {
        row.subject_id
    }

    fn heap_bytes(row: &Row) -> usize {
        row.record.capacity()
            + row.erasure.capacity()
            + row.certificate.as_ref().map_or(0, String::capacity)
    }
}

/// By when the first of the open requests has to be answered.
fn due_at(record: &DataSubject) -> Option<DateTime<Utc>> {
    let erasure = match record.erasure() {
        Erasure::Requested { due_at } | Erasure::Erased { due_at, .. } => Some(due_at),
        Erasure::NotRequested | Erasure::Certified { .. } => None,
    };
    let access = match (record.access(), record.erasure()) {
        // Nothing is left to hand out.
        (_, Erasure::Erased { .. } | Erasure::Certified { .. }) => None,
        (Access::Requested { due_at }, _) => Some(due_at),
        (Access::NotRequested | Access::Fulfilled { .. }, _) => None,
    };
    erasure.into_iter().chain(access).min()
}

/// Stored names.
fn erasure(record: &DataSubject) -> &'static str {
    match record.erasure() {
        Erasure::NotRequested => "none",
        Erasure::Requested { .. } => "requested",
        Erasure::Erased { .. } => "erased",
        Erasure::Certified { .. } => "certified",
    }
}

impl PgProjector for SubjectList {
    async fn load(tx: &mut PgConnection, keys: &[Uuid]) -> sqlx::Result<Vec<Row>> {
        sqlx::query_as!(
            Row,
            r#"select subject_id, account_id, record::text as "record!", due_at, erasure, held, erasure_requested_by,
                      erasure_requested_for, certificate, version, position, registered_at, updated_at
               from subject where subject_id = any($1)"#,
            keys
        )
        .fetch_all(tx)
        .await
    }

    async fn store(tx: &mut PgConnection, rows: &[Row]) -> sqlx::Result<()> {
        sqlx::query_file!(
            "sql/store_subjects.sql",
            &column(rows, |row| row.subject_id),
            &column(rows, |row| row.account_id),
            &column(rows, |row| &*row.record) as _,
            &column(rows, |row| row.due_at) as _,
            &column(rows, |row| &*row.erasure) as _,
            &column(rows, |row| row.held),
            &column(rows, |row| row.erasure_requested_by) as _,
            &column(rows, |row| row.erasure_requested_for) as _,
            &column(rows, |row| row.certificate.as_deref()) as _,
            &column(rows, |row| row.version),
            &column(rows, |row| row.position),
            &column(rows, |row| row.registered_at),
            &column(rows, |row| row.updated_at)
        )
        .execute(tx)
        .await?;
        Ok(())
    }

    async fn remove(tx: &mut PgConnection, keys: &[Uuid]) -> sqlx::Result<()> {
        sqlx::query!("delete from subject where subject_id = any($1)", keys)
            .execute(tx)
            .await?;
        Ok(())
    }

    const COPY: &'static str = "copy subject (subject_id, account_id, record, due_at, erasure, held, erasure_requested_by, \
         erasure_requested_for, certificate, version, position, registered_at, updated_at) from stdin (format binary)";

    fn copy(row: &Row, out: &mut CopyRows) {
        out.row(13)
            .uuid(row.subject_id)
            .uuid(row.account_id)
            .text(&row.record)
            .or_null(row.due_at, CopyRows::time)
            .text(&row.erasure)
            .bool(row.held)
            .or_null(row.erasure_requested_by, CopyRows::uuid)
            .or_null(row.erasure_requested_for, CopyRows::uuid)
            .text_or_null(row.certificate.as_deref())
            .i64(row.version)
            .i64(row.position)
            .time(row.registered_at)
            .time(row.updated_at);
    }
}
