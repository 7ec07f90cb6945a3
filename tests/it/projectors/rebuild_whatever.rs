//! Whatever has happened, a version that is built from the log equals the one that followed it.

use chrono::TimeDelta;
use domain::notification::NotificationEvent;
use domain::site::{SiteEvent, SiteSettings};
use domain::{AccountId, ActivityId, NotificationId, SiteId, SiteName};
use projections::Projection;
use projections::rebuild::MEMORY_BYTES_MAX;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use uuid::Uuid;

use super::facts::{account, anna, now};
use super::rebuild::LITTLE;
use super::world::World;

const VERSIONED: [Projection; 7] = [
    Projection::SiteList,
    Projection::NotificationList,
    Projection::IntegrationList,
    Projection::ProofFeed,
    Projection::SubjectList,
    Projection::TelemetryCounters,
    Projection::TelemetryFacts,
];

/// A shop and what has happened in it, for events that have to fit.
struct Shop {
    account: AccountId,
    site: SiteId,
    version: i64,
    notifications: Vec<(NotificationId, i64)>,
    orders: Vec<ActivityId>,
}

impl World {
    async fn open_shop(&self) -> Shop {
        let account = account();
        Shop {
            account,
            site: self.register_site(account, "Shop").await,
            version: 1,
            notifications: Vec::new(),
            orders: Vec::new(),
        }
    }

    /// Something that may happen in a shop.
    async fn happens(&self, shop: &mut Shop, random: &mut StdRng) {
        let stream = ("site", shop.site.into());
        let minutes = random.random_range(0..90);
        match random.random_range(0..8) {
            0 => {
                let name = SiteName::parse(&format!("Shop {minutes}")).unwrap();
                let event = SiteEvent::Renamed { name, at: now() };
                self.append(shop.account, stream, shop.version, &[event])
                    .await;
                shop.version += 1;
            }
            1 => {
                let settings = SiteSettings::try_new(7, 48).unwrap();
                let event = SiteEvent::SettingsChanged {
                    settings,
                    at: now() + TimeDelta::nanoseconds(1_234_567),
                };
                self.append(shop.account, stream, shop.version, &[event])
                    .await;
                shop.version += 1;
            }
            2 => {
                let published = self.publish(shop.account, shop.site, "Hello").await;
                shop.notifications.push((published, 2));
            }
            3 => {
                if let Some((notification, version)) = shop.notifications.last_mut() {
                    let at = now();
                    let site_id = shop.site;
                    let event = match *version % 2 {
                        0 => NotificationEvent::Paused { site_id, at },
                        _ => NotificationEvent::Resumed { site_id, at },
                    };
                    let stream = ("notification", (*notification).into());
                    self.append(shop.account, stream, *version, &[event]).await;
                    *version += 1;
                }
            }
            4 | 5 => {
                let buyer = (minutes % 2 == 0).then(anna);
                shop.orders
                    .push(self.order(shop.account, shop.site, buyer, minutes).await);
            }
            6 => {
                if let Some(order) = shop.orders.pop() {
                    self.withdraw(shop.account, shop.site, order).await;
                }
            }
            _ => {
                let shown = shop
                    .notifications
                    .last()
                    .map_or(Uuid::nil().into(), |n| n.0);
                let start = now() - TimeDelta::minutes(minutes);
                let kind = ["impression", "click"][random.random_range(0..2)];
                let of = (shop.account, shop.site, shown);
                self.collect(of, kind, start, random.random_range(1..300))
                    .await;
            }
        }
    }
}

#[tokio::test]
async fn what_is_rebuilt_equals_what_followed_the_log_whatever_has_happened() {
    let seed: u64 =
        std::env::var("SEED").map_or_else(|_| rand::random(), |seed| seed.parse().unwrap());
    println!("SEED={seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let world = World::new().await;
    let mut shops = Vec::new();
    for _ in 0..6 {
        shops.push(world.open_shop().await);
    }
    for step in 0..240 {
        let shop = random.random_range(0..shops.len());
        world.happens(&mut shops[shop], &mut random).await;
        if step % 40 == 17 {
            world.catch_up().await;
        }
    }
    for projection in VERSIONED {
        let memory = match (random.random(), projection) {
            (true, Projection::TelemetryCounters) => 4 * LITTLE, // a shop's counters stay together
            (true, _) => LITTLE,
            (false, _) => MEMORY_BYTES_MAX,
        };
        let difference = world.build(projection, memory).await;
        assert_eq!(difference, None, "{projection}, SEED={seed}");
    }
}
