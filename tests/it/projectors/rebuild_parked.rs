//! Versions that are built while keys wait, or where events were discarded.

use domain::{NotificationId, SiteId};
use event_store::{DeadLetters, Role};
use projections::Projection;
use projections::rebuild::{MEMORY_BYTES_MAX, RebuildError, Tracker, Waiting};
use uuid::Uuid;

use super::facts::{account, now, renamed, vanished};
use super::rebuild::LITTLE;
use super::world::{World, rows};

#[tokio::test]
async fn a_version_built_while_a_key_waits_equals_and_so_does_one_built_after_the_discard() {
    let world = World::new().await;
    let account = account();
    let site = world.register_site(account, "Shoes").await;
    let stream = ("site", site.into());
    let position = world.append_raw(account, stream, 1, vec![vanished()]).await;
    world.append(account, stream, 2, &[renamed("Boots")]).await;
    world.register_site(account, "Hats").await;
    world.catch_up().await;

    assert_eq!(world.build(Projection::SiteList, LITTLE).await, None);
    let letters = DeadLetters::new(world.pool(Role::Projector));
    let waiting = letters.list(Some("site_list"), false).await.unwrap();
    let of = waiting
        .iter()
        .map(|letter| (letter.version, letter.position));
    assert_eq!(
        of.collect::<Vec<_>>(),
        [(1, position)],
        "what was built left nothing"
    );

    // Trying every event again, the build ends at the one that can't be told, and leaves nothing either.
    let drivers = world.projections.drivers();
    let work = drivers.rebuild(Projection::SiteList, Tracker::default());
    let work = work.await.unwrap();
    let built = work.build(Waiting::TriedAgain, MEMORY_BYTES_MAX).await;
    assert!(matches!(built, Err(RebuildError::Sink(_))), "{built:?}");
    work.end().await.unwrap();

    // What waits goes on waiting in the version that is served next, and comes there when somebody asks.
    let version = world.swap(Projection::SiteList).await;
    assert_eq!(world.served(Projection::SiteList).await, version);
    let discard = letters.discard("site_list", position, "operator:1", "never released");
    discard.await.unwrap();
    // Decided, and not done yet.
    assert_eq!(world.build(Projection::SiteList, LITTLE).await, None);
    world.catch_up().await;
    let names =
        "select name from rm_site_list_v1.site except select name from rm_site_list_v2.site";
    let names: Vec<String> = sqlx::query_scalar(names)
        .fetch_all(&mut world.owner().await)
        .await
        .unwrap();
    assert_eq!((version, names), (2, Vec::new()));
    assert_eq!(world.name_of(account, site).await.unwrap(), "Boots");

    // A version that never saw the decision being made keeps to it.
    assert_eq!(world.build(Projection::SiteList, LITTLE).await, None);
    let work = drivers.rebuild(Projection::SiteList, Tracker::default());
    let work = work.await.unwrap();
    let version = work.build(Waiting::TriedAgain, LITTLE).await.unwrap();
    assert_eq!(work.compare(version).await.unwrap().difference, None);
    work.end().await.unwrap();
}

#[tokio::test]
async fn versions_in_redis_and_clickhouse_leave_out_what_waits_and_what_was_discarded() {
    let world = World::new().await;
    let account = account();
    let site = SiteId::from(Uuid::now_v7());
    let shown = NotificationId::from(Uuid::now_v7());
    let of = (account, site, shown);
    world.collect(of, "click", now(), 40).await;
    let position = world.collect_poison(account, site).await;
    world.collect(of, "click", now(), 10).await;
    world.catch_up().await;
    let sinks = [Projection::TelemetryCounters, Projection::TelemetryFacts];
    for projection in sinks {
        assert_eq!(world.build(projection, MEMORY_BYTES_MAX).await, None);
    }
    let letters = DeadLetters::new(world.pool(Role::Projector));
    for projection in sinks {
        let name = projection.name();
        let discard = letters.discard(name, position, "operator:1", "a broken script");
        discard.await.unwrap();
    }
    world.catch_up().await;
    assert_eq!(rows(&world, "es.parked_keys").await, 0);
    for projection in sinks {
        assert_eq!(world.swap(projection).await, 2);
    }
    world.collect(of, "click", now(), 7).await;
    world.catch_up().await;
    let counters = world.reads.counters(site, now()).await.unwrap();
    assert_eq!(counters.value.total[&shown]["click"], 57);
    for projection in sinks {
        assert_eq!(world.build(projection, MEMORY_BYTES_MAX).await, None);
    }
}
