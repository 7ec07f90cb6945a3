//! What breaks under a call of the lane, at each point where it can: before the lock, after the insert, and after the commit
//! before the reply. Whatever it was, every command is answered and has one effect.

use event_store::{Append, AppendError, Appended, EventLog, Log as _, Role, Store};
use sqlx::{Connection as _, Executor as _, PgConnection};
use tests::World;
use tests::proxy::{Proxy, split_address};
use tokio::task::JoinHandle;

use crate::support::{append, keyed, tag_key};

type Pending = JoinHandle<Result<Appended, AppendError>>;

fn submit(store: &Store, append: Append) -> Pending {
    let store = store.clone();
    tokio::spawn(async move { store.append(append).await })
}

/// Holds the lane's own lock, as a call that does not end.
async fn lane_held(world: &World) -> PgConnection {
    let mut owner = world.owner().await;
    owner.execute("begin").await.unwrap();
    owner
        .execute("select pg_advisory_xact_lock(20261121, 1)")
        .await
        .unwrap();
    owner
}

/// Waits until so many backends of the lane wait for a lock of that kind.
async fn waiting(watcher: &mut PgConnection, kind: &str, backends: i64) {
    loop {
        let waiting: i64 = sqlx::query_scalar(
            "select count(*) from pg_stat_activity
             where datname = current_database() and wait_event_type = 'Lock' and wait_event = $1",
        )
        .bind(kind)
        .fetch_one(&mut *watcher)
        .await
        .unwrap();
        if waiting >= backends {
            return;
        }
        tokio::task::yield_now().await;
    }
}

async fn terminate_waiting(watcher: &mut PgConnection) -> i64 {
    sqlx::query_scalar(
        "select count(pg_terminate_backend(pid)) from pg_stat_activity
         where datname = current_database() and wait_event_type = 'Lock'",
    )
    .fetch_one(watcher)
    .await
    .unwrap()
}

/// Every command was done, each once, and the log is whole.
async fn all_done_once(world: &World, pending: Vec<Pending>) {
    let mut positions = Vec::new();
    for reply in pending {
        positions.push(reply.await.unwrap().unwrap().position);
    }
    positions.sort_unstable();
    let expected: Vec<i64> = (1..=positions.len() as i64).collect();
    assert_eq!(positions, expected);
    let log = EventLog::open(world.pool(Role::Projector)).await.unwrap();
    let stored: Vec<i64> = log
        .read(0, 1_000)
        .await
        .unwrap()
        .iter()
        .map(|event| event.position)
        .collect();
    assert_eq!(stored, expected);
}

#[tokio::test]
async fn backends_that_die_before_the_lock_have_done_nothing_and_the_commands_are_sent_again() {
    let world = World::new().await;
    let store = world.store().await;
    let mut watcher = world.owner().await;
    let held = lane_held(&world).await;
    let mut pending = vec![submit(&store, append("first"))];
    waiting(&mut watcher, "advisory", 1).await;
    pending.extend((0..20).map(|n| submit(&store, append(&format!("s-{n}")))));
    waiting(&mut watcher, "advisory", 2).await;
    assert_eq!(terminate_waiting(&mut watcher).await, 2);
    held.close().await.unwrap();
    all_done_once(&world, pending).await;
}

#[tokio::test]
async fn a_backend_that_dies_after_the_insert_leaves_nothing_and_the_command_is_sent_again() {
    let world = World::new().await;
    let store = world.store().await;
    let mut watcher = world.owner().await;
    // The last table that a call writes; reading it goes on.
    let mut held = world.owner().await;
    held.execute("begin").await.unwrap();
    held.execute("lock table es.commands in exclusive mode")
        .await
        .unwrap();
    let pending = vec![submit(&store, keyed(append("s"), 1, 1))];
    waiting(&mut watcher, "relation", 1).await;
    assert_eq!(terminate_waiting(&mut watcher).await, 1);
    let seen: i64 = sqlx::query_scalar("select count(*) from es.events")
        .fetch_one(&mut watcher)
        .await
        .unwrap();
    assert_eq!(seen, 0);
    held.close().await.unwrap();
    all_done_once(&world, pending).await;
}

#[tokio::test]
async fn a_batch_whose_reply_is_lost_after_the_commit_is_found_and_not_sent_again() {
    let world = World::new().await;
    let (through, server) = split_address(&world.database_url);
    let proxy = Proxy::start(server).await.unwrap();
    let streams = world.store().await.streams().clone();
    let lane = event_store::connect_lane(&through(proxy.address)).unwrap();
    let store = Store::open(lane, streams, tag_key()).await.unwrap();
    let mut watcher = world.owner().await;

    let held = lane_held(&world).await;
    let mut pending = vec![submit(&store, append("first"))];
    waiting(&mut watcher, "advisory", 1).await;
    pending.push(submit(&store, append("second")));
    waiting(&mut watcher, "advisory", 2).await;
    // Both calls are in flight, so the rest gather and go together.
    for n in 0..20u8 {
        let own = append(&format!("s-{n}"));
        pending.push(submit(
            &store,
            if n % 2 == 0 {
                own
            } else {
                keyed(own, u128::from(n), n)
            },
        ));
    }
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    proxy.swallow_next_reply();
    held.close().await.unwrap();
    all_done_once(&world, pending).await;
    assert_eq!(proxy.broken(), 1, "the fault was injected");
}
