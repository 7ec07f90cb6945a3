use chrono::TimeDelta;
use domain::activity::ActivityKind;
use domain::{Buyer, EmbedKey};
use projections::proof_feed::Feed;
use sqlx::Row as _;

use super::facts::{account, anna, embed_key, now};
use super::world::World;

async fn feed(world: &World, key: &EmbedKey) -> Option<Feed> {
    let read = world.reads.feed(key, now()).await.unwrap();
    read.map(|read| read.value)
}

#[tokio::test]
async fn the_feed_shows_first_names_and_messages_and_never_more_of_a_person() {
    let world = World::new().await;
    let account = account();
    let site = world.register_site(account, "Shoes").await;
    let notification = world
        .publish(
            account,
            site,
            "{first_name} from {city} bought the {product}",
        )
        .await;
    world.order(account, site, Some(anna()), 3).await;
    world.order(account, site, None, 2).await;
    world.catch_up().await;

    let feed = feed(&world, &embed_key(site)).await.unwrap();
    assert_eq!((feed.account_id, feed.site_id), (account, site));
    assert_eq!(feed.items.len(), 2);
    let (anonymous, anna) = (&feed.items[0], &feed.items[1]);
    assert_eq!(anna.first_name.as_deref(), Some("Anna"));
    assert_eq!(anna.city.as_deref(), Some("Berlin"));
    assert_eq!(anna.product.as_deref(), Some("Trail Runner"));
    assert_eq!(anna.kind, ActivityKind::Order);
    assert_eq!(anna.occurred_at, now() - TimeDelta::minutes(3));
    assert_eq!(anna.messages[0].notification_id, notification);
    assert_eq!(
        anna.messages[0].text,
        "Anna from Berlin bought the Trail Runner"
    );
    assert_eq!(anonymous.first_name, None);
    assert_eq!(
        anonymous.messages[0].text,
        "Someone bought the Trail Runner"
    );
    let shown = format!("{feed:?}");
    for hidden in ["Schmidt", "anna@", "example.com", "$pii", "sealed"] {
        assert!(!shown.contains(hidden), "{shown}");
    }
}

#[tokio::test]
async fn a_withdrawn_activity_is_shown_no_more() {
    let world = World::new().await;
    let account = account();
    let site = world.register_site(account, "Shoes").await;
    world.publish(account, site, "{first_name} bought").await;
    let order = world.order(account, site, Some(anna()), 3).await;
    world.catch_up().await;
    assert_eq!(feed(&world, &embed_key(site)).await.unwrap().items.len(), 1);

    world.withdraw(account, site, order).await;
    world.catch_up().await;
    assert_eq!(feed(&world, &embed_key(site)).await.unwrap().items, []);
    let rows: i64 = sqlx::query("select count(*) from rm_proof_feed_v1.proof")
        .fetch_one(&mut world.owner().await)
        .await
        .unwrap()
        .get(0);
    assert_eq!(rows, 0, "the row is gone, with the sealed buyer");
}

#[tokio::test]
async fn the_feed_keeps_to_the_sites_settings_and_to_published_notifications() {
    let world = World::new().await;
    let account = account();
    let site = world.register_site(account, "Shoes").await;
    // Three items of the last 24 hours.
    for minutes in [1, 2, 3, 4, 24 * 60 - 1, 24 * 60 + 1] {
        let buyer = Buyer {
            first_name: domain::FirstName::clipped(&format!("Anna {minutes}")),
            ..Buyer::default()
        };
        world.order(account, site, Some(buyer), minutes).await;
    }
    world.catch_up().await;
    let shown = feed(&world, &embed_key(site)).await.unwrap();
    let names: Vec<_> = shown
        .items
        .iter()
        .map(|item| item.first_name.clone().unwrap())
        .collect();
    assert_eq!(names, ["Anna 1", "Anna 2", "Anna 3"]);
    assert!(shown.items.iter().all(|item| item.messages.is_empty()));
    let unknown = EmbedKey::from_bytes([0; 16]);
    assert!(feed(&world, &unknown).await.is_none());
}

#[tokio::test]
async fn an_erased_buyer_is_nobody_and_other_shops_are_elsewhere() {
    let world = World::new().await;
    let (account, other) = (account(), account());
    let site = world.register_site(account, "Shoes").await;
    let other_site = world.register_site(other, "Hats").await;
    world.order(account, site, Some(anna()), 3).await;
    world.order(other, other_site, Some(anna()), 3).await;
    world.catch_up().await;
    let buyer: uuid::Uuid = sqlx::query_scalar(
        "select (payload -> 'buyer' -> '$pii' ->> 'subject')::uuid from es.events
         where tenant_id = $1 and event_type = 'activity.recorded'",
    )
    .bind(account.as_uuid())
    .fetch_one(&mut world.owner().await)
    .await
    .unwrap();
    let vault = world.store.streams().vault();
    let erased = vault.erase(*account.as_uuid(), &[buyer]).await;
    assert!(erased.unwrap()[0].receipt.is_some());
    // Another process, which never had the key in its memory.
    let process = world.another_process().await;
    let shown = process.reads().feed(&embed_key(site), now()).await;
    let shown = shown.unwrap().unwrap().value;
    assert_eq!(shown.items.len(), 1);
    assert_eq!(shown.items[0].first_name, None);
    let elsewhere = feed(&world, &embed_key(other_site)).await.unwrap();
    assert_eq!(elsewhere.items.len(), 1);
    assert_eq!(elsewhere.items[0].first_name.as_deref(), Some("Anna"));
}

#[tokio::test]
async fn the_read_model_holds_the_buyer_sealed_as_the_log_does() {
    let world = World::new().await;
    let account = account();
    let site = world.register_site(account, "Shoes").await;
    world.order(account, site, Some(anna()), 3).await;
    world.catch_up().await;
    let (kept, stored): (String, String) = sqlx::query_as(
        "select p.buyer::text, (e.payload->'buyer')::text
         from rm_proof_feed_v1.proof p join es.events e on e.event_id = p.event_id",
    )
    .fetch_one(&mut world.owner().await)
    .await
    .unwrap();
    assert_eq!(kept, stored);
    assert!(kept.contains("sealed") && !kept.contains("Anna"), "{kept}");
}
