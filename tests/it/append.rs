//! The append lane against a real Postgres.

use event_store::{Append, AppendError, Appended, EventLog, Log as _, Role};
use futures::future::join_all;
use serde_json::json;
use sqlx::Executor as _;
use tests::World;
use uuid::Uuid;

use crate::support::{OTHER_TENANT, append, code, event, keyed, stream};

#[tokio::test]
async fn positions_are_contiguous_and_sequences_follow_them() {
    let world = World::new().await;
    let store = world.store().await;
    let appends = (0..200).map(|n| {
        let mut append = append(&format!("s-{}", n % 200));
        append.events = (0..=n % 3).map(|n| event(json!({ "n": n }))).collect();
        store.append(append)
    });
    let results = join_all(appends).await;
    assert!(results.iter().all(Result::is_ok));
    let log = EventLog::open(world.pool(Role::Projector)).await.unwrap();
    let events = log.read(0, 10_000).await.unwrap();
    assert_eq!(events.len(), 399);
    for (event, position) in events.iter().zip(1..) {
        assert_eq!(event.position, position);
    }
    assert!(
        events
            .windows(2)
            .all(|pair| pair[0].recorded_at <= pair[1].recorded_at)
    );
}

#[tokio::test]
async fn a_conflict_costs_nobody_else_anything() {
    let world = World::new().await;
    let store = world.store().await;
    store.append(append("taken")).await.unwrap();
    let mut stale = append("taken");
    stale.expected = 0;
    let (before, conflict, after) = tokio::join!(
        store.append(append("a")),
        store.append(stale),
        store.append(append("b"))
    );
    assert!(before.is_ok() && after.is_ok());
    assert!(matches!(conflict, Err(AppendError::Conflict { actual: 1 })));
}

#[tokio::test]
async fn of_two_with_the_same_expected_version_exactly_one_wins() {
    let world = World::new().await;
    let (first, second) = (world.store().await, world.store().await);
    for round in 0..50 {
        let id = format!("s-{round}");
        let (one, two) = tokio::join!(first.append(append(&id)), second.append(append(&id)));
        let won = [&one, &two].iter().filter(|result| result.is_ok()).count();
        assert_eq!(won, 1, "{one:?} {two:?}");
    }
}

#[tokio::test]
async fn a_repeated_key_returns_the_stored_result_and_another_request_is_refused() {
    let world = World::new().await;
    let store = world.store().await;
    let first = store.append(keyed(append("s"), 7, 1)).await.unwrap();
    let mut repeated = keyed(append("s"), 7, 1);
    repeated.expected = 1; // as the caller would now decide it
    let again = store.append(repeated).await.unwrap();
    assert!(again.replayed && !first.replayed);
    assert_eq!(
        (again.version, again.position),
        (first.version, first.position)
    );
    let reused = store.append(keyed(append("other"), 7, 2)).await;
    assert!(matches!(reused, Err(AppendError::KeyReused)));
    assert_eq!(store.streams().head(&stream("other")).await.unwrap(), None);
}

#[tokio::test]
async fn many_concurrent_repeats_of_one_key_have_one_effect() {
    let world = World::new().await;
    let stores = [
        world.store().await,
        world.store().await,
        world.store().await,
    ];
    let repeats = (0..60).map(|n| stores[n % 3].append(keyed(append("s"), 9, 1)));
    let results: Vec<_> = join_all(repeats)
        .await
        .into_iter()
        .map(Result::unwrap)
        .collect();
    assert_eq!(results.iter().filter(|result| !result.replayed).count(), 1);
    assert!(
        results
            .iter()
            .all(|result| (result.version, result.position) == (1, 1))
    );
}

#[tokio::test]
async fn another_tenants_stream_is_not_found() {
    let world = World::new().await;
    let store = world.store().await;
    store.append(append("s")).await.unwrap();
    for expected in [0, 1] {
        let mut foreign = append("s");
        foreign.tenant = OTHER_TENANT;
        foreign.expected = expected;
        assert!(matches!(
            store.append(foreign).await,
            Err(AppendError::NotFound)
        ));
    }
}

#[tokio::test]
async fn a_command_without_events_gets_a_status_and_its_key_is_remembered() {
    let world = World::new().await;
    let store = world.store().await;
    store.append(append("s")).await.unwrap();
    let mut empty = keyed(append("s"), 5, 1);
    empty.events.clear();
    empty.expected = 1;
    let done = store.append(empty.clone()).await.unwrap();
    assert_eq!((done.version, done.position, done.replayed), (1, 1, false));
    empty.expected = 0; // no matter what it would meet now
    assert!(store.append(empty).await.unwrap().replayed);
}

#[tokio::test]
async fn a_value_that_the_database_refuses_costs_its_own_command_only() {
    let world = World::new().await;
    let store = world.store().await;
    let appends = (0..40).map(|n| {
        let mut append = append(&format!("s-{n}"));
        if n == 17 {
            append.origin.actor = "a zero byte: \0".to_owned();
        }
        store.append(append)
    });
    for (n, result) in join_all(appends).await.into_iter().enumerate() {
        match n {
            17 => assert!(
                matches!(result, Err(AppendError::Rejected(_))),
                "{result:?}"
            ),
            _ => assert!(result.is_ok(), "{n}: {result:?}"),
        }
    }
    let log = EventLog::open(world.pool(Role::Projector)).await.unwrap();
    assert_eq!(log.head().await.unwrap().0, 39);
}

/// What a command meets, and what it is told. Each row alone in its call (`es.append_one`) and beside another
/// (`es.append`): the two have the same rules.
#[tokio::test]
async fn a_command_is_told_the_same_alone_and_in_company() {
    let world = World::new().await;
    let store = world.store().await;
    for company in [false, true] {
        let s = format!("s-{company}");
        let key = |n: u128| n + 100 * u128::from(company);
        let other = |id: &str| format!("{id}-{company}");
        let send = async |append: Append| {
            if !company {
                return store.append(append).await;
            }
            // While the first is in flight the others gather, so that some of them are not alone.
            let crowd = (0..8)
                .map(|n| store.append(self::append(&format!("crowd-{}-{n}", Uuid::now_v7()))));
            tokio::join!(join_all(crowd), store.append(append)).1
        };
        let of_version = |expected: i64, append: Append| Append { expected, ..append };
        let done = |result: Result<Appended, AppendError>| {
            let appended = result.unwrap();
            (appended.aggregate_id, appended.version, appended.replayed)
        };

        let mut several = keyed(append(&s), key(1), 1);
        several
            .events
            .extend([event(json!({ "n": 2 })), event(json!({ "n": 3 }))]);
        assert_eq!(done(send(several.clone()).await), (s.clone(), 3, false));
        assert_eq!(done(send(several.clone()).await), (s.clone(), 3, true));
        let reused = send(keyed(append(&other("other")), key(1), 2)).await;
        assert!(matches!(reused, Err(AppendError::KeyReused)), "{reused:?}");
        let mut foreign = append(&s);
        foreign.tenant = OTHER_TENANT;
        let not_found = send(foreign).await;
        assert!(
            matches!(not_found, Err(AppendError::NotFound)),
            "{not_found:?}"
        );
        let conflict = send(of_version(2, append(&s))).await;
        assert!(
            matches!(conflict, Err(AppendError::Conflict { actual: 3 })),
            "{conflict:?}"
        );
        let absent = send(of_version(1, append(&other("absent")))).await;
        assert!(
            matches!(absent, Err(AppendError::Conflict { actual: 0 })),
            "{absent:?}"
        );
        let mut empty = keyed(of_version(3, append(&s)), key(2), 1);
        empty.events.clear();
        assert_eq!(done(send(empty.clone()).await), (s.clone(), 3, false));
        assert_eq!(done(send(empty).await), (s.clone(), 3, true));
        let mut absent = keyed(append(&other("empty")), key(3), 1);
        absent.events.clear();
        assert_eq!(done(send(absent).await), (other("empty"), 0, false));
        assert_eq!(
            done(send(of_version(3, append(&s))).await),
            (s.clone(), 4, false)
        );
        sqlx::query("update es.streams set status = 1 where aggregate_id = $1")
            .bind(&s)
            .execute(&mut world.owner().await)
            .await
            .unwrap();
        let closed = send(of_version(4, append(&s))).await;
        assert!(matches!(closed, Err(AppendError::Closed)), "{closed:?}");
        assert_eq!(done(send(several).await), (s.clone(), 3, true));
    }
    let log = EventLog::open(world.pool(Role::Projector)).await.unwrap();
    let events = log.read(0, 10_000).await.unwrap();
    assert!(
        events
            .iter()
            .zip(1..)
            .all(|(event, position)| event.position == position)
    );
    let streams: Vec<(String, i64, i64, i64)> = sqlx::query_as(
        "select aggregate_id, version, first_position, last_position from es.streams",
    )
    .fetch_all(&mut world.owner().await)
    .await
    .unwrap();
    for (id, version, first, last) in streams {
        let of_stream: Vec<_> = events
            .iter()
            .filter(|event| event.stream.aggregate_id == id)
            .collect();
        assert!(
            of_stream
                .iter()
                .zip(1..)
                .all(|(event, sequence)| event.sequence == sequence)
        );
        assert_eq!(of_stream.len() as i64, version);
        assert_eq!(
            (
                of_stream[0].position,
                of_stream[of_stream.len() - 1].position
            ),
            (first, last)
        );
    }
}

#[tokio::test]
async fn nobody_updates_deletes_or_truncates_events() {
    let world = World::new().await;
    world.store().await.append(append("s")).await.unwrap();
    let statements = |table: &str| {
        [
            format!("update es.{table} set actor = 'x'"),
            format!("delete from es.{table}"),
            format!("truncate es.{table}"),
        ]
    };
    let runtime = [
        world.pool(Role::Writer),
        world.pool(Role::Projector),
        world.pool(Role::Reader),
        world.pool(Role::Compliance),
    ];
    let mut owner = world.owner().await;
    for table in ["events", "events_p0000", "events_p0001"] {
        for statement in statements(table) {
            for pool in &runtime {
                let refused = pool.execute(&*statement).await.unwrap_err();
                assert_eq!(code(&refused), "42501", "{statement}");
            }
            // Even the superuser, as long as he does not switch the trigger off.
            let refused = (&mut owner).execute(&*statement).await.unwrap_err();
            assert_eq!(code(&refused), "ES900", "{statement}");
        }
    }
    for pool in &runtime {
        let inserted = pool
            .execute("insert into es.events select * from es.events")
            .await;
        assert_eq!(code(&inserted.unwrap_err()), "42501");
    }
}

#[tokio::test]
async fn runtime_roles_own_nothing_and_create_nothing() {
    let world = World::new().await;
    let owned: i64 = sqlx::query_scalar(
        "select count(*) from pg_class c join pg_roles r on r.oid = c.relowner where r.rolname like 'proofline_%'",
    )
    .fetch_one(&mut world.owner().await)
    .await
    .unwrap();
    assert_eq!(owned, 0);
    for role in [
        Role::Writer,
        Role::Projector,
        Role::Reader,
        Role::Compliance,
    ] {
        for schema in ["public", "es", "pg_temp"] {
            let created = world
                .pool(role)
                .execute(&*format!("create table {schema}.mine ()"))
                .await;
            assert_eq!(code(&created.unwrap_err()), "42501", "{role:?} in {schema}");
        }
    }
}
