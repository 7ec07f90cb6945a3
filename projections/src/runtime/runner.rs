use std::sync::Arc;
use std::time::Duration;

use event_store::{Intent, Log, Positioned as _, ProjectionStatus, Reader};
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;

use super::backoff::Backoff;
use super::batch::{Batch, Limits};
use super::error::{RunError, Severity, Stopped, chain};
use super::meters::Meters;
use super::pace::{grace, until_either};
use super::signals::{Progress, Wake};
use super::sink::{Sink, Standing};

const POLL_FIRST: Duration = Duration::from_millis(5);
const POLL_LONGEST: Duration = Duration::from_millis(50);
/// How often in a row a runner that has not written anything yet may be fenced: the last transaction of a predecessor
/// that was killed may still be under way.
const FENCED_AT_START_MAX: u32 = 3;
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
    /// Whether this runner itself has written a batch; being fenced then means that another one is alive.
    proven: bool,
    fenced: u32,
    /// Whether the stored status says that all is well.
    reported_well: bool,
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
            proven: false,
            fenced: 0,
            reported_well: false,
        }
    }

    /// Follows the log until shutdown. Where the projection has to stop before, this says so at once, in log, status
    /// and metrics, goes on to show its growing lag, and returns the reason at shutdown.
    pub async fn run(mut self, shutdown: CancellationToken) -> Result<(), Stopped> {
        let (log, meters) = (self.log.clone(), self.meters.clone());
        let measured = meters.measure(&log, &shutdown);
        let driven = self.drive(Until::Shutdown, &shutdown);
        tokio::join!(driven, measured).0
    }

    /// Drives the same loop until the checkpoint has reached the head as it was at the call. Answers with the position
    /// reached.
    pub async fn catch_up(mut self) -> Result<i64, Stopped> {
        self.drive(Until::Head(None), &CancellationToken::new())
            .await?;
        Ok(self.meters.position())
    }

    async fn drive(
        &mut self,
        mut until: Until,
        shutdown: &CancellationToken,
    ) -> Result<(), Stopped> {
        let mut backoff = Backoff::default();
        loop {
            let followed = tokio::select! {
                biased;
                followed = self.follow(&mut until, shutdown, &mut backoff) => followed,
                () = grace(shutdown) => Ok(()),
            };
            let Err(error) = followed else { return Ok(()) };
            if !self.may_retry(&error) {
                return Err(self.stop(error).await);
            }
            let pause = backoff.next();
            self.failed(&error, pause).await;
            until_either(Instant::now() + pause, shutdown).await;
            if shutdown.is_cancelled() {
                return Ok(());
            }
        }
    }

    /// From where the sink stands until done, or the first error.
    async fn follow(
        &mut self,
        until: &mut Until,
        shutdown: &CancellationToken,
        backoff: &mut Backoff,
    ) -> Result<(), RunError> {
        let Standing {
            mut checkpoints,
            mut intent,
        } = self.sink.resume().await?;
        let stands_at = |checkpoints: &[i64]| checkpoints.iter().copied().min().unwrap_or(0);
        let mut reader = Reader::after(self.log.clone(), stands_at(&checkpoints));
        self.meters.stands_at(reader.position());
        let mut poll = POLL_FIRST;
        while !shutdown.is_cancelled() && !self.is_done(until, reader.position()).await? {
            self.wake.mark_unchanged();
            let (began, records_max) = (Instant::now(), self.records_max());
            let records = match intent.take() {
                Some(intent) => read_intent(&mut reader, intent).await?,
                None => reader.next(records_max).await?,
            };
            let is_full = records.len() as i64 >= records_max;
            self.learn_size(&records);
            let Some(batch) = Batch::new(checkpoints.clone(), records) else {
                self.well().await;
                self.rest(poll, shutdown).await;
                poll = (poll * 2).min(POLL_LONGEST);
                continue;
            };
            checkpoints = batch.reached();
            self.apply(batch).await?;
            backoff.reset();
            poll = POLL_FIRST;
            if !is_full && !self.is_done(until, reader.position()).await? {
                until_either(began + self.limits.interval_min, shutdown).await;
            }
        }
        Ok(())
    }

    async fn is_done(&self, until: &mut Until, position: i64) -> Result<bool, RunError> {
        match until {
            Until::Shutdown => Ok(false),
            Until::Head(Some(head)) => Ok(position >= *head),
            Until::Head(target @ None) => {
                let (head, _) = self.log.head().await.map_err(RunError::Head)?;
                *target = Some(head);
                Ok(position >= head)
            }
        }
    }

    async fn apply(&mut self, batch: Batch<L::Record>) -> Result<(), RunError> {
        let (to, events) = (batch.to(), batch.events());
        let span = {
            let (name, version) = self.sink.identity();
            tracing::debug_span!(
                "project_batch",
                projector.name = name,
                projector.version = version,
                event.position = to,
                batch.events = events
            )
        };
        self.sink.apply(batch).instrument(span).await?;
        self.proven = true;
        self.fenced = 0;
        self.meters.stands_at(to);
        self.meters.wrote(events);
        self.progress.moved();
        self.well().await;
        Ok(())
    }

    /// Until the next poll, or until somebody rings.
    async fn rest(&mut self, poll: Duration, shutdown: &CancellationToken) {
        tokio::select! {
            () = tokio::time::sleep(poll) => {}
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

    fn may_retry(&mut self, error: &RunError) -> bool {
        match error.severity() {
            Severity::Transient => true,
            Severity::Fatal => false,
            Severity::Fenced => {
                self.fenced += 1;
                !self.proven && self.fenced <= FENCED_AT_START_MAX
            }
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

/// Exactly the range of the intent, in as many reads as it takes.
async fn read_intent<L: Log>(
    reader: &mut Reader<L>,
    intent: Intent,
) -> Result<Vec<L::Record>, RunError> {
    let mut records = Vec::new();
    while reader.position() < intent.to {
        let more = reader.next(intent.to - reader.position()).await?;
        if more.is_empty() {
            let (head, to) = (reader.position(), intent.to);
            return Err(RunError::LostIntent { head, to });
        }
        records.extend(more);
    }
    Ok(records)
}
