//! What the read models hold about a person: every row of every table that names them, found by looking at all of it.

use std::collections::BTreeMap;

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
/// a reader, all for a projector. A table that is added later is looked at too.
pub async fn held_about(tx: &mut ReadTx, subjects: &[Uuid]) -> Result<Vec<Held>, ReadError> {
    rows_about(tx.connection(), subjects)
        .await
        .map_err(ReadError::Held)
}

async fn rows_about(tx: &mut PgConnection, subjects: &[Uuid]) -> Result<Vec<Held>, sqlx::Error> {
    let tables = sqlx::query_scalar!(
        r#"select format('%I.%I', n.nspname, c.relname) as "table!"
           from pg_class c join pg_namespace n on n.oid = c.relnamespace
           where n.nspname like 'rm\_%' and c.relkind in ('r', 'p') and has_table_privilege(c.oid, 'select')
           order by 1"#
    )
    .fetch_all(&mut *tx)
    .await?;
    let ids: Vec<String> = subjects.iter().map(Uuid::to_string).collect();
    let mut held = BTreeMap::<String, Vec<Value>>::new();
    for table in tables {
        // Quoted by Postgres, and from its own catalogue.
        let query = format!(
            "select to_json(t) from {table} t
             where exists (select from unnest($1::text[]) id where position(id in to_json(t)::text) > 0)"
        );
        let rows: Vec<Value> = sqlx::query_scalar(&query)
            .bind(&ids)
            .fetch_all(&mut *tx)
            .await?;
        if !rows.is_empty() {
            held.insert(table, rows);
        }
    }
    let held = held.into_iter();
    Ok(held.map(|(table, rows)| Held { table, rows }).collect())
}
