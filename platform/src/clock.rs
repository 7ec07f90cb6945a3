//! The one place that reads the clock.

use chrono::{DateTime, SubsecRound, Utc};

/// The current time, truncated to microseconds, which is what Postgres stores.
///
/// Ask at the edge and pass the answer on: a decision never reads the clock.
#[must_use]
pub fn now() -> DateTime<Utc> {
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the clock that everybody else asks"
    )]
    let now = Utc::now();
    now.trunc_subsecs(6)
}

#[cfg(test)]
mod tests {
    use super::now;

    #[test]
    fn the_clock_has_microseconds_and_no_more() {
        for _ in 0..100 {
            assert_eq!(now().timestamp_subsec_nanos() % 1_000, 0);
        }
    }
}
