//! What it takes to erase people: from what they asked for to their signed certificates.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use commands::{Commands, NewActivity, NewSite, Person};
use domain::activity::ActivityKind;
use domain::{AccountId, Buyer, Email, FirstName, Hostname, SiteId, SiteName};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use projections::{Projection, Projections};
use proofline::account;
use proofline::app::{App, Part};
use proofline::config::Connections;
use proofline::secrets::Secrets;
use sqlx::{Connection as _, PgConnection};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::load::Measured;
use crate::ours;

pub(crate) const PEOPLE: usize = 1_000;
/// People entered at the same time.
const AT_ONCE: usize = 64;
const PROJECTED_WITHIN: Duration = Duration::from_secs(60);

/// A platform that projects, in this process.
pub(crate) struct Office {
    app: App,
    commands: Commands,
    projections: Projections,
    account: AccountId,
    site: SiteId,
    database_url: String,
    _stop: tokio_util::sync::DropGuard,
}

impl Office {
    pub(crate) async fn open(connections: &Connections) -> Result<Self> {
        let app = App::open(Part::All, connections, &ours::tuning()).await?;
        let commands = app.commands().context("all parts run")?.clone();
        let projections = app.projections().context("all parts run")?.clone();
        let secrets = Secrets::open(connections).await?;
        let account = account::open(&commands, &secrets.api_keys, "Erasures")
            .await?
            .account;
        let site = NewSite {
            name: SiteName::parse("Erasures")?,
            domain: Hostname::parse(&format!("{}.example.com", Uuid::now_v7().simple()))?,
            data_region: None,
        };
        let site = commands.sites.register(&ours::call(account), site).await?;
        let stop = CancellationToken::new();
        drop(projections.spawn_all(&stop));
        Ok(Self {
            app,
            commands,
            projections,
            account,
            site: site.aggregate_id.into(),
            database_url: connections.database_url.clone(),
            _stop: stop.drop_guard(),
        })
    }

    /// Erases so many people, of whom an order each is kept. They have asked for it before the clock runs.
    pub(crate) async fn erase(&self) -> Result<Measured> {
        let run = Uuid::now_v7().simple().to_string();
        let last = stream::iter(0..PEOPLE)
            .map(|person| self.enter(format!("p{person}-{run}@example.com")))
            .buffer_unordered(AT_ONCE)
            .try_fold(None, async |last: Option<commands::Token>, token| {
                Ok(Some(match last {
                    Some(last) if last.position > token.position => last,
                    _ => token,
                }))
            })
            .await?
            .context("somebody asked")?;
        let reads = self.projections.reads();
        reads
            .wait_for(&[Projection::SubjectList], last, PROJECTED_WITHIN)
            .await?;
        let before = self.certified().await?;
        let chores = self.app.chores().context("all parts run")?.clone();
        let began = Instant::now();
        while chores.erasures().round().await? > 0
            || self.certified().await? < before + PEOPLE as i64
        {
            ensure!(
                began.elapsed() < 5 * PROJECTED_WITHIN,
                "the erasures do not end"
            );
        }
        Ok(Measured::bulk(PEOPLE as u64, began.elapsed()))
    }

    async fn enter(&self, email: String) -> Result<commands::Token> {
        let call = || ours::call(self.account);
        let email = Email::parse(&email)?;
        let activity = NewActivity {
            kind: ActivityKind::Order,
            occurred_at: platform::clock::now(),
            buyer: Some(Buyer {
                first_name: FirstName::clipped("Anna"),
                email: Some(email.clone()),
                ..Buyer::default()
            }),
            product: None,
            items_count: 1,
            total: None,
        };
        self.commands
            .activities
            .record(&call(), self.site, None, activity)
            .await?;
        let subjects = &self.commands.subjects;
        let record = subjects.register(&call(), &Person::Email(email)).await?;
        let asked = subjects
            .request_erasure(&call(), record.aggregate_id.into())
            .await?;
        Ok(asked.position)
    }

    async fn certified(&self) -> Result<i64> {
        let mut connection = PgConnection::connect(&self.database_url).await?;
        let count =
            "select count(*) from es.events where event_type = 'data_subject.erasure_certified'";
        Ok(sqlx::query_scalar(count).fetch_one(&mut connection).await?)
    }
}

/// What a database without keys or proofs does: a row a person is deleted, in a transaction of its own.
pub(crate) async fn delete_rows(database_url: &str) -> Result<Measured> {
    let mut connection = PgConnection::connect(database_url).await?;
    for statement in [
        "drop table if exists person",
        "create table person (id int primary key, email text not null)",
        "insert into person select n, 'p' || n || '@example.com' from generate_series(1, 1000) n",
    ] {
        sqlx::query(statement).execute(&mut connection).await?;
    }
    let began = Instant::now();
    for person in 1..=PEOPLE as i32 {
        sqlx::query("delete from person where id = $1")
            .bind(person)
            .execute(&mut connection)
            .await?;
    }
    Ok(Measured::bulk(PEOPLE as u64, began.elapsed()))
}
