//! Several processes share the work, and none is lost or doubled when they come and go.

use std::time::Duration;

use domain::{NotificationId, SiteId};
use event_store::LogName;
use projections::{Projection, ProjectionProgress, Waited};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::facts::{account, now};
use super::world::World;

const LONG: Duration = Duration::from_secs(30);

async fn status(world: &World, name: &str) -> ProjectionProgress {
    let status = world.reads.positions().status().await.unwrap();
    status.into_iter().find(|one| one.name == name).unwrap()
}

/// Shards per worker, in order; driven by the workers' own looks at their leases.
async fn until_shared(world: &World, name: &str, shares: &[&str]) {
    let settled = async {
        loop {
            let one = status(world, name).await;
            let mut found: Vec<&str> = one
                .workers
                .iter()
                .filter_map(|worker| worker.rsplit_once(' ').map(|(_, shards)| shards))
                .collect();
            found.sort_unstable();
            if found == shares {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    if tokio::time::timeout(LONG, settled).await.is_err() {
        panic!("{:?}", status(world, name).await);
    }
}

#[tokio::test]
async fn workers_share_the_shards_and_take_over_from_those_that_leave_or_die() {
    let world = World::new().await;
    let (account, shown) = (account(), NotificationId::from(Uuid::now_v7()));
    let sites: Vec<SiteId> = (0..40).map(|_| SiteId::from(Uuid::now_v7())).collect();
    let mut head = 0;
    let mut sent = 0;
    let mut collect = async |count: usize| {
        for site in &sites {
            head = world
                .collect((account, *site, shown), "click", now(), count)
                .await;
        }
        sent += count as u64;
        (head, sent)
    };
    let stops = [(); 3].map(|()| CancellationToken::new());
    let first = world.projections.spawn_all(&stops[0]);
    until_shared(&world, "telemetry_counters", &["(64)"]).await;
    collect(5).await;
    let (second, third) = (world.another_process().await, world.another_process().await);
    let second = second.spawn_all(&stops[1]);
    let third = third.spawn_all(&stops[2]);
    until_shared(&world, "telemetry_counters", &["(20)", "(22)", "(22)"]).await;
    collect(5).await;
    // One dies without a word, another leaves in order, while work goes on.
    third.abort();
    collect(5).await;
    stops[0].cancel();
    assert!(first.await.unwrap().is_empty());
    let (head, sent) = collect(5).await;
    until_shared(&world, "telemetry_counters", &["(64)"]).await;
    let token = world.reads.positions().token(LogName::Telemetry, head);
    let all = [Projection::TelemetryCounters, Projection::TelemetryFacts];
    let waited = world.reads.wait_for(&all, token, LONG).await;
    assert_eq!(waited.unwrap(), Waited::Reached);
    for site in &sites {
        let counters = world.reads.counters(*site, now()).await.unwrap();
        assert_eq!(counters.value.total[&shown]["click"], sent);
    }
    let stored: (u64, u64) = world
        .clickhouse()
        .query("select count(), uniqExact(position) from telemetry")
        .fetch_one()
        .await
        .unwrap();
    assert_eq!(stored, (sent * 40, sent * 40));
    assert_eq!(status(&world, "telemetry_facts").await.shards_unheld, 0);
    stops[1].cancel();
    assert!(second.await.unwrap().is_empty());
    assert_eq!(status(&world, "telemetry_counters").await.shards_unheld, 64);
}
