//! Named places where a process may be made to die, and guards that may be switched off, so that the torture can show
//! that it would find what they guard against. Compiled in by the feature `torture` only: without it, a point is
//! nothing and no guard can be switched off.

/// A guard that a build of the torture can switch off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mutant {
    /// Sinks do not notice that another worker has moved them on.
    NoFencing,
    /// Readers do not check that positions have no gap.
    NoContiguityCheck,
    /// Inserts into ClickHouse carry no deduplication token.
    NoDeduplicationToken,
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
    use std::sync::{LazyLock, Mutex, PoisonError};

    use rand::rngs::StdRng;
    use rand::{RngExt as _, SeedableRng as _};

    use super::Mutant;

    /// `PROOFLINE_FAULT_POINTS=before_lock:0.001,after_insert:0.002` and `PROOFLINE_FAULT_SEED=7`.
    static POINTS: LazyLock<HashMap<String, f64>> = LazyLock::new(|| {
        variable("PROOFLINE_FAULT_POINTS")
            .split(',')
            .filter(|point| !point.is_empty())
            .map(|point| {
                point
                    .split_once(':')
                    .and_then(|(name, chance)| Some((name.to_owned(), chance.parse().ok()?)))
                    .expect("PROOFLINE_FAULT_POINTS is a list of name:probability")
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
            "no_deduplication_token" => Some(Mutant::NoDeduplicationToken),
            unknown => panic!("there is no mutant {unknown}"),
        });

    /// Ends the process at once, as `kill -9` would, with the probability that is set for the name.
    pub fn point(name: &'static str) {
        let Some(chance) = POINTS.get(name) else {
            return;
        };
        let dies = DICE
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .random_bool(*chance);
        if dies {
            tracing::error!(fault.point = name, "dying here");
            std::process::abort();
        }
    }

    /// Whether this guard is switched off.
    pub fn is_mutant(mutant: Mutant) -> bool {
        *MUTANT == Some(mutant)
    }

    fn variable(name: &str) -> String {
        std::env::var(name).unwrap_or_default()
    }
}

pub use compiled::{is_mutant, point};
