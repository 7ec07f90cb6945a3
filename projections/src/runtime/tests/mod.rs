//! The loop's edges, without an engine.

mod memory;

use std::time::Duration;

use event_store::{FeedError, Intent, Lease, Leases, LeftOut, LogName, ProjectionStatus};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use self::memory::{BYTES, Fate, MemoryLog, MemorySink, Record, record, runner, runner_with};
use super::{Batch, Limits, Progress, RunError, Runner, SinkError, Stopped, Wake};

fn positions(sink: &MemorySink) -> Vec<i64> {
    let mut written = sink.state().written.clone();
    written.sort_unstable();
    written
}

fn has_stopped(sink: &MemorySink) -> bool {
    let reports = &sink.state().reports;
    reports
        .last()
        .is_some_and(|(status, _)| *status == ProjectionStatus::Stopped)
}

async fn stops(log: &MemoryLog, sink: &MemorySink) -> Stopped {
    let stopped = runner(log, sink).catch_up().await.unwrap_err();
    let reports = &sink.state().reports;
    let (status, error) = reports.last().unwrap();
    assert_eq!(*status, ProjectionStatus::Stopped);
    assert!(error.is_some());
    stopped
}

#[tokio::test]
async fn catching_up_ends_at_the_head_as_it_was_at_the_call() {
    let (log, sink) = (MemoryLog::of(1..=20), MemorySink::sharded());
    sink.state().grows = Some(log.clone());
    // Two more stand there when the third batch is read, and a third comes with it.
    assert_eq!(runner(&log, &sink).catch_up().await.unwrap(), 20);
    assert_eq!(positions(&sink), (1..=20).collect::<Vec<_>>());
    assert_eq!(sink.state().batches, [(0, 7), (7, 14), (14, 20)]);
    assert_eq!(log.state().records.len(), 23);
}

#[tokio::test]
async fn an_empty_log_is_caught_up_with_at_once() {
    let (log, sink) = (MemoryLog::of([]), MemorySink::sharded());
    assert_eq!(runner(&log, &sink).catch_up().await.unwrap(), 0);
}

#[tokio::test]
async fn each_record_is_written_once_by_shards_that_stand_unequal() {
    let log = MemoryLog::of(1..=200);
    let checkpoints: Vec<i64> = (0..64).map(|shard| 40 + shard * 2).collect();
    let sink = MemorySink::at(checkpoints.clone());
    runner(&log, &sink).catch_up().await.unwrap();
    let expected: Vec<i64> = (1..=200)
        .filter(|position| *position > checkpoints[record(*position).bucket.shard().index()])
        .collect();
    assert_eq!(positions(&sink), expected);
    assert_eq!(sink.state().checkpoints(), [200; 64]);
}

#[tokio::test]
async fn a_shard_that_is_ahead_of_a_batch_stays_where_it_is() {
    assert!(
        Batch::<Record>::new(Leases::all_at(&[3]), vec![]).is_none(),
        "nothing was read"
    );
    let mut from = vec![3; 64];
    from[9] = 9;
    let batch = Batch::new(Leases::all_at(&from), vec![record(4), record(5)]).unwrap();
    assert_eq!(batch.to(), 5);
    let mut reached = vec![5; 64];
    reached[9] = 9;
    assert_eq!(batch.reached(), Leases::all_at(&reached));
}

#[tokio::test]
async fn a_record_of_a_shard_that_others_hold_is_theirs() {
    let held = Lease {
        shard: record(4).bucket.shard().as_i16(),
        epoch: 1,
        checkpoint: 0,
    };
    let batch = Batch::new(Leases::new(true, [held]), (1..=9).map(record).collect()).unwrap();
    let pending: Vec<i64> = batch.pending().map(|record| record.position).collect();
    assert_eq!((pending, batch.events()), (vec![4], 9));
}

#[tokio::test]
async fn a_gap_stops_the_projection_before_it() {
    let (log, sink) = (MemoryLog::of([1, 2, 3, 5, 6]), MemorySink::sharded());
    let stopped = stops(&log, &sink).await;
    assert!(matches!(
        stopped.source,
        RunError::Feed(FeedError::NotContiguous {
            log: LogName::Events,
            expected: 4,
            found: 5
        })
    ));
    assert_eq!(
        positions(&sink),
        [] as [i64; 0],
        "the batch with the gap is not written"
    );
}

#[tokio::test]
async fn a_repeated_or_swapped_position_stops_the_projection() {
    for positions in [[1, 2, 2, 3], [1, 3, 2, 4]] {
        let (log, sink) = (MemoryLog::of(positions), MemorySink::sharded());
        let stopped = stops(&log, &sink).await;
        assert!(matches!(
            stopped.source,
            RunError::Feed(FeedError::NotContiguous { .. })
        ));
    }
}

#[tokio::test]
async fn a_lost_tail_and_another_incarnation_stop_the_projection() {
    let log = MemoryLog::of(1..=3);
    let stopped = {
        let (log, sink) = (log.clone(), MemorySink::at(vec![5]));
        let shutdown = CancellationToken::new();
        let running = tokio::spawn(runner(&log, &sink).run(shutdown.clone()));
        until(|| has_stopped(&sink)).await;
        shutdown.cancel();
        running.await.unwrap().unwrap_err()
    };
    assert_eq!(stopped.position, 5);
    assert!(matches!(
        stopped.source,
        RunError::Feed(FeedError::LostTail {
            position: 5,
            head: 3,
            ..
        })
    ));

    let sink = MemorySink::at(vec![0]);
    let shutdown = CancellationToken::new();
    let running = tokio::spawn(runner(&log, &sink).run(shutdown.clone()));
    until(|| sink.state().checkpoints() == [3]).await;
    log.state().incarnation = Uuid::from_u128(2);
    until(|| has_stopped(&sink)).await;
    shutdown.cancel();
    assert!(matches!(
        running.await.unwrap().unwrap_err().source,
        RunError::Feed(FeedError::OtherIncarnation { .. })
    ));
}

#[tokio::test]
async fn a_batch_whose_reply_was_lost_is_not_written_twice() {
    let log = MemoryLog::of(1..=20);
    let sink = MemorySink::sharded().meets([Fate::ReplyLost, Fate::Down, Fate::ReplyLost]);
    runner(&log, &sink).catch_up().await.unwrap();
    assert_eq!(sink.state().written, (1..=20).collect::<Vec<_>>());
}

#[tokio::test]
async fn an_engine_that_is_down_is_tried_until_it_is_back_and_this_is_told() {
    let log = MemoryLog::of(1..=5);
    log.state().failures = 2;
    let sink = MemorySink::sharded().meets([Fate::Down]);
    runner(&log, &sink).catch_up().await.unwrap();
    assert_eq!(positions(&sink), [1, 2, 3, 4, 5]);
    let reports = sink.state().reports.clone();
    assert_eq!(reports.len(), 4, "{reports:?}");
    assert!(reports[..3].iter().all(|(status, error)| {
        *status == ProjectionStatus::Running
            && error.as_ref().is_some_and(|text| text.contains(": "))
    }));
    assert_eq!(reports[3], (ProjectionStatus::Running, None));
}

#[tokio::test]
async fn a_record_that_cannot_be_projected_stops_the_projection_there() {
    let log = MemoryLog::of(1..=20);
    let sink = MemorySink::sharded();
    sink.state().fates = [Fate::Poison(3)].into();
    let stopped = stops(&log, &sink).await;
    assert!(matches!(
        stopped.source,
        RunError::Sink(SinkError::Project { place, .. }) if place.position == 3
    ));
    assert_eq!(sink.state().batches.len(), 1, "it is not tried again");
}

#[tokio::test]
async fn a_worker_that_is_fenced_sees_what_is_left_and_goes_on() {
    let log = MemoryLog::of(1..=20);
    let sink = MemorySink::sharded().meets([Fate::Fenced; 5]);
    runner(&log, &sink).catch_up().await.unwrap();
    assert_eq!(positions(&sink), (1..=20).collect::<Vec<_>>());
}

fn intent(from: i64, to: i64) -> Intent {
    Intent {
        from,
        to,
        bucket: None,
        left_out: LeftOut::default(),
    }
}

#[tokio::test]
async fn a_standing_intent_goes_first_and_exactly() {
    let log = MemoryLog::of(1..=40);
    let sink = MemorySink::at(vec![10]);
    sink.state().intent = Some(intent(10, 35));
    runner(&log, &sink).catch_up().await.unwrap();
    assert_eq!(sink.state().batches, [(10, 35), (35, 40)]);
}

#[tokio::test]
async fn an_intent_that_the_log_no_longer_has_stops_the_projection() {
    let log = MemoryLog::of(1..=12);
    let sink = MemorySink::at(vec![10]);
    sink.state().intent = Some(intent(10, 35));
    assert!(matches!(
        stops(&log, &sink).await.source,
        RunError::LostIntent { head: 12, to: 35 }
    ));
    assert_eq!(positions(&sink), [] as [i64; 0]);
}

#[tokio::test]
async fn batches_are_bounded_in_bytes_once_the_size_of_records_is_known() {
    let (log, sink) = (MemoryLog::of(1..=40), MemorySink::sharded());
    let limits = Limits {
        events_max: 1000,
        bytes_max: 10 * BYTES,
        interval_min: Duration::ZERO,
    };
    let runner = Runner::new(
        log,
        sink.clone(),
        limits,
        &Wake::default(),
        Progress::default(),
    );
    runner.catch_up().await.unwrap();
    // Before any record was seen, each is taken for a kilobyte.
    assert_eq!(
        sink.state().batches,
        [(0, 1), (1, 11), (11, 21), (21, 31), (31, 40)]
    );
}

#[tokio::test]
async fn a_running_projection_follows_the_log_until_shutdown() {
    let (log, sink, wake) = (MemoryLog::of([]), MemorySink::sharded(), Wake::default());
    let shutdown = CancellationToken::new();
    let running = tokio::spawn(runner_with(&log, &sink, &wake).run(shutdown.clone()));
    for position in 1..=30 {
        log.append(position);
        if position % 2 == 0 {
            wake.ring(LogName::Events);
        }
        until(|| sink.state().checkpoints() == [position; 64]).await;
    }
    shutdown.cancel();
    running.await.unwrap().unwrap();
    assert_eq!(positions(&sink), (1..=30).collect::<Vec<_>>());
}

/// Polls what another task brings about; fails loudly where it never does.
#[track_caller]
fn until(holds: impl Fn() -> bool) -> impl Future<Output = ()> {
    let location = std::panic::Location::caller();
    async move {
        for _ in 0..5_000 {
            if holds() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        panic!("did not come about: {location}");
    }
}
