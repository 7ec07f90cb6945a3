//! What is done to whom and when: all of it follows from the seed.

use std::fmt;
use std::ops::Range;
use std::time::Duration;

use clap::ValueEnum;
use engines::Engine;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

/// Between two faults.
const GAP_MS: Range<u64> = 1_000..4_000;
/// Nothing is done in the beginning, so that there is something to lose.
const BEGINS_AFTER: Duration = Duration::from_secs(3);

/// Something that goes wrong. Indices are taken modulo how many there are.
#[derive(Clone, Debug)]
pub(crate) enum Fault {
    /// `kill -9`; it is started again.
    Kill(Who, usize),
    /// `SIGSTOP`, and later `SIGCONT`.
    Pause(Who, usize, Duration),
    /// `pg_terminate_backend`, of so many.
    TerminateBackends(i64),
    /// `kill -9`, or for Postgres also the immediate stop, which loses as much.
    StopEngine(Engine, Stop),
    /// Every connection to the engine is cut.
    Cut(Engine),
    /// Nothing is forwarded for a while.
    Stall(Engine, Duration),
    /// Requests reach the engine and replies are lost.
    LoseReplies(Engine, Duration),
}

/// A kind of participant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Who {
    Projector,
    Writer,
    Reader,
    Load,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stop {
    Kill,
    Immediate,
}

/// What may be paused for how long.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    pub(crate) lasts: Duration,
    /// Longer than a projector's lease.
    pub(crate) beyond_lease: Duration,
}

/// For a run that is to provoke one thing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Only {
    /// What happens at fault points.
    None,
    /// Projectors are killed.
    KillProjectors,
}

pub(crate) fn schedule(seed: u64, bounds: Bounds, only: Option<Only>) -> Vec<(Duration, Fault)> {
    let mut dice = StdRng::seed_from_u64(seed);
    let mut faults = Vec::new();
    let mut at = BEGINS_AFTER;
    while at < bounds.lasts {
        let fault = fault(&mut dice, bounds);
        match only {
            None => faults.push((at, fault)),
            Some(Only::None) => {}
            Some(Only::KillProjectors) => {
                faults.push((at, Fault::Kill(Who::Projector, faults.len())));
            }
        }
        at += Duration::from_millis(dice.random_range(GAP_MS));
    }
    faults
}

fn fault(dice: &mut StdRng, bounds: Bounds) -> Fault {
    let who = dice.random_range(0..8);
    let ms = |range: Range<u64>, dice: &mut StdRng| Duration::from_millis(dice.random_range(range));
    let engine = Engine::ALL[dice.random_range(0..3)];
    match dice.random_range(0..100) {
        0..18 => Fault::Kill(Who::Projector, who),
        18..28 => Fault::Kill(Who::Writer, who),
        28..31 => Fault::Kill(Who::Reader, who),
        31..39 => Fault::Kill(Who::Load, who),
        39..48 => {
            let beyond = bounds.beyond_lease + ms(0..3_000, dice);
            Fault::Pause(Who::Projector, who, beyond)
        }
        48..52 => Fault::Pause(Who::Writer, who, ms(500..6_000, dice)),
        52..64 => Fault::TerminateBackends(dice.random_range(1..12)),
        64..68 => Fault::StopEngine(Engine::Postgres, Stop::Immediate),
        68..71 => Fault::StopEngine(Engine::Postgres, Stop::Kill),
        71..76 => Fault::StopEngine(Engine::Redis, Stop::Kill),
        76..81 => Fault::StopEngine(Engine::ClickHouse, Stop::Kill),
        81..88 => Fault::Cut(engine),
        88..93 => Fault::Stall(engine, ms(300..5_000, dice)),
        _ => Fault::LoseReplies(engine, ms(100..2_000, dice)),
    }
}

impl Fault {
    /// The kind, for the summary.
    pub(crate) fn kind(&self) -> String {
        match self {
            Self::Kill(who, _) => format!("kill -9 of a {who}"),
            Self::Pause(Who::Projector, ..) => "SIGSTOP of a projector beyond its lease".to_owned(),
            Self::Pause(who, ..) => format!("SIGSTOP of a {who}"),
            Self::TerminateBackends(_) => "pg_terminate_backend".to_owned(),
            Self::StopEngine(engine, Stop::Kill) => format!("kill -9 of {engine}"),
            Self::StopEngine(engine, Stop::Immediate) => format!("immediate stop of {engine}"),
            Self::Cut(engine) => format!("connections to {engine} cut"),
            Self::Stall(engine, _) => format!("connections to {engine} stalled"),
            Self::LoseReplies(engine, _) => format!("replies of {engine} lost"),
        }
    }
}

impl fmt::Display for Who {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Projector => "projector",
            Self::Writer => "writer",
            Self::Reader => "reader",
            Self::Load => "load",
        })
    }
}
