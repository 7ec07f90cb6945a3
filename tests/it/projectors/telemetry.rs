use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use domain::NotificationId;
use projections::Projection;
use projections::telemetry_facts::Interval;
use uuid::Uuid;

use super::facts::{account, now};
use super::world::World;

fn notification() -> NotificationId {
    NotificationId::from(Uuid::now_v7())
}

fn time(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

#[tokio::test]
async fn counters_tell_totals_and_the_last_hours_of_a_site() {
    let world = World::new().await;
    let account = account();
    let site = world.register_site(account, "Shoes").await;
    let other = world.register_site(account, "Hats").await;
    let (first, second) = (notification(), notification());
    world
        .collect(
            (account, site, first),
            "impression",
            time("2026-11-21T11:59:55Z"),
            10,
        )
        .await;
    world
        .collect(
            (account, site, first),
            "click",
            time("2026-11-21T12:00:00Z"),
            2,
        )
        .await;
    world
        .collect(
            (account, site, second),
            "impression",
            time("2026-11-19T00:00:00Z"),
            3,
        )
        .await;
    let head = world
        .collect((account, other, first), "impression", now(), 7)
        .await;
    world.catch_up().await;

    let read = world.reads.counters(site, now()).await.unwrap();
    assert_eq!(read.position.position, head);
    let counts = |pairs: &[(&str, u64)]| -> BTreeMap<String, u64> {
        pairs
            .iter()
            .map(|(kind, count)| ((*kind).to_owned(), *count))
            .collect()
    };
    assert_eq!(
        read.value.total[&first],
        counts(&[("click", 2), ("impression", 10)])
    );
    assert_eq!(read.value.total[&second], counts(&[("impression", 3)]));
    assert_eq!(read.value.total.len(), 2);
    let hours = &read.value.hours;
    assert_eq!(hours.len(), 24);
    assert_eq!(hours[23].hour, time("2026-11-21T12:00:00Z"));
    assert_eq!(
        hours[23].counts[&first],
        counts(&[("click", 2), ("impression", 5)])
    );
    assert_eq!(hours[22].counts[&first], counts(&[("impression", 5)]));
    assert!(hours[..22].iter().all(|hour| hour.counts.is_empty()));
}

#[tokio::test]
async fn analytics_count_by_interval_and_notification_within_one_account() {
    let world = World::new().await;
    let (account, stranger) = (account(), account());
    let site = world.register_site(account, "Shoes").await;
    let (first, second) = (notification(), notification());
    world
        .collect(
            (account, site, first),
            "impression",
            time("2026-11-20T23:59:58Z"),
            5,
        )
        .await;
    world
        .collect(
            (account, site, second),
            "click",
            time("2026-11-21T10:00:00Z"),
            4,
        )
        .await;
    // Another account that claims the same site, and a time outside the question.
    world
        .collect(
            (stranger, site, first),
            "impression",
            time("2026-11-21T10:00:00Z"),
            9,
        )
        .await;
    let head = world
        .collect(
            (account, site, first),
            "impression",
            time("2026-11-22T00:00:00Z"),
            1,
        )
        .await;
    world.catch_up().await;

    let (start, end) = (time("2026-11-20T00:00:00Z"), time("2026-11-22T00:00:00Z"));
    let ask = |account, interval| world.reads.analytics(account, site, start, end, interval);
    let by_day = ask(account, Interval::Day).await.unwrap();
    assert_eq!(by_day.position.position, head);
    let days: Vec<_> = by_day
        .value
        .intervals
        .iter()
        .map(|count| (count.start, &*count.kind, count.events))
        .collect();
    assert_eq!(
        days,
        [
            (time("2026-11-20T00:00:00Z"), "impression", 2),
            (time("2026-11-21T00:00:00Z"), "click", 4),
            (time("2026-11-21T00:00:00Z"), "impression", 3),
        ]
    );
    let totals: BTreeMap<_, _> = by_day
        .value
        .totals
        .iter()
        .map(|total| ((total.notification_id, &*total.kind), total.events))
        .collect();
    assert_eq!(
        totals,
        BTreeMap::from([((first, "impression"), 5), ((second, "click"), 4)])
    );
    let by_hour = ask(account, Interval::Hour).await.unwrap().value;
    assert_eq!(by_hour.intervals[0].start, time("2026-11-20T23:00:00Z"));
    assert_eq!(by_hour.intervals.len(), 3);
    let foreign = ask(super::facts::account(), Interval::Hour)
        .await
        .unwrap()
        .value;
    assert!(foreign.intervals.is_empty() && foreign.totals.is_empty());
}

#[tokio::test]
async fn what_is_stored_of_an_event_in_clickhouse_is_what_the_log_holds() {
    let world = World::new().await;
    let account = account();
    let site = world.register_site(account, "Shoes").await;
    let shown = notification();
    world
        .collect((account, site, shown), "impression", now(), 1)
        .await;
    world.catch_up().await;
    let row: String = world
        .clickhouse()
        .query(
            "select concat(toString(position), ' ', toString(account_id), ' ', toString(site_id), ' ',
                           toString(notification_id), ' ', kind, ' ', page, ' ', toString(occurred_at)) from telemetry",
        )
        .fetch_one()
        .await
        .unwrap();
    assert_eq!(
        row,
        format!("1 {account} {site} {shown} impression /products/ä 2026-11-21 12:34:56.000000")
    );
}

#[tokio::test]
async fn two_hundred_thousand_events_are_counted_alike_everywhere() {
    const COUNT: usize = 200_000;
    let world = World::new().await;
    let account = account();
    let site = world.register_site(account, "Shoes").await;
    let shown = notification();
    let start = now() - TimeDelta::days(3);
    world
        .collect((account, site, shown), "impression", start, COUNT)
        .await;
    world.catch_up().await;
    let counters = world.reads.counters(site, now()).await.unwrap().value;
    assert_eq!(counters.total[&shown]["impression"], COUNT as u64);
    let all = world
        .reads
        .analytics(account, site, start, now(), Interval::Day)
        .await
        .unwrap();
    assert_eq!(all.value.totals[0].events, COUNT as u64);
    let status = world.reads.positions().status().await.unwrap();
    for projection in Projection::ALL {
        let progress = status
            .iter()
            .find(|one| one.name == projection.name())
            .unwrap();
        assert_eq!(
            (progress.lag, &progress.last_error),
            (0, &None),
            "{projection}"
        );
    }
}
