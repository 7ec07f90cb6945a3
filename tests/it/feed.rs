//! Readers stop loudly at a log that is not what it must be.

use event_store::{EventLog, Extent, FeedError, Log, NewTelemetry, Reader, Role, TelemetryLog};
use serde_json::json;
use sqlx::Executor as _;
use tests::World;
use uuid::Uuid;

use crate::support::{TENANT, append, event};

/// Five events, and a reader at the beginning.
async fn five_events(world: &World) -> Reader<EventLog> {
    let store = world.store().await;
    for n in 0..5 {
        store.append(append(&format!("s-{n}"))).await.unwrap();
    }
    Reader::after(
        EventLog::open(world.pool(Role::Projector)).await.unwrap(),
        0,
    )
}

/// What only a superuser who switches the triggers off can do.
async fn tamper(world: &World, statement: &str) {
    let mut owner = world.owner().await;
    owner
        .execute("set session_replication_role = replica")
        .await
        .unwrap();
    (&mut owner).execute(statement).await.unwrap();
}

#[tokio::test]
async fn a_reader_sees_every_event_in_order() {
    let world = World::new().await;
    let mut reader = five_events(&world).await;
    assert_eq!(reader.next(3).await.unwrap().len(), 3);
    assert_eq!(reader.next(3).await.unwrap().len(), 2);
    assert_eq!(reader.next(3).await.unwrap().len(), 0);
    assert_eq!(reader.position(), 5);
}

/// How a reader comes by its records.
#[derive(Clone, Copy, Debug)]
enum Path {
    /// By query, as at the head.
    Query,
    /// By `COPY`, as far behind it.
    Copy,
}

impl Path {
    const ALL: [Self; 2] = [Self::Query, Self::Copy];

    /// Reads to the head, or to where it stops.
    async fn read(self, reader: &mut Reader<EventLog>) -> Result<(), FeedError> {
        let limit = match self {
            Self::Query => 100,
            // The first read learns where the head is; it is at least as far away before every further one.
            Self::Copy => 1,
        };
        while !reader.next(limit).await?.is_empty() {}
        Ok(())
    }
}

/// What the reader says of a log that was tampered with, and how far it came, by every path.
async fn stopped_by(tampering: &str) -> Vec<(Path, i64, FeedError)> {
    let world = World::new().await;
    five_events(&world).await;
    tamper(&world, tampering).await;
    let mut stopped = Vec::new();
    for path in Path::ALL {
        let log = EventLog::open(world.pool(Role::Projector)).await.unwrap();
        let mut reader = Reader::after(log, 0);
        let error = path.read(&mut reader).await.expect_err("stops");
        stopped.push((path, reader.position(), error));
    }
    stopped
}

#[tokio::test]
async fn a_gap_stops_the_reader_and_is_named() {
    for (path, _, stopped) in stopped_by("delete from es.events where position = 3").await {
        assert!(
            matches!(
                stopped,
                FeedError::NotContiguous {
                    expected: 3,
                    found: 4,
                    ..
                }
            ),
            "{path:?}: {stopped}"
        );
        assert!(stopped.to_string().contains("position 3"), "{stopped}");
    }
}

#[tokio::test]
async fn a_duplicate_stops_the_reader_and_is_named() {
    let twice = "alter table es.events drop constraint events_pkey;
                 insert into es.events select 3, tenant_id, aggregate_type, 's-copy', sequence, bucket, event_id,
                   event_type, event_version, recorded_at, command_id, correlation_id, causation_id, actor, payload, metadata
                 from es.events where position = 3";
    for (path, _, stopped) in stopped_by(twice).await {
        assert!(
            matches!(stopped, FeedError::NotContiguous { found: 3, .. }),
            "{path:?}: {stopped}"
        );
    }
}

#[tokio::test]
async fn a_swap_stops_the_reader_and_is_named() {
    let swap = "update es.events set position = 1000 where position = 3;
                update es.events set position = 3 where position = 4;
                update es.events set position = 4 where position = 1000";
    for (path, position, stopped) in stopped_by(swap).await {
        assert!(
            matches!(stopped, FeedError::OutOfOrder { position: 4, .. }),
            "{path:?}: {stopped}"
        );
        assert!(position < 4, "{path:?} read {position}");
    }
}

#[tokio::test]
async fn the_events_of_one_command_are_not_swapped_unnoticed() {
    let world = World::new().await;
    let store = world.store().await;
    let mut command = append("s");
    command.events = (0..3).map(|n| event(json!({ "n": n }))).collect();
    store.append(command).await.unwrap();
    tamper(
        &world,
        "update es.events set position = 1000 where position = 2;
         update es.events set position = 2 where position = 3;
         update es.events set position = 3 where position = 1000",
    )
    .await;
    for path in Path::ALL {
        let log = EventLog::open(world.pool(Role::Projector)).await.unwrap();
        let stopped = path.read(&mut Reader::after(log, 0)).await.unwrap_err();
        assert!(
            matches!(stopped, FeedError::OutOfOrder { position: 2, .. }),
            "{path:?}: {stopped}"
        );
    }
}

#[tokio::test]
async fn a_failed_read_says_where_and_leaves_the_reader_there() {
    let world = World::new().await;
    let mut reader = five_events(&world).await;
    reader.next(2).await.unwrap();
    tamper(&world, "alter table es.events rename column actor to who").await;
    let failed = reader.next(2).await.unwrap_err();
    assert!(
        matches!(failed, FeedError::Read { after: 2, .. }),
        "{failed}"
    );
    assert_eq!(reader.position(), 2);
    tamper(&world, "alter table es.events rename column who to actor").await;
    assert_eq!(reader.next(10).await.unwrap().len(), 3);
}

#[tokio::test]
async fn the_bytes_of_a_read_are_bounded() {
    let world = World::new().await;
    let mut reader = five_events(&world).await.with_bytes_max(1);
    for position in 1..=5 {
        assert_eq!(reader.next(10).await.unwrap().len(), 1);
        assert_eq!(reader.position(), position);
    }
    let mut reader = Reader::after(reader.log().clone(), 0).with_bytes_max(2_000);
    let mut reads = Vec::new();
    while reader.position() < 5 {
        reads.push(reader.next(10).await.unwrap().len());
    }
    assert!(reads.iter().all(|read| (1..5).contains(read)), "{reads:?}");
    assert!(reads.iter().any(|read| *read > 1), "{reads:?}");
}

/// Every column, the same to the byte.
#[tokio::test]
async fn both_logs_read_alike_by_query_and_by_copy() {
    let world = World::new().await;
    let store = world.store().await;
    for n in 0..5 {
        let mut append = append(&format!("s-{n}"));
        append.origin.causation_id = (n % 2 == 0).then(Uuid::now_v7);
        append.events = vec![event(json!({ "text": "Zoë\u{1f600}\n", "n": n })); 1 + n];
        for event in &mut append.events {
            event.id = Uuid::now_v7();
        }
        store.append(append).await.unwrap();
    }
    let batch = (0..9).map(telemetry).collect();
    world.telemetry().await.collect(batch).await.unwrap();
    let pool = world.pool(Role::Projector);
    alike(EventLog::open(pool.clone()).await.unwrap(), 15).await;
    assert!(was_copied(&world, "es.events").await);
    alike(TelemetryLog::open(pool).await.unwrap(), 9).await;
}

/// Whether the last that a projector asked for was a bulk of this table.
async fn was_copied(world: &World, table: &str) -> bool {
    sqlx::query_scalar(
        "select exists (select from pg_stat_activity where application_name = 'proofline_projector'
           and datname = current_database() and query ~ '^copy ' and query ~ $1)",
    )
    .bind(table)
    .fetch_one(&mut world.owner().await)
    .await
    .unwrap()
}

async fn alike<L: Log<Record: std::fmt::Debug>>(log: L, count: usize) {
    let extent = |bulk| Extent {
        after: 0,
        records_max: 100,
        bytes_max: usize::MAX,
        bulk,
    };
    let by_query = log.page(extent(false)).await.unwrap();
    let by_copy = log.page(extent(true)).await.unwrap();
    assert_eq!(by_query.records.len(), count);
    assert_eq!(format!("{by_query:?}"), format!("{by_copy:?}"));
    assert_eq!(by_query.head, count as i64);
    assert_eq!(by_query.incarnation, log.incarnation());
}

fn telemetry(n: u32) -> NewTelemetry {
    NewTelemetry {
        id: Uuid::now_v7(),
        tenant: TENANT,
        owner: Uuid::from_u128(0x0123),
        kind: "impression".to_owned(),
        occurred_at: platform::clock::now(),
        payload: json!({ "n": n }),
    }
}

#[tokio::test]
async fn a_lost_tail_is_noticed() {
    let world = World::new().await;
    let mut reader = five_events(&world).await;
    reader.next(10).await.unwrap();
    tamper(&world, "delete from es.events where position > 3").await;
    let stopped = reader.next(10).await.unwrap_err();
    assert!(
        matches!(
            stopped,
            FeedError::LostTail {
                position: 5,
                head: 3,
                ..
            }
        ),
        "{stopped}"
    );
}

#[tokio::test]
async fn another_incarnation_is_noticed() {
    let world = World::new().await;
    let mut reader = five_events(&world).await;
    reader.next(10).await.unwrap();
    tamper(&world, "update es.log set incarnation = gen_random_uuid()").await;
    assert!(matches!(
        reader.next(10).await,
        Err(FeedError::OtherIncarnation { .. })
    ));
}
