mod poison;

use std::sync::Arc;
use std::time::Duration;

use event_store::{FeedError, Leases, Log, Positioned as _, ProjectionStatus, Reader};
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;

use super::backoff::Backoff;
use super::batch::{Batch, Limits};
use super::error::{RunError, Severity, SinkError, Stopped, chain};
use super::meters::Meters;
use super::pace::{grace, until_either};
use super::signals::{Progress, Wake};
use super::sink::{Sink, Standing};
use super::trace;
use crate::fold::Place;

const POLL_FIRST: Duration = Duration::from_millis(5);
const POLL_LONGEST: Duration = Duration::from_millis(50);
/// How often a worker sees to its leases.
const SETTLE_EVERY: Duration = Duration::from_secs(1);
/// What a record is taken to need before any was seen.
const RECORD_BYTES_ASSUMED: usize = 1024;

/// Drives one projection: reads its log in order and hands batches to its sink.
pub struct Runner<L: Log, S: Sink<L::Record>> {
    log: L,
    sink: S,
    limits: Limits,
    wake: watch::Receiver<()>,
    progress: Progress,
    meters: Arc<Meters>,
    record_bytes: usize,
    /// Whether the stored status says that all is well.
    reported_well: bool,
    /// What this runner held when it looked last.
    held: Leases,
    /// The event that failed last, and how often in a row.
    failing: Option<(Place, u32)>,
}

/// When to stop.
enum Until {
    Shutdown,
    /// The head as it was when first asked for.
    Head(Option<i64>),
}

impl<L: Log, S: Sink<L::Record>> Runner<L, S> {
    pub fn new(log: L, sink: S, limits: Limits, wake: &Wake, progress: Progress) -> Self {
        let (name, version) = sink.identity();
        let meters = Arc::new(Meters::new(name, version));
        Self {
            wake: wake.listen(L::NAME),
            log,
            sink,
            limits,
            progress,
            meters,
            record_bytes: RECORD_BYTES_ASSUMED,
            reported_well: false,
            held: Leases::all_at(&[]),
            failing: None,
        }
    }

    /// Follows the log until shutdown. Where the projection has to stop before, this says so at once, in log, status
    /// and metrics, gives its shards to whoever wants to try, goes on to show its growing lag, and returns the reason at
    /// shutdown.
    pub async fn run(mut self, shutdown: CancellationToken) -> Result<(), Stopped> {
        let (log, meters) = (self.log.clone(), self.meters.clone());
        let ledger = self.sink.ledger().cloned();
        let measured = meters.measure(&log, ledger.as_ref(), &shutdown);
        let driven = self.drive(Until::Shutdown, &shutdown);
        let ended = tokio::join!(driven, measured).0;
        if ended.is_ok() {
            self.meters.over();
        }
        ended
    }

    /// Drives the same loop until every shard has reached the head as it was at the call, those that others hold, too:
    /// what is given up meanwhile is taken over. Answers with the position reached.
    pub async fn catch_up(self) -> Result<i64, Stopped> {
        self.reach(Until::Head(None)).await
    }

    /// The same up to a position that the log has.
    pub async fn catch_up_to(self, position: i64) -> Result<i64, Stopped> {
        self.reach(Until::Head(Some(position))).await
    }

    async fn reach(mut self, until: Until) -> Result<i64, Stopped> {
        self.drive(until, &CancellationToken::new()).await?;
        Ok(self.meters.position())
    }

    async fn drive(
        &mut self,
        mut until: Until,
        shutdown: &CancellationToken,
    ) -> Result<(), Stopped> {
        let mut backoff = Backoff::default();
        let ended = loop {
            let followed = tokio::select! {
                biased;
                followed = self.follow(&mut until, shutdown, &mut backoff) => followed,
                () = grace(shutdown) => Ok(()),
            };
            let Err(error) = followed else { break Ok(()) };
            match error.severity() {
                Severity::Fatal => break Err(self.stop(error).await),
                Severity::Poison(_) if self.sink.ledger().is_none() => {
                    break Err(self.stop(error).await);
                }
                Severity::Poison(place) if self.gives_up(place) => {
                    if self.park(place, &error).await {
                        backoff.reset();
                        continue;
                    }
                }
                Severity::Poison(_) | Severity::Transient | Severity::Fenced => {}
            }
            let pause = backoff.next();
            self.failed(&error, pause).await;
            until_either(Instant::now() + pause, shutdown).await;
            if shutdown.is_cancelled() {
                break Ok(());
            }
        };
        self.release().await;
        ended
    }

    /// From where the sink stands until done, or the first error.
    async fn follow(
        &mut self,
        until: &mut Until,
        shutdown: &CancellationToken,
        backoff: &mut Backoff,
    ) -> Result<(), RunError> {
        while !shutdown.is_cancelled() {
            let standing = self.sink.resume().await?;
            self.reported_well = false;
            if self.work(standing, until, shutdown, backoff).await? {
                break;
            }
        }
        Ok(())
    }

    /// Writes batches for as long as the leases are what they should be. Answers whether there is nothing left to do.
    async fn work(
        &mut self,
        standing: Standing,
        until: &mut Until,
        shutdown: &CancellationToken,
        backoff: &mut Backoff,
    ) -> Result<bool, RunError> {
        let Standing {
            mut leases,
            mut intent,
        } = standing;
        self.held = leases.clone();
        let withheld = self.withheld().await?;
        if self.repair(&leases, &withheld, &mut intent).await? {
            return Ok(false);
        }
        let mut reader = leases
            .lowest()
            .map(|lowest| Reader::after(self.log.clone(), lowest));
        self.stands_at(&leases);
        let (mut settled, mut poll) = (Instant::now(), POLL_FIRST);
        while !shutdown.is_cancelled() {
            if self.is_done(until, &leases).await? {
                return Ok(true);
            }
            if settled.elapsed() >= SETTLE_EVERY {
                if !self.is_settled(&leases).await? || self.withheld().await? != withheld {
                    return Ok(false);
                }
                settled = Instant::now();
            }
            let Some(reader) = &mut reader else {
                // Others are at work; what they give up is found by and by.
                self.well().await;
                until_either(Instant::now() + POLL_LONGEST, shutdown).await;
                continue;
            };
            self.wake.mark_unchanged();
            let (began, records_max) = (Instant::now(), self.records_max());
            let mut left_out = withheld.clone();
            let records = match intent.take() {
                Some(intent) => {
                    left_out = Arc::new(intent.left_out.withheld());
                    read_up_to(reader, intent.to).await?
                }
                None => match self.within(until, reader.position()) {
                    Some(0) => Vec::new(),
                    Some(left) => reader.next(left.min(records_max)).await?,
                    None => reader.next(records_max).await?,
                },
            };
            let is_full = records.len() as i64 >= records_max;
            self.learn_size(&records);
            let Some(batch) = Batch::new(leases.clone(), records) else {
                self.well().await;
                self.rest(reader.position(), poll, shutdown).await;
                poll = (poll * 2).min(POLL_LONGEST);
                continue;
            };
            leases = batch.reached();
            self.apply(batch.without(left_out)).await?;
            self.stands_at(&leases);
            backoff.reset();
            poll = POLL_FIRST;
            if !is_full && !self.is_done(until, &leases).await? {
                until_either(began + self.limits.interval_min, shutdown).await;
            }
        }
        Ok(true)
    }

    /// How many records there are up to where this is to end, where it is to.
    fn within(&self, until: &Until, position: i64) -> Option<i64> {
        match until {
            Until::Shutdown | Until::Head(None) => None,
            Until::Head(Some(head)) => Some((head - position).max(0)),
        }
    }

    async fn is_done(&self, until: &mut Until, leases: &Leases) -> Result<bool, RunError> {
        let target = match until {
            Until::Shutdown => return Ok(false),
            Until::Head(Some(head)) => *head,
            Until::Head(target @ None) => {
                let (head, found) = self.log.head().await.map_err(RunError::Head)?;
                if found != self.log.incarnation() {
                    return Err(RunError::Feed(FeedError::OtherIncarnation {
                        log: L::NAME,
                        expected: self.log.incarnation(),
                        found,
                    }));
                }
                *target = Some(head);
                head
            }
        };
        if leases.lowest().is_some_and(|lowest| lowest < target) {
            return Ok(false);
        }
        let lowest = match self.sink.ledger() {
            Some(ledger) => ledger.lowest().await.map_err(SinkError::from)?,
            None => leases.lowest(),
        };
        Ok(lowest.is_some_and(|lowest| lowest >= target))
    }

    async fn is_settled(&self, leases: &Leases) -> Result<bool, RunError> {
        match self.sink.ledger() {
            Some(ledger) => Ok(ledger.is_settled(leases).await?),
            None => Ok(true),
        }
    }

    /// So that another worker need not wait for the lease to run out.
    async fn release(&self) {
        if let Some(ledger) = self.sink.ledger()
            && !ledger.is_kept()
            && let Err(error) = ledger.release().await
        {
            tracing::debug!(
                error = chain(&error),
                "could not release leases; they run out"
            );
        }
    }

    fn stands_at(&self, leases: &Leases) {
        if let Some(lowest) = leases.lowest() {
            self.meters.stands_at(lowest);
        }
        self.meters.holds(leases.iter().count());
    }

    async fn apply(&mut self, batch: Batch<L::Record>) -> Result<(), RunError> {
        let (to, events) = (batch.to(), batch.events());
        let span = {
            let (name, version) = self.sink.identity();
            // Traces know no other whole numbers than i64.
            tracing::debug_span!(
                "project_batch",
                projector.name = name,
                projector.version = version,
                projector.shards = batch.from().iter().count() as i64,
                event.position = to,
                batch.events = events as i64
            )
        };
        trace::link(&span, &batch);
        let began = Instant::now();
        self.sink.apply(batch).instrument(span).await?;
        self.meters.wrote(events, began.elapsed());
        self.progress.moved();
        self.well().await;
        Ok(())
    }

    /// Until the next poll, or until somebody rings.
    async fn rest(&mut self, position: i64, poll: Duration, shutdown: &CancellationToken) {
        tokio::select! {
            () = tokio::time::sleep(poll) => {}
            () = self.log.grown(position) => {}
            // An error says that nobody can ring any more; then the polls alone must do.
            Ok(()) = self.wake.changed() => {}
            () = shutdown.cancelled() => {}
        }
    }

    fn records_max(&self) -> i64 {
        let by_bytes = self.limits.bytes_max / self.record_bytes.max(1);
        by_bytes.clamp(1, self.limits.events_max) as i64
    }

    fn learn_size(&mut self, records: &[L::Record]) {
        let bytes: usize = records.iter().map(|record| record.size_bytes()).sum();
        if let Some(average) = bytes.checked_div(records.len()) {
            self.record_bytes = average;
        }
    }

    async fn well(&mut self) {
        self.meters.up();
        if !self.reported_well {
            self.reported_well = true;
            self.sink.report(ProjectionStatus::Running, None).await;
        }
    }

    async fn failed(&mut self, error: &RunError, pause: Duration) {
        self.meters.failed();
        self.reported_well = false;
        let (name, version) = self.sink.identity();
        let text = chain(error);
        tracing::warn!(
            projector.name = name,
            projector.version = version,
            event.position = self.meters.position(),
            retry_ms = pause.as_millis() as u64,
            error = text,
            "a projection failed and tries again"
        );
        self.sink
            .report(ProjectionStatus::Running, Some(&text))
            .await;
    }

    async fn stop(&mut self, source: RunError) -> Stopped {
        self.meters.stopped();
        let (name, version) = self.sink.identity();
        let stopped = Stopped {
            name: name.to_owned(),
            version,
            position: self.meters.position(),
            source,
        };
        let text = chain(&stopped.source);
        tracing::error!(
            projector.name = name,
            projector.version = version,
            event.position = stopped.position,
            error = text,
            "a projection stopped; nothing was skipped, and it starts again with the process"
        );
        self.sink
            .report(ProjectionStatus::Stopped, Some(&text))
            .await;
        stopped
    }
}

/// Exactly the records up to a position, in as many reads as it takes.
async fn read_up_to<L: Log>(reader: &mut Reader<L>, to: i64) -> Result<Vec<L::Record>, RunError> {
    let mut records = Vec::new();
    while reader.position() < to {
        let more = reader.next(to - reader.position()).await?;
        if more.is_empty() {
            // The process's reader may be a moment behind the one that the position came from.
            let (head, _) = reader.log().head().await.map_err(RunError::Head)?;
            if head < to {
                return Err(RunError::LostIntent { head, to });
            }
            tokio::time::sleep(POLL_FIRST).await;
        }
        records.extend(more);
    }
    Ok(records)
}
