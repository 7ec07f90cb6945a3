//! Read models: each version of each in a schema of its own, so that two versions can stand side by side.

use sqlx::{PgPool, Postgres, Transaction};

use crate::MigrationError;

/// Divides what is run before the rows of a new version are loaded from what is run after.
const AFTER_ROWS: &str = "-- After the rows are loaded:";

/// A read model: its tables, indexes, policies and functions, as DDL that is run inside a version's schema.
#[derive(Debug)]
struct ReadModel {
    /// Stored; never rename.
    name: &'static str,
    ddl: &'static str,
}

/// Every read model that this build serves.
const READ_MODELS: &[ReadModel] = &[
    ReadModel {
        name: "site_list",
        ddl: include_str!("../read_models/site_list.sql"),
    },
    ReadModel {
        name: "notification_list",
        ddl: include_str!("../read_models/notification_list.sql"),
    },
    ReadModel {
        name: "integration_list",
        ddl: include_str!("../read_models/integration_list.sql"),
    },
    ReadModel {
        name: "proof_feed",
        ddl: include_str!("../read_models/proof_feed.sql"),
    },
    ReadModel {
        name: "subject_list",
        ddl: include_str!("../read_models/subject_list.sql"),
    },
];

/// Writes down how versions are made, and makes the served one of each where it does not stand.
#[expect(
    clippy::disallowed_methods,
    reason = "whoever is cut off here ends, and the pool with them"
)]
pub(crate) async fn ensure(pool: &PgPool) -> Result<(), MigrationError> {
    for model in READ_MODELS {
        let failed = |source| MigrationError::ReadModel {
            name: model.name,
            source,
        };
        let mut tx = pool.begin().await.map_err(failed)?;
        model.ensure(&mut tx).await.map_err(failed)?;
        tx.commit().await.map_err(failed)?;
    }
    Ok(())
}

impl ReadModel {
    async fn ensure(&self, tx: &mut Transaction<'_, Postgres>) -> sqlx::Result<()> {
        // Held to the commit: several processes may start at once.
        sqlx::query("select pg_advisory_xact_lock(20261121, 3)")
            .execute(&mut **tx)
            .await?;
        let (tables, rest) = self.ddl.split_once(AFTER_ROWS).unwrap_or((self.ddl, ""));
        sqlx::query(
            "insert into es.read_models (name, tables, rest) values ($1, $2, $3)
             on conflict (name) do update set tables = excluded.tables, rest = excluded.rest",
        )
        .bind(self.name)
        .bind(tables)
        // Cut within a comment.
        .bind(format!("--{rest}"))
        .execute(&mut **tx)
        .await?;
        let served: i32 = sqlx::query_scalar(
            "insert into es.active_view (name, version) values ($1, 1)
             on conflict (name) do update set name = excluded.name returning version",
        )
        .bind(self.name)
        .fetch_one(&mut **tx)
        .await?;
        let schema = format!("rm_{}_v{served}", self.name);
        let stands: bool =
            sqlx::query_scalar("select exists (select from pg_namespace where nspname = $1)")
                .bind(&schema)
                .fetch_one(&mut **tx)
                .await?;
        if !stands {
            sqlx::raw_sql(&self.create(&schema))
                .execute(&mut **tx)
                .await?;
        }
        Ok(())
    }

    /// The names are constants of this file, so there is nothing to quote.
    fn create(&self, schema: &str) -> String {
        format!(
            "create schema {schema};
             set local search_path = {schema}, pg_temp;
             {ddl}
             grant usage on schema {schema} to proofline_projector, proofline_reader;
             grant select, insert, update, delete, truncate on all tables in schema {schema} to proofline_projector;
             grant select on all tables in schema {schema} to proofline_reader;
             set local search_path to default;
             select es.protect_read_model('{schema}');",
            ddl = self.ddl
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_read_model_says_what_comes_after_its_rows() {
        for model in READ_MODELS {
            let (tables, rest) = model.ddl.split_once(AFTER_ROWS).expect(model.name);
            assert!(tables.contains("create table"), "{}", model.name);
            assert!(!tables.contains("index") && !tables.contains("primary key"));
            assert!(rest.contains("enable row level security"), "{}", model.name);
        }
    }
}
