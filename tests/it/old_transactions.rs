//! Transactions that began long before others appended: what orders by transaction id, and horizons of snapshots, get
//! wrong.

use event_store::{EventLog, Hub, Log, Positioned as _, Reader, RecordedEvent, Role};
use sqlx::{Executor as _, PgConnection};
use tests::World;
use tokio::sync::watch;

use crate::support::{TENANT, append};

#[tokio::test]
async fn an_unrelated_open_transaction_delays_neither_writers_nor_readers() {
    let world = World::new().await;
    let store = world.store().await;
    let mut idle = world.owner().await;
    idle.execute("begin isolation level repeatable read")
        .await
        .unwrap();
    idle.execute("select pg_current_xact_id(), count(*) from es.events")
        .await
        .unwrap();
    store.append(append("s")).await.unwrap();
    let log = EventLog::open(world.pool(Role::Projector)).await.unwrap();
    assert_eq!(log.read(0, 10).await.unwrap().len(), 1);
    idle.execute("rollback").await.unwrap();
}

/// Appends the next event of stream `s`, as a session that calls the lane's function in a transaction of its own.
async fn append_in(transaction: &mut PgConnection, expected: i64) -> i64 {
    sqlx::query_scalar(
        r#"select version from es.append_one(
             (select incarnation from es.log where name = 'events'), gen_random_uuid(), null, $1, 'thing', 's', 0::smallint,
             $2, 'test', gen_random_uuid(), null, '{}', array[gen_random_uuid()], array['thing.happened'], array['1'],
             array['{"n":1}']::json[])"#,
    )
    .bind(TENANT)
    .bind(expected)
    .fetch_one(transaction)
    .await
    .unwrap()
}

/// Positions and sequences up to the end of the log, in reads of so many.
async fn sequences<L: Log>(
    log: &L,
    limit: i64,
    sequence: impl Fn(&L::Record) -> i64,
) -> Vec<(i64, i64)> {
    let mut reader = Reader::after(log.clone(), 0);
    let mut seen = Vec::new();
    loop {
        let records = reader.next(limit).await.unwrap();
        if records.is_empty() {
            return seen;
        }
        seen.extend(
            records
                .iter()
                .map(|record| (record.position(), sequence(record))),
        );
    }
}

#[tokio::test]
async fn a_stream_keeps_its_order_where_an_older_transaction_appends_after_a_younger_one() {
    let world = World::new().await;
    let store = world.store().await;
    let log = EventLog::open(world.pool(Role::Projector)).await.unwrap();
    let hub = Hub::start(log.clone(), watch::channel(()).1, None);
    let everybody_sees = async |count: i64| {
        let expected: Vec<_> = (1..=count).map(|n| (n, n)).collect();
        let sequence = |event: &RecordedEvent| event.sequence;
        assert_eq!(sequences(&log, 100, sequence).await, expected);
        // By COPY, from the second read on.
        assert_eq!(sequences(&log, 1, sequence).await, expected);
        hub.ring();
        hub.grown(count - 1).await;
        assert_eq!(sequences(&hub, 100, |event| event.sequence).await, expected);
    };

    let mut old = event_store::begin(&world.pool(Role::Writer)).await.unwrap();
    (&mut *old)
        .execute("select pg_current_xact_id()")
        .await
        .unwrap();
    for expected in 0..2 {
        let mut next = append("s");
        next.expected = expected;
        store.append(next).await.unwrap();
    }
    everybody_sees(2).await;
    assert_eq!(append_in(&mut old, 2).await, 3);
    // Only now, and until its commit, does it hold the lane; what it wrote is seen by nobody.
    assert_eq!(log.head().await.unwrap().0, 2);
    old.commit().await.unwrap();
    let mut last = append("s");
    last.expected = 3;
    store.append(last).await.unwrap();
    everybody_sees(4).await;

    let transactions: Vec<i64> =
        sqlx::query_scalar("select xmin::text::bigint from es.events order by position")
            .fetch_all(&mut world.owner().await)
            .await
            .unwrap();
    assert!(
        transactions[2] < transactions[0],
        "by transaction id the third would come first: {transactions:?}"
    );
}

#[tokio::test]
async fn an_append_that_might_see_an_old_log_is_refused() {
    let world = World::new().await;
    let pool = world.pool(Role::Writer);
    for isolation in ["repeatable read", "serializable"] {
        for (function, arguments) in [("append", 23), ("append_one", 16)] {
            let mut old = event_store::begin(&pool).await.unwrap();
            let set = format!("set transaction isolation level {isolation}");
            (&mut *old).execute(&*set).await.unwrap();
            let nulls = vec!["null"; arguments].join(", ");
            let call = format!("select * from es.{function}({nulls})");
            let refused = (&mut *old).execute(&*call).await.unwrap_err();
            let code = refused.as_database_error().and_then(|error| error.code());
            assert_eq!(code.as_deref(), Some("ES901"), "{refused}");
        }
    }
}
