//! What breaks under a call of the lane, at each point where it can: before the lock, after the insert, and after the commit
//! before the reply. Whatever it was, every command is answered and has one effect.

use event_store::{Append, AppendError, Appended, EventLog, Log as _, Role, Store, Tag};
use serde_json::json;
use tests::World;
use tests::proxy::{Proxy, split_address};
use tokio::runtime;
use tokio::task::JoinHandle;

use crate::halt::Halt;
use crate::support::{append, event, keyed, stream, tag_key};

type Pending = JoinHandle<Result<Appended, AppendError>>;

fn submit(store: &Store, append: Append) -> Pending {
    let store = store.clone();
    tokio::spawn(async move { store.append(append).await })
}

/// A store whose lane goes by way of a proxy.
async fn behind_proxy(world: &World) -> (Store, Proxy) {
    let (through, server) = split_address(&world.database_url);
    let proxy = Proxy::start(server).await.unwrap();
    (store_at(world, &through(proxy.address)).await, proxy)
}

/// A store whose lane leads there.
async fn store_at(world: &World, database_url: &str) -> Store {
    let streams = world.store().await.streams().clone();
    let lane = event_store::connect_lane(database_url).unwrap();
    Store::open(lane, streams, tag_key()).await.unwrap()
}

/// Submits what gathers while both calls are in flight, and so goes together: some under a key, some under a tag.
async fn gathered(store: &Store, commands: u8) -> Vec<Pending> {
    let submitted = (0..commands).map(|n| {
        let mut own = append(&format!("gathered-{n}"));
        own.events[0].tags = vec![Tag::new("n", &n.to_string())];
        let own = if n % 2 == 0 {
            own
        } else {
            keyed(own, u128::from(n), n)
        };
        submit(store, own)
    });
    let submitted = submitted.collect();
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    submitted
}

async fn stored(world: &World) -> Vec<i64> {
    let log = EventLog::open(world.pool(Role::Projector)).await.unwrap();
    let events = log.read(0, 1_000).await.unwrap();
    events.iter().map(|event| event.position).collect()
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
    assert_eq!(stored(world).await, expected);
}

#[tokio::test]
async fn backends_that_die_before_the_lock_have_done_nothing_and_the_commands_are_sent_again() {
    let world = World::new().await;
    let store = world.store().await;
    let mut halt = Halt::before_the_lane(&world.database_url).await;
    let mut pending = vec![submit(&store, append("first"))];
    halt.reached(1).await;
    pending.extend(gathered(&store, 20).await);
    halt.reached(2).await;
    assert_eq!(halt.kill().await, 2);
    halt.release().await;
    all_done_once(&world, pending).await;
}

#[tokio::test]
async fn a_backend_that_dies_after_the_insert_leaves_nothing_and_the_command_is_sent_again() {
    let world = World::new().await;
    let store = world.store().await;
    // The last table that a call writes.
    let mut halt = Halt::after_writing(&world.database_url, "es.commands").await;
    let pending = vec![submit(&store, keyed(append("s"), 1, 1))];
    halt.reached(1).await;
    assert_eq!(halt.kill().await, 1);
    assert!(stored(&world).await.is_empty());
    halt.release().await;
    all_done_once(&world, pending).await;
}

#[tokio::test]
async fn a_batch_that_dies_after_the_insert_leaves_nothing_and_its_commands_are_sent_again() {
    let world = World::new().await;
    let store = world.store().await;
    let mut lane = Halt::before_the_lane(&world.database_url).await;
    let mut pending = vec![submit(&store, append("first"))];
    lane.reached(1).await;
    pending.push(submit(&store, append("second")));
    lane.reached(2).await;
    pending.extend(gathered(&store, 20).await);
    // Neither of the first two writes there.
    let mut halt = Halt::after_writing(&world.database_url, "es.commands").await;
    lane.release().await;
    halt.reached(1).await;
    assert_eq!(stored(&world).await, [1, 2]);
    assert_eq!(halt.kill().await, 1);
    assert_eq!(stored(&world).await, [1, 2]);
    halt.release().await;
    all_done_once(&world, pending).await;
}

#[tokio::test]
async fn a_batch_whose_reply_is_lost_after_the_commit_is_found_and_not_sent_again() {
    let world = World::new().await;
    let (store, proxy) = behind_proxy(&world).await;
    let mut halt = Halt::before_the_lane(&world.database_url).await;
    let mut pending = vec![submit(&store, append("first"))];
    halt.reached(1).await;
    pending.push(submit(&store, append("second")));
    halt.reached(2).await;
    pending.extend(gathered(&store, 20).await);
    proxy.swallow_next_reply();
    halt.release().await;
    all_done_once(&world, pending).await;
    assert_eq!(proxy.broken(), 1, "the fault was injected");
}

#[tokio::test]
async fn what_a_process_had_sent_when_it_died_is_found_by_whoever_repeats_it() {
    let world = World::new().await;
    let mut command = keyed(append("s"), 1, 1);
    command.events.push(event(json!({ "n": 2 })));
    let store = world.store().await;
    let mut halt = Halt::before_the_lane(&world.database_url).await;
    // A runtime of its own stands for a process: with it go the lane and its connections.
    let process = runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap();
    let (url, repeated) = (world.database_url.clone(), command.clone());
    let streams = store.streams().clone();
    let sent = process.spawn(async move {
        let lane = event_store::connect_lane(&url).unwrap();
        let store = Store::open(lane, streams, tag_key()).await.unwrap();
        store.append(command).await
    });
    halt.reached(1).await;
    process.shutdown_background();
    assert!(sent.await.unwrap_err().is_cancelled());
    let again = submit(&store, repeated);
    halt.reached(2).await;
    halt.release().await;
    let appended = again.await.unwrap().unwrap();
    assert!(appended.replayed, "{appended:?}");
    assert_eq!((appended.version, appended.position), (2, 2));
    assert_eq!(stored(&world).await, [1, 2]);
}

#[tokio::test]
async fn reply_lost_after_the_commit_is_found_and_not_sent_again() {
    let world = World::new().await;
    let (store, proxy) = behind_proxy(&world).await;
    store.append(append("warm")).await.unwrap();
    proxy.swallow_next_reply();
    let appended = store.append(append("s")).await.unwrap();
    assert_eq!(proxy.broken(), 1, "the fault was injected");
    assert_eq!((appended.version, appended.position), (1, 2));
    assert_eq!(stored(&world).await, [1, 2]);
}

#[tokio::test]
async fn request_lost_before_the_commit_is_sent_again() {
    let world = World::new().await;
    let (store, proxy) = behind_proxy(&world).await;
    store.append(append("warm")).await.unwrap();
    proxy.cut_next_request();
    let appended = store.append(append("s")).await.unwrap();
    assert_eq!(proxy.broken(), 1, "the fault was injected");
    assert_eq!((appended.version, appended.position), (1, 2));
    assert_eq!(stored(&world).await, [1, 2]);
}

#[tokio::test]
async fn reply_lost_and_the_stream_moved_by_others_is_told_as_what_it_is() {
    let world = World::new().await;
    let (store, proxy) = behind_proxy(&world).await;
    let others = world.store().await;
    store.append(append("warm")).await.unwrap();
    others.append(append("s")).await.unwrap();
    proxy.cut_next_request();
    let conflict = store.append(append("s")).await;
    assert_eq!(proxy.broken(), 1, "the fault was injected");
    assert!(
        matches!(conflict, Err(AppendError::Conflict { actual: 1 })),
        "{conflict:?}"
    );
}

#[tokio::test]
async fn database_gone_is_told_as_unavailable_and_nothing_is_there() {
    let world = World::new().await;
    let (through, _) = split_address(&world.database_url);
    let unreachable = through("127.0.0.1:1".parse().unwrap());
    let store = store_at(&world, &unreachable).await;
    let refused = store.append(append("s")).await;
    assert!(
        matches!(refused, Err(AppendError::Unavailable(_))),
        "{refused:?}"
    );
    assert_eq!(store.streams().head(&stream("s")).await.unwrap(), None);
}

#[tokio::test]
async fn a_lane_does_not_append_to_another_incarnation_of_the_log() {
    let world = World::new().await;
    let store = world.store().await;
    store.append(append("s")).await.unwrap();
    sqlx::query("update es.log set incarnation = gen_random_uuid()")
        .execute(&mut world.owner().await)
        .await
        .unwrap();
    let refused = store.append(append("t")).await;
    assert!(
        matches!(refused, Err(AppendError::Unavailable(_))),
        "{refused:?}"
    );
    assert_eq!(stored(&world).await, [1]);
}
