//! Partitions ahead of the head, and ids of telemetry that are forgotten.

use event_store::{EventLog, Reader, Role, Upkeep};
use sqlx::Executor as _;
use tests::World;
use uuid::Uuid;

use crate::support::append;

const SIZE: i64 = 50_000_000;

/// As if so many events had been appended: the last of them stands, in a stream of its own.
async fn grown_to(world: &World, position: i64) {
    sqlx::query(
        "insert into es.events
         select $1, gen_random_uuid(), 'grown', gen_random_uuid()::text, 1, 1, gen_random_uuid(), 'grown.here', '1',
                clock_timestamp(), gen_random_uuid(), gen_random_uuid(), null, 'test', '{}', '{}'",
    )
    .bind(position)
    .execute(&mut world.owner().await)
    .await
    .unwrap();
}

async fn partitions(world: &World, log: &str) -> Vec<String> {
    sqlx::query_scalar(
        "select inhrelid::regclass::text from pg_inherits where inhparent = $1::regclass order by 1",
    )
    .bind(log)
    .fetch_all(&mut world.owner().await)
    .await
    .unwrap()
}

#[tokio::test]
async fn the_log_crosses_partitions_that_were_made_ahead_of_it() {
    let world = World::new().await;
    let store = world.store().await;
    let upkeep = Upkeep::new(world.pool(Role::Writer), world.vault());
    assert_eq!(upkeep.ensure_partitions().await.unwrap(), 0);
    let log = EventLog::open(world.pool(Role::Projector)).await.unwrap();
    for partition in 1..=3 {
        let end = partition * SIZE;
        grown_to(&world, end - 1).await;
        for offset in 0..3 {
            let appended = store
                .append(append(&format!("s-{partition}-{offset}")))
                .await
                .unwrap();
            assert_eq!(appended.position, end + offset);
            let made = upkeep.ensure_partitions().await.unwrap();
            // The head enters a partition with the first position of it that is taken or due next.
            assert_eq!(made, u32::from(offset == 0), "{partition} {offset}");
        }
        let mut reader = Reader::after(log.clone(), end - 2);
        let read: Vec<i64> = reader
            .next(10)
            .await
            .unwrap()
            .iter()
            .map(|event| event.position)
            .collect();
        assert_eq!(read, (end - 1..end + 3).collect::<Vec<_>>());
    }
    assert_eq!(partitions(&world, "es.events").await.len(), 5);
    assert_eq!(partitions(&world, "es.telemetry").await.len(), 2);
    nobody_changes_any_partition(&world).await;
}

/// Whatever partitions there are: each refuses by a trigger of its own, and no runtime role may even try.
async fn nobody_changes_any_partition(world: &World) {
    let mut owner = world.owner().await;
    for log in ["es.events", "es.telemetry"] {
        for table in partitions(world, log).await {
            for statement in [
                format!("update {table} set position = position"),
                format!("delete from {table}"),
                format!("truncate {table}"),
            ] {
                let refused = (&mut owner).execute(&*statement).await.unwrap_err();
                let code = refused.as_database_error().and_then(|error| error.code());
                assert_eq!(code.as_deref(), Some("ES900"), "{statement}");
                for role in [Role::Writer, Role::Projector, Role::Reader] {
                    let refused = world.pool(role).execute(&*statement).await.unwrap_err();
                    let code = refused.as_database_error().and_then(|error| error.code());
                    assert_eq!(code.as_deref(), Some("42501"), "{role:?} {statement}");
                }
            }
        }
    }
}

#[tokio::test]
async fn a_stream_that_spans_partitions_keeps_its_order_and_its_versions() {
    let world = World::new().await;
    let store = world.store().await;
    store.append(append("s")).await.unwrap();
    grown_to(&world, SIZE).await;
    let mut second = append("s");
    second.expected = 1;
    assert_eq!(
        store.append(second.clone()).await.unwrap().position,
        SIZE + 1
    );
    assert!(store.append(second).await.is_err());
    let events = store
        .streams()
        .events_after(&crate::support::stream("s"), 0)
        .await
        .unwrap();
    let positions: Vec<i64> = events.iter().map(|event| event.position).collect();
    assert_eq!(positions, [1, SIZE + 1]);
}

#[tokio::test]
async fn several_processes_make_a_partition_once() {
    let world = World::new().await;
    grown_to(&world, SIZE).await;
    let upkeeps = [(); 4].map(|()| Upkeep::new(world.pool(Role::Writer), world.vault()));
    let made = futures::future::join_all(upkeeps.iter().map(Upkeep::ensure_partitions)).await;
    let made: u32 = made.into_iter().map(Result::unwrap).sum();
    assert_eq!(made, 1);
}

#[tokio::test]
async fn making_a_partition_waits_for_no_reader_and_no_writer() {
    let world = World::new().await;
    let store = world.store().await;
    grown_to(&world, SIZE).await;
    let mut reading = world.owner().await;
    reading
        .execute("begin isolation level repeatable read")
        .await
        .unwrap();
    reading
        .execute("select count(*) from es.events")
        .await
        .unwrap();
    let mut writing = world.owner().await;
    writing.execute("begin").await.unwrap();
    writing
        .execute("insert into es.events select position + 1000000, tenant_id, aggregate_type, 'other', 1, bucket, event_id, event_type, event_version, recorded_at, command_id, correlation_id, causation_id, actor, payload, metadata from es.events")
        .await
        .unwrap();
    assert_eq!(
        Upkeep::new(world.pool(Role::Writer), world.vault())
            .ensure_partitions()
            .await
            .unwrap(),
        1
    );
    writing.execute("rollback").await.unwrap();
    assert_eq!(store.append(append("s")).await.unwrap().position, SIZE + 1);
}

#[tokio::test]
async fn telemetry_ids_that_can_not_come_again_are_forgotten_and_others_are_not() {
    let world = World::new().await;
    let old = "rpad(lpad(to_hex((extract(epoch from clock_timestamp() - interval '49 hours') * 1000)::bigint), 12, '0'), 32, 'f')::uuid";
    let mut owner = world.owner().await;
    let insert = format!(
        "insert into es.telemetry_ids select {old}, gen_random_uuid() from generate_series(1, 12000)"
    );
    owner.execute(&*insert).await.unwrap();
    for (hours, id) in [(47u64, 1u128), (1, 2)] {
        let now = Uuid::now_v7().get_timestamp().unwrap().to_unix().0;
        let recent = uuid::Timestamp::from_unix(uuid::NoContext, now - hours * 3600, 0);
        sqlx::query("insert into es.telemetry_ids values ($1, $2)")
            .bind(Uuid::new_v7(recent))
            .bind(Uuid::from_u128(id))
            .execute(&mut owner)
            .await
            .unwrap();
    }
    let upkeep = Upkeep::new(world.pool(Role::Writer), world.vault());
    assert_eq!(upkeep.prune_ids().await.unwrap(), 12_000);
    assert_eq!(upkeep.prune_ids().await.unwrap(), 0);
    let left: i64 = sqlx::query_scalar("select count(*) from es.telemetry_ids")
        .fetch_one(&mut owner)
        .await
        .unwrap();
    assert_eq!(left, 2);
}
