//! Where a platform's data may lie: each of its databases of personal data is told once, and every process that opens them asks.

use std::fmt;

use sqlx::PgPool;

/// A database that holds personal data, or what opens it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Held {
    /// The event store with its read models.
    Events,
    /// The key database.
    Keys,
}

impl fmt::Display for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Events => "event store",
            Self::Keys => "key database",
        })
    }
}

/// Why a database is not used.
#[derive(Debug, thiserror::Error)]
pub enum RegionError {
    #[error("could not read to which region the {0} belongs")]
    Read(Held, #[source] sqlx::Error),
    #[error("could not tell the {0} to which region it belongs")]
    Bind(Held, #[source] sqlx::Error),
    #[error("the {held} belongs to region {bound}, and this process to {own}")]
    Other {
        held: Held,
        bound: String,
        own: String,
    },
    #[error("the {held} belongs to region {bound}, and this process to none: name its region")]
    NoneNamed { held: Held, bound: String },
    #[error("the {held} belongs to no region yet, and this process to {own}: migrate with that")]
    NotBound { held: Held, own: String },
}

/// The two databases of a platform.
pub struct Regions {
    /// As [`crate::Role::Writer`]; to check, any role that reads the log.
    pub events: PgPool,
    /// As [`crate::Role::Vault`].
    pub keys: PgPool,
}

impl Regions {
    /// Tells both databases to which region they belong. One that belongs to another refuses.
    pub async fn bind(&self, own: &str) -> Result<(), RegionError> {
        let bind = sqlx::query!(
            "insert into es.region (name) values ($1) on conflict do nothing",
            own
        );
        let bound = bind.execute(&self.events).await;
        bound.map_err(|source| RegionError::Bind(Held::Events, source))?;
        let bind = sqlx::query!(
            "insert into keys.region (name) values ($1) on conflict do nothing",
            own
        );
        let bound = bind.execute(&self.keys).await;
        bound.map_err(|source| RegionError::Bind(Held::Keys, source))?;
        self.check(Some(own)).await
    }

    /// Refuses databases of another region than the process's own.
    pub async fn check(&self, own: Option<&str>) -> Result<(), RegionError> {
        let events = of_events(&self.events).await;
        let events = events.map_err(|source| RegionError::Read(Held::Events, source))?;
        compare(Held::Events, events, own)?;
        let keys = sqlx::query_scalar!("select name from keys.region");
        let keys = keys.fetch_optional(&self.keys).await;
        let keys = keys.map_err(|source| RegionError::Read(Held::Keys, source))?;
        compare(Held::Keys, keys, own)
    }
}

/// To which region the log belongs. `None` where nobody said.
pub(crate) async fn of_events(pool: &PgPool) -> Result<Option<String>, sqlx::Error> {
    sqlx::query_scalar!("select name from es.region")
        .fetch_optional(pool)
        .await
}

fn compare(held: Held, bound: Option<String>, own: Option<&str>) -> Result<(), RegionError> {
    match (bound, own) {
        (None, None) => Ok(()),
        (Some(bound), Some(own)) if bound == own => Ok(()),
        (Some(bound), Some(own)) => Err(RegionError::Other {
            held,
            bound,
            own: own.to_owned(),
        }),
        (Some(bound), None) => Err(RegionError::NoneNamed { held, bound }),
        (None, Some(own)) => Err(RegionError::NotBound {
            held,
            own: own.to_owned(),
        }),
    }
}
