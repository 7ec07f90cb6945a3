//! Writers in several OS processes on overlapping streams, and a reader that ran all along.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use event_store::{EventLog, Reader, RecordedEvent, Role};
use tests::World;
use tokio::process::Command;

const PROCESSES: usize = 4;
const TASKS: usize = 4;
const STREAMS: usize = 5;
const APPENDS: usize = 60;

#[tokio::test]
async fn sixteen_writers_in_four_processes_keep_every_invariant() {
    let world = World::new().await;
    world.store().await; // makes the key file
    let stop = Arc::new(AtomicBool::new(false));
    let tail = tokio::spawn(tail(world.pool(Role::Projector), stop.clone()));
    let mut processes = Vec::new();
    for _ in 0..PROCESSES {
        let child = Command::new(env!("CARGO_BIN_EXE_append-load"))
            .args([&world.database_url, &world.keys_url])
            .arg(world.key_file())
            .args([TASKS, STREAMS, APPENDS].map(|n| n.to_string()))
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        processes.push(tokio::spawn(child.wait_with_output()));
    }
    let mut won = Vec::new();
    for process in processes {
        let output = process.await.unwrap().unwrap();
        assert!(output.status.success());
        won.extend(String::from_utf8(output.stdout).unwrap().lines().map(parse));
    }
    stop.store(true, Ordering::SeqCst);
    let seen = tail.await.unwrap();

    for (event, position) in seen.iter().zip(1..) {
        assert_eq!(event.position, position, "positions are 1..N without a gap");
    }
    let mut sequences: BTreeMap<&str, i64> = BTreeMap::new();
    for event in &seen {
        let sequence = sequences.entry(&event.stream.aggregate_id).or_default();
        *sequence += 1;
        assert_eq!(event.sequence, *sequence, "stream order is position order");
    }
    let versions: BTreeSet<_> = won
        .iter()
        .map(|(stream, version, _)| (stream, version))
        .collect();
    assert_eq!(versions.len(), won.len(), "exactly one winner per version");
    let ends: BTreeMap<_, _> = seen.iter().map(|event| (event.position, event)).collect();
    for (stream, version, position) in &won {
        let event = ends[position];
        assert_eq!(
            (&event.stream.aggregate_id, event.sequence),
            (stream, *version),
            "acknowledged is present"
        );
    }
    let commands: BTreeSet<_> = seen.iter().map(|event| event.command_id).collect();
    assert_eq!(
        commands.len(),
        won.len(),
        "nothing is present that was not acknowledged"
    );
    assert!(won.len() > STREAMS, "the writers met and went on");
}

/// Reads as fast as it can until told to stop, and then to the end. A gap or a swap is an error.
async fn tail(pool: sqlx::PgPool, stop: Arc<AtomicBool>) -> Vec<RecordedEvent> {
    let mut reader = Reader::after(EventLog::open(pool).await.unwrap(), 0);
    let mut seen = Vec::new();
    loop {
        let stopping = stop.load(Ordering::SeqCst);
        let events = reader.next(100).await.unwrap();
        if events.is_empty() && stopping {
            return seen;
        }
        seen.extend(events);
        tokio::task::yield_now().await;
    }
}

fn parse(line: &str) -> (String, i64, i64) {
    let mut words = line.split(' ');
    let mut next = || words.next().unwrap().to_owned();
    (next(), next().parse().unwrap(), next().parse().unwrap())
}
