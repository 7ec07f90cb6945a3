//! Which version of a projection is served.

use std::sync::Arc;
use std::time::Duration;

use moka::future::Cache;
use sqlx::PgPool;

use crate::projection::Projection;
use crate::read::ReadError;

/// How long a switch may go unnoticed here; the version before it is still whole then.
const KNOWN_FOR: Duration = Duration::from_secs(1);

/// The served versions of projections outside Postgres, whose reads can't look them up in their own snapshot. A read asks
/// once and stays with the answer, so that it never mixes two versions. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Served {
    pool: PgPool,
    known: Cache<Projection, i32>,
}

impl Served {
    /// `pool` connects as [`event_store::Role::Reader`].
    pub(crate) fn new(pool: PgPool) -> Self {
        let known = Cache::builder().time_to_live(KNOWN_FOR).build();
        Self { pool, known }
    }

    pub(crate) async fn version(&self, projection: Projection) -> Result<i32, ReadError> {
        let read = sqlx::query_scalar!(
            "select version from es.active_view where name = $1",
            projection.name()
        )
        .fetch_one(&self.pool);
        self.known
            .try_get_with(projection, read)
            .await
            .map_err(|source: Arc<sqlx::Error>| ReadError::Served {
                model: projection,
                source,
            })
    }
}
