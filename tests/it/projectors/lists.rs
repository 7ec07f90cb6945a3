use domain::integration::{IntegrationEvent, Platform};
use domain::notification::NotificationEvent;
use domain::site::{SiteEvent, SiteSettings};
use domain::{
    ApiKeyHash, ApiKeyId, Hostname, IntegrationId, Pii, SiteName, SubjectId, WebhookSecret,
};
use event_store::Role;
use projections::{Projection, integration_list, notification_list, site_list};
use sqlx::Row as _;
use uuid::Uuid;

use super::facts::{account, now};
use super::world::World;

#[tokio::test]
async fn a_site_is_read_as_its_last_event_left_it() {
    let world = World::new().await;
    let account = account();
    let site = world.register_site(account, "Shoes").await;
    let changes = [
        SiteEvent::Renamed {
            name: SiteName::parse("Boots").unwrap(),
            at: now(),
        },
        SiteEvent::SettingsChanged {
            settings: SiteSettings::try_new(50, 720).unwrap(),
            at: now(),
        },
    ];
    let position = world
        .append(account, ("site", site.into()), 1, &changes)
        .await;
    world.catch_up().await;

    let mut tx = world
        .reads
        .begin(account, &[Projection::SiteList])
        .await
        .unwrap();
    let read = site_list::get(&mut tx, site).await.unwrap();
    assert_eq!(read.position, world.store.token(position));
    let row = read.value.unwrap();
    assert_eq!((&*row.name, row.version, row.position), ("Boots", 3, 1));
    assert_eq!((row.feed_items_max, row.feed_age_hours_max), (50, 720));
}

#[tokio::test]
async fn a_list_goes_page_by_page_in_order_of_creation() {
    let world = World::new().await;
    let account = account();
    for n in 0..5 {
        world.register_site(account, &format!("Site {n}")).await;
    }
    world.catch_up().await;
    let mut tx = world
        .reads
        .begin(account, &[Projection::SiteList])
        .await
        .unwrap();
    let (mut names, mut after) = (Vec::new(), None);
    loop {
        let page = site_list::list(&mut tx, after, 2).await.unwrap().value;
        after = page.rows.last().map(|row| row.position);
        names.extend(page.rows.into_iter().map(|row| row.name));
        if !page.has_more {
            break;
        }
    }
    assert_eq!(names, ["Site 0", "Site 1", "Site 2", "Site 3", "Site 4"]);
}

#[tokio::test]
async fn notifications_and_integrations_are_those_of_their_site() {
    let world = World::new().await;
    let account = account();
    let site = world.register_site(account, "Shoes").await;
    let other = world.register_site(account, "Hats").await;
    let notification = world.publish(account, site, "{first_name} bought").await;
    let paused = NotificationEvent::Paused {
        site_id: site,
        at: now(),
    };
    let stream = ("notification", notification.into());
    world.append(account, stream, 2, &[paused]).await;
    let integration = IntegrationId::from(Uuid::now_v7());
    let connected = IntegrationEvent::Connected {
        site_id: site,
        platform: Platform::Shopify,
        shop_domain: Hostname::parse("shoes.myshopify.com").unwrap(),
        webhook_secret: Pii::new(
            SubjectId::from(Uuid::now_v7()),
            WebhookSecret::parse("shpss_1").unwrap(),
        ),
        at: now(),
    };
    let stream = ("integration", integration.into());
    world.append(account, stream, 0, &[connected]).await;
    world.catch_up().await;

    let models = [Projection::NotificationList, Projection::IntegrationList];
    let mut tx = world.reads.begin(account, &models).await.unwrap();
    let row = notification_list::get(&mut tx, site, notification)
        .await
        .unwrap();
    let row = row.value.unwrap();
    assert_eq!((&*row.status, row.version), ("paused", 3));
    let listed = notification_list::list(&mut tx, site, None, 10)
        .await
        .unwrap();
    assert_eq!(listed.value.rows, [row]);
    let row = integration_list::get(&mut tx, site, integration)
        .await
        .unwrap();
    let row = row.value.unwrap();
    assert_eq!(
        (&*row.platform, &*row.shop_domain),
        ("shopify", "shoes.myshopify.com")
    );
    let listed = integration_list::list(&mut tx, site, None, 10)
        .await
        .unwrap();
    assert_eq!(listed.value.rows, [row]);

    let elsewhere = notification_list::get(&mut tx, other, notification).await;
    assert!(elsewhere.unwrap().value.is_none());
    let elsewhere = integration_list::list(&mut tx, other, None, 10).await;
    assert!(elsewhere.unwrap().value.rows.is_empty());
}

#[tokio::test]
async fn nobody_sees_another_accounts_rows_and_without_an_account_there_are_none() {
    let world = World::new().await;
    let (owner, stranger) = (account(), account());
    let site = world.register_site(owner, "Shoes").await;
    world.publish(owner, site, "Hello").await;
    world.order(owner, site, None, 1).await;
    world.catch_up().await;

    let models = [Projection::SiteList, Projection::NotificationList];
    let mut tx = world.reads.begin(stranger, &models).await.unwrap();
    assert!(site_list::get(&mut tx, site).await.unwrap().value.is_none());
    let sites = site_list::list(&mut tx, None, 10).await.unwrap();
    assert!(sites.value.rows.is_empty());
    let notifications = notification_list::list(&mut tx, site, None, 10).await;
    assert!(notifications.unwrap().value.rows.is_empty());

    // Whatever a reader's connection asks: no account, no rows.
    let reader = world.pool(Role::Reader);
    for table in [
        "rm_site_list_v1.site",
        "rm_notification_list_v1.notification",
        "rm_proof_feed_v1.proof",
        "es.events",
    ] {
        let count = format!("select count(*) from {table}");
        let seen: i64 = sqlx::query(&count).fetch_one(&reader).await.unwrap().get(0);
        assert_eq!(seen, 0, "{table}");
        let all: i64 = sqlx::query(&count)
            .fetch_one(&mut world.owner().await)
            .await
            .unwrap()
            .get(0);
        assert!(all > 0, "{table}");
    }
    let written = sqlx::query("delete from rm_site_list_v1.site").execute(&reader);
    assert!(written.await.is_err(), "a reader writes nothing");
}

#[tokio::test]
async fn a_read_transaction_leaves_nothing_behind_on_its_connection() {
    let world = World::new().await;
    let owner = account();
    world.register_site(owner, "Shoes").await;
    world.catch_up().await;
    let reader = event_store::connect(&world.database_url, Role::Reader, 1).unwrap();
    let tx = projections::ReadTx::begin(&reader, owner, &[Projection::SiteList]).await;
    drop(tx.unwrap());
    let left: (String, String) = sqlx::query_as(
        "select coalesce(current_setting('proofline.account', true), ''), current_setting('search_path')",
    )
    .fetch_one(&reader)
    .await
    .unwrap();
    assert_eq!(left.0, "");
    assert!(!left.1.contains("rm_site_list"), "{}", left.1);
}

#[tokio::test]
async fn an_api_key_counts_until_it_is_revoked() {
    use domain::account::{AccountEvent, Scope};
    use domain::{AccountName, Label};

    let world = World::new().await;
    let (account, key) = (account(), ApiKeyId::from(Uuid::now_v7()));
    let events = [
        AccountEvent::Opened {
            name: AccountName::parse("Shoes Ltd").unwrap(),
            at: now(),
        },
        AccountEvent::ApiKeyIssued {
            key_id: key,
            label: Label::parse("ci").unwrap(),
            hash: ApiKeyHash::from_bytes([7; 32]),
            scopes: [Scope::Read].into(),
            at: now(),
        },
    ];
    let stream = ("account", account.into());
    world.append(account, stream, 0, &events).await;
    let found = world.reads.api_key(account, key).await.unwrap().unwrap();
    assert_eq!(found.hash, ApiKeyHash::from_bytes([7; 32]));
    let unknown = ApiKeyId::from(Uuid::now_v7());
    assert!(
        world
            .reads
            .api_key(account, unknown)
            .await
            .unwrap()
            .is_none()
    );
    let stranger = super::facts::account();
    assert!(world.reads.api_key(stranger, key).await.unwrap().is_none());

    let revoked = AccountEvent::ApiKeyRevoked {
        key_id: key,
        at: now(),
    };
    world.append(account, stream, 2, &[revoked]).await;
    let revocation = tokio::time::timeout(std::time::Duration::from_secs(5), async {
        while world.reads.api_key(account, key).await.unwrap().is_some() {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    });
    revocation.await.expect("revoked within seconds");
}
