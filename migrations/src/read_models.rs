//! Read models: each version of each in a schema of its own, so that two versions can stand side by side.

use sqlx::PgPool;

use crate::MigrationError;

/// A version of a read model: its tables, policies and grants, as DDL that is run inside its schema.
#[derive(Debug)]
pub struct ReadModel {
    /// Stored; never rename.
    pub name: &'static str,
    pub version: i32,
    ddl: &'static str,
}

/// Every read model that this build serves.
pub const READ_MODELS: &[ReadModel] = &[
    ReadModel {
        name: "site_list",
        version: 1,
        ddl: include_str!("../read_models/site_list.sql"),
    },
    ReadModel {
        name: "notification_list",
        version: 1,
        ddl: include_str!("../read_models/notification_list.sql"),
    },
    ReadModel {
        name: "integration_list",
        version: 1,
        ddl: include_str!("../read_models/integration_list.sql"),
    },
    ReadModel {
        name: "proof_feed",
        version: 1,
        ddl: include_str!("../read_models/proof_feed.sql"),
    },
];

impl ReadModel {
    /// `rm_<name>_v<version>`.
    pub fn schema(&self) -> String {
        format!("rm_{}_v{}", self.name, self.version)
    }

    /// Creates the version's schema where it does not stand, and serves it where nothing of that name is served.
    pub(crate) async fn ensure(&self, pool: &PgPool) -> Result<(), MigrationError> {
        let failed = |source| MigrationError::ReadModel {
            name: self.name,
            version: self.version,
            source,
        };
        let mut tx = pool.begin().await.map_err(failed)?;
        // Held to the commit: several processes may start at once.
        sqlx::query("select pg_advisory_xact_lock(20261121, 3)")
            .execute(&mut *tx)
            .await
            .map_err(failed)?;
        let stands: bool =
            sqlx::query_scalar("select exists (select from pg_namespace where nspname = $1)")
                .bind(self.schema())
                .fetch_one(&mut *tx)
                .await
                .map_err(failed)?;
        if !stands {
            sqlx::raw_sql(&self.create())
                .execute(&mut *tx)
                .await
                .map_err(failed)?;
        }
        sqlx::query(
            "insert into es.active_view (name, version) values ($1, $2) on conflict do nothing",
        )
        .bind(self.name)
        .bind(self.version)
        .execute(&mut *tx)
        .await
        .map_err(failed)?;
        tx.commit().await.map_err(failed)
    }

    /// The names are constants of this file, so there is nothing to quote.
    fn create(&self) -> String {
        let schema = self.schema();
        format!(
            "create schema {schema};
             set local search_path = {schema}, pg_temp;
             {ddl}
             grant usage on schema {schema} to proofline_projector, proofline_reader;
             grant select, insert, update, delete, truncate on all tables in schema {schema} to proofline_projector;
             grant select on all tables in schema {schema} to proofline_reader;
             set local search_path to default;",
            ddl = self.ddl
        )
    }
}
