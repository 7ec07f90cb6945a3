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
    /// As any role that reads the log; as the database's owner to bind it, and to ask before it is migrated.
    pub events: PgPool,
    /// As [`crate::Role::Vault`], or as the owner.
    pub keys: PgPool,
}

impl Regions {
    /// Tells both databases to which region they belong, unless one belongs to another.
    pub async fn bind(&self, own: &str) -> Result<(), RegionError> {
        self.check_known(Some(own)).await?;
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
        // Somebody else may have been faster.
        self.check(Some(own)).await
    }

    /// Refuses databases of another region than the process's own.
    pub async fn check(&self, own: Option<&str>) -> Result<(), RegionError> {
        let [events, keys] = self.bound().await?;
        for (held, bound) in [(Held::Events, &events), (Held::Keys, &keys)] {
            if let (None, Some(own)) = (bound, own) {
                let own = own.to_owned();
                return Err(RegionError::NotBound { held, own });
            }
        }
        Self::compare([events, keys], own)
    }

    /// The same before they are migrated: a database that is not there yet, or was told nothing, passes.
    pub async fn check_known(&self, own: Option<&str>) -> Result<(), RegionError> {
        Self::compare(self.bound().await?, own)
    }

    /// The same of copies of the event store and the key database, which say to which region they belong.
    pub fn compare(bound: [Option<String>; 2], own: Option<&str>) -> Result<(), RegionError> {
        for (held, bound) in [Held::Events, Held::Keys].into_iter().zip(bound) {
            match (bound, own) {
                (Some(bound), Some(own)) if bound != own => {
                    let own = own.to_owned();
                    return Err(RegionError::Other { held, bound, own });
                }
                (Some(bound), None) => return Err(RegionError::NoneNamed { held, bound }),
                (Some(_), Some(_)) | (None, _) => {}
            }
        }
        Ok(())
    }

    async fn bound(&self) -> Result<[Option<String>; 2], RegionError> {
        let events = known(of_events(&self.events).await);
        let keys = sqlx::query_scalar!("select name from keys.region");
        let keys = known(keys.fetch_optional(&self.keys).await);
        Ok([
            events.map_err(|source| RegionError::Read(Held::Events, source))?,
            keys.map_err(|source| RegionError::Read(Held::Keys, source))?,
        ])
    }
}

/// No database, and none that was migrated by a build that knows regions, was told anything.
fn known(found: Result<Option<String>, sqlx::Error>) -> Result<Option<String>, sqlx::Error> {
    const NO_DATABASE: &str = "3D000";
    const NO_TABLE: &str = "42P01";
    match &found {
        Err(sqlx::Error::Database(error))
            if matches!(error.code().as_deref(), Some(NO_DATABASE | NO_TABLE)) =>
        {
            Ok(None)
        }
        _ => found,
    }
}

/// To which region the log belongs. `None` where nobody said.
pub(crate) async fn of_events(pool: &PgPool) -> Result<Option<String>, sqlx::Error> {
    sqlx::query_scalar!("select name from es.region")
        .fetch_optional(pool)
        .await
}
