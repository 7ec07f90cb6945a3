//! The store against a log in memory: random tenants, streams, versions, keys, requests, tags, conditions and commands of
//! several events, in batches that go at once through the lanes of two processes.
//!
//! What the store answers must be what the log in memory answers in some order of the batch, and in the end the tables must
//! hold what it holds.

mod plan;
mod reference;

use event_store::{EventLog, Log as _, Role, Store};
use futures::future::join_all;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestCaseResult, TestRunner};
use tests::World;
use tokio::runtime::Runtime;
use uuid::Uuid;

use self::plan::Planned;
use self::reference::{Answer, Reference, answer};
use crate::support::stream;

const CASES: u32 = 128;

#[test]
fn the_store_answers_and_holds_what_a_log_in_memory_does() {
    let runtime = Runtime::new().unwrap();
    let it = runtime.block_on(Fixture::new());
    let config = Config {
        cases: CASES,
        failure_persistence: None,
        max_shrink_iters: 500,
        ..Config::default()
    };
    TestRunner::new(config)
        .run(&plan::batches(), |batches| {
            runtime.block_on(it.run(Uuid::now_v7(), batches))
        })
        .unwrap_or_else(|failure| panic!("{failure}"));
}

/// Two processes' lanes into one log, and what looks at what they did.
struct Fixture {
    stores: [Store; 2],
    log: EventLog,
    world: World,
}

impl Fixture {
    async fn new() -> Self {
        let world = World::new().await;
        Self {
            stores: [world.store().await, world.store().await],
            log: EventLog::open(world.pool(Role::Projector)).await.unwrap(),
            world,
        }
    }

    /// A case has streams, tags and keys of its own, so that it finds the log as if it were empty.
    async fn run(&self, case: Uuid, batches: Vec<Vec<Planned>>) -> TestCaseResult {
        let (base, _) = self.log.head().await.unwrap();
        let mut reference = Reference::new(base);
        for batch in batches {
            let sent: Vec<_> = batch
                .iter()
                .map(|planned| planned.at(case, &reference))
                .collect();
            let sending = sent
                .iter()
                .zip(self.stores.iter().cycle())
                .map(|(append, store)| store.append(append.clone()));
            let answers: Vec<Answer> = join_all(sending).await.into_iter().map(answer).collect();
            let both: Vec<_> = sent.iter().zip(&answers).collect();
            let Some(after) = reference.after(&both) else {
                let head = reference.head();
                let reason = format!("no order from {head} on explains {answers:#?} to {sent:#?}");
                return Err(TestCaseError::fail(reason));
            };
            reference = after;
        }
        self.compare(case, base, &reference).await
    }

    async fn compare(&self, case: Uuid, base: i64, reference: &Reference) -> TestCaseResult {
        let stored = self.log.read(base, i64::from(i32::MAX)).await.unwrap();
        prop_assert_eq!(stored.len(), reference.log.len());
        for (stored, logged) in stored.iter().zip(&reference.log) {
            prop_assert_eq!(stored.position, logged.position);
            prop_assert_eq!(stored.tenant, logged.tenant);
            prop_assert_eq!(&stored.stream.aggregate_id, &logged.stream);
            prop_assert_eq!(stored.sequence, logged.sequence);
            prop_assert_eq!(stored.command_id, logged.command);
            prop_assert_eq!(stored.event_id, logged.event.id);
            prop_assert_eq!(&stored.event_type, &logged.event.event_type);
            prop_assert_eq!(
                stored.payload_value().unwrap(),
                logged.event.payload.clone()
            );
        }
        let streams = self.stores[0].streams();
        for name in (0..plan::STREAMS).map(|index| plan::stream_name(case, index)) {
            let head = streams.head(&stream(&name)).await.unwrap();
            let last = reference.last_of(&name);
            prop_assert_eq!(
                head.map(|head| (head.last_position, head.tenant, head.version)),
                last.map(|last| (last.position, last.tenant, last.sequence))
            );
        }
        for (tenant, command) in plan::keyed_commands(case) {
            let found = self.stores[0].find_command(tenant, command).await.unwrap();
            let done = reference.done.get(&(tenant, command));
            prop_assert_eq!(
                found.map(|found| (
                    found.request_hash,
                    found.aggregate_id,
                    found.version,
                    found.last_position
                )),
                done.cloned().map(|(hash, done)| (
                    hash.to_vec(),
                    done.aggregate_id,
                    done.version,
                    done.position
                ))
            );
        }
        let tagged: Vec<(i64, i64)> = sqlx::query_as(
            "select position, count(*) from es.tags where position > $1 group by 1 order by 1",
        )
        .bind(base)
        .fetch_all(&mut self.world.owner().await)
        .await
        .unwrap();
        let expected: Vec<_> = reference
            .log
            .iter()
            .map(|logged| (logged.position, logged.event.tags.len() as i64))
            .filter(|(_, tags)| *tags > 0)
            .collect();
        prop_assert_eq!(tagged, expected);
        Ok(())
    }
}
