//! The books of versions: which there are, which is served, and what waits in them.

use event_store::{Withheld, begin};

use super::error::RebuildError;
use super::{Rebuild, Waiting};
use crate::drivers::Drivers;
use crate::projection::Projection;

impl Drivers {
    pub(super) async fn served_version(
        &self,
        projection: Projection,
    ) -> Result<Option<i32>, RebuildError> {
        sqlx::query_scalar!(
            "select version from es.active_view where name = $1",
            projection.name()
        )
        .fetch_optional(&self.projector)
        .await
        .map_err(RebuildError::Books)
    }
}

impl Rebuild {
    /// The version that was served before, if it stands by; or the one asked for.
    pub async fn standby(&self, asked: Option<i32>) -> Result<i32, RebuildError> {
        let standing = sqlx::query!(
            "select version, revision from es.projection_versions
             where name = $1 and phase = 'live' and version <> $2 and (version < $2 or $3::int is not null)
               and version = coalesce($3, version)
             order by version desc limit 1",
            self.projection.name(),
            self.served,
            asked
        )
        .fetch_optional(self.pool())
        .await
        .map_err(RebuildError::Books)?;
        let projection = self.projection;
        let Some(row) = standing else {
            return Err(match asked {
                Some(version) => RebuildError::NoStandby {
                    projection,
                    version,
                },
                None => RebuildError::NoEarlier(projection),
            });
        };
        if projection.revisions().contains(&row.revision) {
            Ok(row.version)
        } else {
            Err(RebuildError::UnknownRevision {
                projection,
                version: row.version,
                revision: row.revision,
            })
        }
    }

    /// Writes a new version down, and removes those that were never finished: whoever was building them has lost the
    /// right to.
    pub(super) async fn announce(&self, waiting: Waiting) -> Result<i32, RebuildError> {
        let name = self.projection.name();
        let unfinished = sqlx::query_scalar!(
            "select version from es.projection_versions where name = $1 and phase = 'building'",
            name
        )
        .fetch_all(self.pool())
        .await
        .map_err(RebuildError::Books)?;
        let revision = self.projection.revisions().last().copied().unwrap_or(1);
        let version = sqlx::query_file_scalar!(
            "sql/announce_version.sql",
            name,
            revision,
            waiting == Waiting::TakenOver,
            self.served
        )
        .fetch_one(self.pool())
        .await
        .map_err(RebuildError::Books)?;
        for version in unfinished {
            self.remove(version).await?;
        }
        Ok(version)
    }

    pub(super) async fn forget(&self, version: i32) -> Result<(), RebuildError> {
        sqlx::query_file!("sql/forget_version.sql", self.projection.name(), version)
            .execute(self.pool())
            .await
            .map_err(RebuildError::Books)?;
        Ok(())
    }

    /// What the version does not take from the log.
    pub(super) async fn withheld(&self, version: i32) -> Result<Withheld, RebuildError> {
        Ok(self.ledger(version).withheld().await?)
    }

    pub(super) async fn exchange(
        &mut self,
        version: i32,
        held: &[i32],
        position: i64,
    ) -> Result<i64, RebuildError> {
        let mut tx = begin(self.pool()).await.map_err(RebuildError::Books)?;
        let standing = sqlx::query_file!(
            "sql/lock_standing.sql",
            self.projection.name(),
            held,
            position,
            self.worker.id()
        )
        .fetch_one(&mut *tx)
        .await
        .map_err(RebuildError::Books)?;
        if standing.elsewhere > 0 {
            return Err(RebuildError::Moved(self.projection));
        }
        sqlx::query!(
            "update es.projection_versions set phase = 'live' where name = $1 and version = $2",
            self.projection.name(),
            version
        )
        .execute(&mut *tx)
        .await
        .map_err(RebuildError::Books)?;
        let switched = sqlx::query!(
            "update es.active_view set version = $3, activated_at = clock_timestamp()
             where name = $1 and version = $2",
            self.projection.name(),
            self.served,
            version
        )
        .execute(&mut *tx)
        .await
        .map_err(RebuildError::Books)?;
        if switched.rows_affected() != 1 {
            return Err(RebuildError::Moved(self.projection));
        }
        tx.commit().await.map_err(RebuildError::Books)?;
        for version in [self.served, version] {
            self.release(version).await?;
        }
        self.served = version;
        Ok(position)
    }

    pub(super) async fn set_phase(&self, version: i32, phase: &str) -> Result<(), RebuildError> {
        let changed = sqlx::query!(
            "update es.projection_versions v set phase = $3
             where v.name = $1 and v.version = $2
               and not exists (select from es.active_view a where a.name = v.name and a.version = v.version)",
            self.projection.name(),
            version,
            phase
        )
        .execute(self.pool())
        .await
        .map_err(RebuildError::Books)?;
        if changed.rows_affected() == 1 {
            Ok(())
        } else {
            Err(RebuildError::Moved(self.projection))
        }
    }
}
