//! The tables of a projection in ClickHouse, as the migrations have left them, for versions after the first: written down
//! in Postgres for whoever builds such a version.

use sqlx::PgPool;

use crate::MigrationError;

/// Stored; never rename.
const NAME: &str = "telemetry_facts";
/// Each table with its statement, in which `{v}` stands for what distinguishes the names of a version's tables: nothing
/// for the first, `_v<N>` later.
const TABLES: &[(&str, &str)] = &[
    ("telemetry{v}", include_str!("../facts/telemetry.sql")),
    (
        "telemetry_hourly{v}",
        include_str!("../facts/telemetry_hourly.sql"),
    ),
    (
        "telemetry_hourly_view{v}",
        include_str!("../facts/telemetry_hourly_view.sql"),
    ),
];

pub(crate) async fn ensure(pool: &PgPool) -> Result<(), MigrationError> {
    let failed = |source| MigrationError::Facts { name: NAME, source };
    for ((table, statement), ordinal) in TABLES.iter().zip(0i16..) {
        sqlx::query(
            "insert into es.fact_tables (name, ordinal, table_name, statement) values ($1, $2, $3, $4)
             on conflict (name, ordinal) do update
             set table_name = excluded.table_name, statement = excluded.statement",
        )
        .bind(NAME)
        .bind(ordinal)
        .bind(table)
        .bind(statement)
        .execute(pool)
        .await
        .map_err(failed)?;
    }
    Ok(())
}
