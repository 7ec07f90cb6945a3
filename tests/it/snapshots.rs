//! Snapshots of long streams: with the tail they give what the whole stream gives, and nothing rests on them.

use std::convert::Infallible;

use cqrs_es::event_sink::EventSink;
use cqrs_es::{Aggregate, DomainEvent};
use event_store::{Append, SnapshotSchema, Store, StreamId, encode};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use serde::{Deserialize, Serialize};
use serde_json::json;
use tests::World;
use uuid::Uuid;

use crate::support::{OTHER_TENANT, TENANT, append};

/// Its state depends on every event, on their order, and on each being applied once.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Tally {
    count: u64,
    digest: u64,
    /// Where a test wants the state to hold a person's data.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    person: Option<serde_json::Value>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum TallyEvent {
    #[serde(rename = "tally.added")]
    Added { n: u64 },
    #[serde(rename = "tally.named")]
    Named { person: serde_json::Value },
}

impl DomainEvent for TallyEvent {
    fn event_type(&self) -> String {
        match self {
            Self::Added { .. } => "tally.added".to_owned(),
            Self::Named { .. } => "tally.named".to_owned(),
        }
    }

    fn event_version(&self) -> String {
        "1".to_owned()
    }
}

impl Aggregate for Tally {
    const TYPE: &'static str = "tally";
    type Command = Vec<TallyEvent>;
    type Event = TallyEvent;
    type Error = Infallible;
    type Services = ();

    async fn handle(
        &mut self,
        command: Self::Command,
        (): &(),
        sink: &EventSink<Self>,
    ) -> Result<(), Infallible> {
        for event in command {
            sink.write(event, self).await;
        }
        Ok(())
    }

    fn apply(&mut self, event: TallyEvent) {
        match event {
            TallyEvent::Added { n } => {
                self.count += 1;
                self.digest = self.digest.wrapping_mul(31).wrapping_add(n);
            }
            TallyEvent::Named { person } => self.person = Some(person),
        }
    }
}

const SCHEMA: fn() -> SnapshotSchema = || SnapshotSchema::of::<Tally>(1);

async fn add(store: &Store, id: &str, expected: i64, events: Vec<TallyEvent>) -> i64 {
    let append = Append {
        stream: StreamId {
            aggregate_type: Tally::TYPE.to_owned(),
            aggregate_id: id.to_owned(),
        },
        expected,
        events: encode(&events).unwrap(),
        ..append(id)
    };
    store.append(append).await.unwrap().version
}

fn added(numbers: &[u64]) -> Vec<TallyEvent> {
    numbers
        .iter()
        .map(|n| TallyEvent::Added { n: *n })
        .collect()
}

async fn long(store: &Store, id: &str, events: u64) -> i64 {
    let mut version = 0;
    for n in (0..events).step_by(50) {
        let numbers: Vec<u64> = (n..(n + 50).min(events)).collect();
        version = add(store, id, version, added(&numbers)).await;
    }
    version
}

async fn kept_at(world: &World, id: &str) -> Option<i64> {
    sqlx::query_scalar("select sequence from es.snapshots where aggregate_id = $1")
        .bind(id)
        .fetch_optional(&mut world.owner().await)
        .await
        .unwrap()
}

async fn load(store: &Store, id: &str) -> (Tally, i64, i64) {
    let loaded = store
        .streams()
        .load_kept::<Tally>(TENANT, id, SCHEMA())
        .await
        .unwrap();
    (loaded.aggregate, loaded.version, loaded.last_position)
}

async fn replayed(store: &Store, id: &str) -> (Tally, i64, i64) {
    let loaded = store.streams().load::<Tally>(TENANT, id).await.unwrap();
    (loaded.aggregate, loaded.version, loaded.last_position)
}

/// Histories of commands with several events each, with loads, and so snapshots, in between: what cqrs-es 0.5 applies
/// twice.
#[test]
fn a_snapshot_and_its_tail_give_what_the_whole_stream_gives() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let world = runtime.block_on(World::new());
    let store = runtime.block_on(world.store());
    let command = (prop::collection::vec(any::<u64>(), 1..60), any::<bool>());
    let history = prop::collection::vec(command, 1..12);
    TestRunner::new(Config::with_cases(16))
        .run(&history, |commands| {
            runtime.block_on(async {
                let id = Uuid::now_v7().to_string();
                let (mut version, mut direct) = (0, Tally::default());
                for (numbers, loads) in commands {
                    for event in added(&numbers) {
                        direct.apply(event);
                    }
                    version = add(&store, &id, version, added(&numbers)).await;
                    if loads {
                        let loaded = load(&store, &id).await;
                        assert_eq!((&loaded.0, loaded.1), (&direct, version));
                        assert_eq!(loaded, replayed(&store, &id).await);
                    }
                }
                assert_eq!(load(&store, &id).await, replayed(&store, &id).await);
                assert_eq!(load(&store, &id).await.0, direct);
                assert!(version < 200 || kept_at(&world, &id).await.is_some());
            });
            Ok(())
        })
        .unwrap();
}

#[tokio::test]
async fn a_snapshot_is_taken_of_a_long_stream_and_replaced_as_it_grows() {
    let world = World::new().await;
    let store = world.store().await;
    let mut version = long(&store, "s", 100).await;
    load(&store, "s").await;
    assert_eq!(kept_at(&world, "s").await, None);
    version = add(&store, "s", version, added(&[7])).await;
    load(&store, "s").await;
    assert_eq!(kept_at(&world, "s").await, Some(101));
    version = add(&store, "s", version, added(&[8; 99])).await;
    load(&store, "s").await;
    assert_eq!(kept_at(&world, "s").await, Some(101));
    add(&store, "s", version, added(&[9])).await;
    assert_eq!(load(&store, "s").await, replayed(&store, "s").await);
    assert_eq!(kept_at(&world, "s").await, Some(201));
}

/// The tampered state shows whether the snapshot was used.
async fn tampered(world: &World, change: &str) {
    sqlx::query(&format!("update es.snapshots set {change}"))
        .execute(&mut world.owner().await)
        .await
        .unwrap();
}

#[tokio::test]
async fn a_snapshot_of_another_schema_or_that_does_not_decode_is_ignored() {
    let world = World::new().await;
    let store = world.store().await;
    long(&store, "s", 150).await;
    let whole = load(&store, "s").await;
    tampered(&world, r#"state = '{"count":1,"digest":1}'"#).await;
    assert_eq!(
        load(&store, "s").await.0.count,
        1,
        "it is used where it fits"
    );
    let later = SnapshotSchema::of::<Tally>(2);
    let loaded = store
        .streams()
        .load_kept::<Tally>(TENANT, "s", later)
        .await
        .unwrap();
    assert_eq!(loaded.aggregate, whole.0);
    // It was of no use to this process, which replaced it; what an older one makes of that is the same.
    assert_eq!(load(&store, "s").await, whole);
    tampered(&world, r#"state = '{"count":"many"}'"#).await;
    assert_eq!(load(&store, "s").await, whole);
}

#[tokio::test]
async fn a_snapshot_of_another_tenants_stream_is_not_found() {
    let world = World::new().await;
    let store = world.store().await;
    long(&store, "s", 150).await;
    load(&store, "s").await;
    let foreign = store
        .streams()
        .load_kept::<Tally>(OTHER_TENANT, "s", SCHEMA())
        .await;
    assert!(matches!(foreign, Err(event_store::StoreError::NotFound)));
}

#[tokio::test]
async fn a_state_that_holds_personal_data_is_never_kept() {
    let world = World::new().await;
    let store = world.store().await;
    let version = long(&store, "s", 150).await;
    let person = json!({ "$pii": { "subject": Uuid::now_v7(), "value": { "name": "Anna" } } });
    add(&store, "s", version, vec![TallyEvent::Named { person }]).await;
    let loaded = load(&store, "s").await;
    assert!(loaded.0.person.is_some());
    assert_eq!(kept_at(&world, "s").await, None);
}
