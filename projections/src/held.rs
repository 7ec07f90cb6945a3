//! What the read models hold about a person: every row of every table that names them, found by looking at all of it.

use std::time::{Duration, Instant};

use serde_json::Value;
use sqlx::PgConnection;
use uuid::Uuid;

use crate::read::{ReadError, ReadTx};

/// The rows of one table.
#[derive(Clone, Debug, PartialEq)]
pub struct Held {
    /// With its schema, which names read model and version.
    pub table: String,
    /// As they stand, personal data sealed.
    pub rows: Vec<Value>,
}

/// The rows that name one of these, in whatever column, of every table that the transaction sees: those of its account for
/// a reader, all for a projector. A table that is added later is looked at too. All of it may take so long; where the process is
/// gone, the database notices.
pub async fn held_about(
    tx: &mut ReadTx,
    subjects: &[Uuid],
    within: Duration,
) -> Result<Vec<Held>, ReadError> {
    let failed = |table: &str, source| ReadError::Held {
        table: table.to_owned(),
        source,
    };
    let ends = Instant::now() + within;
    let tx = tx.connection();
    let tables = readable(tx).await;
    let ids: Vec<String> = subjects.iter().map(Uuid::to_string).collect();
    let mut held = Vec::new();
    for table in tables.map_err(|source| failed("pg_class", source))? {
        // Quoted by Postgres, and from its own catalogue.
        let query = format!(
            "select to_json(t) from {table} t
             where exists (select from unnest($1::text[]) id where position(id in to_json(t)::text) > 0)"
        );
        let rows = async {
            end_by(&mut *tx, ends).await?;
            let rows = sqlx::query_scalar(&query).bind(&ids);
            rows.fetch_all(&mut *tx).await
        };
        let rows: Vec<Value> = rows.await.map_err(|source| failed(&table, source))?;
        if !rows.is_empty() {
            held.push(Held { table, rows });
        }
    }
    Ok(held)
}

/// Every table of read models that the transaction may read.
async fn readable(tx: &mut PgConnection) -> Result<Vec<String>, sqlx::Error> {
    sqlx::query_scalar!(
        r#"select format('%I.%I', n.nspname, c.relname) as "table!"
           from pg_class c join pg_namespace n on n.oid = c.relnamespace
           where n.nspname like 'rm\_%' and c.relkind in ('r', 'p') and has_table_privilege(c.oid, 'select')
           order by 1"#
    )
    .fetch_all(tx)
    .await
}

/// Has the next statement end by then.
async fn end_by(tx: &mut PgConnection, ends: Instant) -> Result<(), sqlx::Error> {
    let left = ends.saturating_duration_since(Instant::now()).as_millis();
    sqlx::query!(
        "select set_config('statement_timeout', $1, true) as statement_timeout,
                set_config('client_connection_check_interval', '10s', true) as check_interval",
        // None would be no limit.
        format!("{}ms", left.max(1))
    )
    .fetch_one(tx)
    .await
    .map(drop)
}
