//! Named places where a process may be made to die or to freeze, and guards that may be switched off, so that the torture
//! can show that it would find what they guard against. Compiled in by the feature `torture` only: without it, a point
//! is nothing and no guard can be switched off. docs/reliability.md lists the points.

/// A guard that a build of the torture can switch off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mutant {
    /// Sinks do not notice that another worker has moved them on.
    NoFencing,
    /// Readers do not check that positions have no gap.
    NoContiguityCheck,
    /// Nobody looks what is in ClickHouse of a range that was sent before, and no token tells it that an insert is a repeat.
    NoSettling,
}

#[cfg(not(feature = "torture"))]
mod compiled {
    use super::Mutant;

    /// Does nothing.
    #[inline(always)]
    pub const fn point(_name: &'static str) {}

    /// No guard is switched off.
    #[inline(always)]
    pub const fn is_mutant(_mutant: Mutant) -> bool {
        false
    }
}

#[cfg(feature = "torture")]
mod compiled {
    use std::collections::HashMap;
    use std::process::Command;
    use std::sync::{LazyLock, Mutex, PoisonError};

    use rand::rngs::StdRng;
    use rand::{RngExt as _, SeedableRng as _};

    use super::Mutant;

    /// What happens at a point, and how likely it is.
    struct Fault {
        chance: f64,
        /// The whole process freezes for so many seconds; without it, it dies.
        freeze_s: Option<u64>,
    }

    /// `PROOFLINE_FAULT_POINTS=before_lock:0.001,redis.before_write:0.01:12` dies at the first and freezes at the second.
    static POINTS: LazyLock<HashMap<String, Fault>> = LazyLock::new(|| {
        variable("PROOFLINE_FAULT_POINTS")
            .split(',')
            .filter(|point| !point.is_empty())
            .map(|point| {
                parse(point).expect("PROOFLINE_FAULT_POINTS is a list of name:chance[:seconds]")
            })
            .collect()
    });
    static DICE: LazyLock<Mutex<StdRng>> = LazyLock::new(|| {
        let seed = variable("PROOFLINE_FAULT_SEED").parse().unwrap_or(0);
        Mutex::new(StdRng::seed_from_u64(seed))
    });
    static MUTANT: LazyLock<Option<Mutant>> =
        LazyLock::new(|| match &*variable("PROOFLINE_MUTANT") {
            "" => None,
            "no_fencing" => Some(Mutant::NoFencing),
            "no_contiguity_check" => Some(Mutant::NoContiguityCheck),
            "no_settling" => Some(Mutant::NoSettling),
            unknown => panic!("there is no mutant {unknown}"),
        });

    /// With the probability that is set for the name, ends the process at once, as `kill -9` would, or freezes it.
    pub fn point(name: &'static str) {
        let Some(fault) = POINTS.get(name) else {
            return;
        };
        let happens = DICE
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .random_bool(fault.chance);
        match (happens, fault.freeze_s) {
            (false, _) => {}
            (true, None) => {
                tracing::error!(fault.point = name, "dying here");
                std::process::abort();
            }
            (true, Some(seconds)) => {
                tracing::error!(fault.point = name, seconds, "freezing here");
                // A frozen process can't wake itself.
                let script = format!("kill -STOP $PPID; sleep {seconds}; kill -CONT $PPID");
                Command::new("sh")
                    .args(["-c", &script])
                    .status()
                    .expect("a shell");
            }
        }
    }

    /// Whether this guard is switched off.
    pub fn is_mutant(mutant: Mutant) -> bool {
        *MUTANT == Some(mutant)
    }

    fn parse(point: &str) -> Option<(String, Fault)> {
        let mut parts = point.split(':');
        let (name, chance) = (parts.next()?.to_owned(), parts.next()?.parse().ok()?);
        let freeze_s = match parts.next() {
            None => None,
            Some(seconds) => Some(seconds.parse().ok()?),
        };
        Some((name, Fault { chance, freeze_s }))
    }

    fn variable(name: &str) -> String {
        std::env::var(name).unwrap_or_default()
    }
}

pub use compiled::{is_mutant, point};
