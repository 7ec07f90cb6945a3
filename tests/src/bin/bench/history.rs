//! What shops and their visitors do, in numbers worth rebuilding from: all of it through the commands.

use std::sync::Arc;

use anyhow::{Context as _, Result, ensure};
use chrono::TimeDelta;
use commands::{Call, Commands, NewActivity, NewNotification, NewSite, Observation};
use domain::activity::ActivityKind;
use domain::{
    AccountId, Buyer, City, CountryCode, Currency, Email, ExternalId, FirstName, Hostname,
    MessageTemplate, Money, NotificationId, NotificationName, ProductTitle, SiteId, SiteName,
};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use proofline::config::Connections;
use proofline::migrate::migrate;
use proofline::secrets::Secrets;
use proofline::{account, write_side};
use sqlx::{Connection as _, PgConnection};
use uuid::Uuid;

use crate::ours;

const ACCOUNTS: usize = 20;
const SITES_PER_ACCOUNT: usize = 10;
/// Buyers come back: so many for each account.
const BUYERS: u64 = 200;
/// Tasks that issue commands, and commands of each at once.
const TASKS: u64 = 8;
const AT_ONCE: usize = 32;
const BATCH: u64 = 500;

const FIRST_NAMES: [&str; 8] = [
    "Anna", "Björn", "Chloé", "Daisuke", "Elif", "Fatima", "Gustav", "Ines",
];
const PLACES: [(&str, &str); 4] = [
    ("Berlin", "DE"),
    ("Lyon", "FR"),
    ("Porto", "PT"),
    ("Malmö", "SE"),
];
const PRODUCTS: [&str; 4] = [
    "Trail Runner 3",
    "Merino Base Layer",
    "Titanium Mug",
    "Ultralight Tarp",
];

/// An installation of its own on the same engines, whose logs have so many activities and so much telemetry.
pub(crate) struct History {
    pub(crate) connections: Connections,
    /// In the domain log, and in the telemetry log.
    pub(crate) events: u64,
    pub(crate) telemetry: u64,
}

struct Shops {
    commands: Commands,
    sites: Vec<Shop>,
}

#[derive(Clone, Copy)]
struct Shop {
    account: AccountId,
    site: SiteId,
    notification: NotificationId,
}

impl History {
    pub(crate) async fn write(
        engines: &Connections,
        activities: u64,
        telemetry: u64,
    ) -> Result<Self> {
        let connections = Connections {
            database_url: tests::in_database(&engines.database_url, "history"),
            keys_database_url: None,
            redis_prefix: "history".to_owned(),
            clickhouse_database: "history".to_owned(),
            ..engines.clone()
        };
        migrate(&connections).await?;
        let secrets = Secrets::open(&connections).await?;
        let commands = write_side::open(&connections, &secrets).await?;
        let shops = Arc::new(Shops::open(commands, &secrets).await?);
        let writer = shops.clone();
        in_tasks(activities, AT_ONCE, move |n| record(writer.clone(), n)).await?;
        let batches = telemetry.div_ceil(BATCH);
        in_tasks(batches, 2, move |n| collect(shops.clone(), n)).await?;
        let mut connection = PgConnection::connect(&connections.database_url).await?;
        let (events, telemetry): (i64, i64) = sqlx::query_as(
            "select (select max(position) from es.events), (select max(position) from es.telemetry)",
        )
        .fetch_one(&mut connection)
        .await?;
        Ok(Self {
            connections,
            events: u64::try_from(events)?,
            telemetry: u64::try_from(telemetry)?,
        })
    }
}

impl Shops {
    async fn open(commands: Commands, secrets: &Secrets) -> Result<Self> {
        let mut sites = Vec::new();
        for number in 0..ACCOUNTS {
            let account = account::open(&commands, &secrets.api_keys, &format!("Shop {number}"))
                .await?
                .account;
            for nth in 0..SITES_PER_ACCOUNT {
                sites.push(Shop::open(&commands, account, number, nth).await?);
            }
        }
        Ok(Self { commands, sites })
    }

    fn of(&self, n: u64) -> Shop {
        // Scattered, as they would come in.
        let scattered = n.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
        self.sites[(scattered % self.sites.len() as u64) as usize]
    }
}

impl Shop {
    async fn open(
        commands: &Commands,
        account: AccountId,
        number: usize,
        nth: usize,
    ) -> Result<Self> {
        let site = NewSite {
            name: SiteName::parse(&format!("Shop {number}.{nth}"))?,
            domain: Hostname::parse(&format!("shop-{number}-{nth}.example.com"))?,
            data_region: None,
        };
        let site: SiteId = commands
            .sites
            .register(&ours::call(account), site)
            .await?
            .aggregate_id
            .into();
        let notification = NewNotification {
            name: NotificationName::parse("Recent orders")?,
            message: MessageTemplate::parse("{first_name} from {city} bought the {product}")?,
        };
        let notification: NotificationId = commands
            .notifications
            .draft(&ours::call(account), site, notification)
            .await?
            .aggregate_id
            .into();
        commands
            .notifications
            .publish(&ours::call(account), site, notification)
            .await?;
        Ok(Self {
            account,
            site,
            notification,
        })
    }
}

/// The n-th order.
async fn record(shops: Arc<Shops>, n: u64) -> Result<()> {
    let shop = shops.of(n);
    let pick = |from: usize| (n / 7 % from as u64) as usize;
    let (city, country) = PLACES[pick(PLACES.len())];
    let call: Call = ours::call(shop.account);
    let activity = NewActivity {
        kind: ActivityKind::Order,
        occurred_at: call.at - TimeDelta::seconds(3),
        buyer: Some(Buyer {
            first_name: Some(FirstName::parse(FIRST_NAMES[pick(FIRST_NAMES.len())])?),
            last_name: None,
            email: Some(Email::parse(&format!("buyer-{}@example.com", n % BUYERS))?),
            city: Some(City::parse(city)?),
            country: Some(CountryCode::parse(country)?),
        }),
        product: Some(ProductTitle::parse(PRODUCTS[pick(PRODUCTS.len())])?),
        items_count: 1,
        total: Some(Money::parse_decimal("49.90", Currency::parse("EUR")?)?),
    };
    let external = ExternalId::parse(&format!("order-{n}"))?;
    shops
        .commands
        .activities
        .record(&call, shop.site, Some(external), activity)
        .await?;
    Ok(())
}

/// A batch of what visitors saw.
async fn collect(shops: Arc<Shops>, n: u64) -> Result<()> {
    let now = platform::clock::now();
    let observations = (0..BATCH).map(|nth| {
        let shop = shops.of(n * BATCH + nth);
        Observation {
            id: Uuid::now_v7(),
            account: shop.account,
            site: shop.site,
            notification: shop.notification,
            kind: if nth % 20 == 0 { "click" } else { "impression" },
            occurred_at: now,
            page: Some("/products/trail-runner-3".to_owned()),
        }
    });
    let collected = shops
        .commands
        .telemetry
        .collect(observations.collect())
        .await?;
    ensure!(collected.accepted as u64 == BATCH, "a batch was not new");
    Ok(())
}

/// Does it for every number below `count`, spread over tasks.
async fn in_tasks<F>(
    count: u64,
    at_once: usize,
    each: impl Fn(u64) -> F + Clone + Send + 'static,
) -> Result<()>
where
    F: Future<Output = Result<()>> + Send + 'static,
{
    let mut tasks = tokio::task::JoinSet::new();
    for task in 0..TASKS {
        let each = each.clone();
        let numbers = (task..count).step_by(TASKS as usize);
        tasks.spawn(
            stream::iter(numbers)
                .map(each)
                .buffer_unordered(at_once)
                .try_collect::<()>(),
        );
    }
    while let Some(done) = tasks.join_next().await {
        done.context("a writer panicked")??;
    }
    Ok(())
}
