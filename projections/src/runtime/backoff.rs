use std::time::Duration;

const FIRST: Duration = Duration::from_millis(100);
const LONGEST: Duration = Duration::from_secs(5);

/// Pauses between attempts: doubled each time up to five seconds, each shortened by up to a half at random, so that
/// those who failed together do not come back together.
#[derive(Debug, Default)]
pub(crate) struct Backoff {
    attempts: u32,
}

impl Backoff {
    pub(crate) fn reset(&mut self) {
        self.attempts = 0;
    }

    pub(crate) fn next(&mut self) -> Duration {
        let longest = FIRST
            .saturating_mul(2u32.saturating_pow(self.attempts))
            .min(LONGEST);
        self.attempts = self.attempts.saturating_add(1);
        longest.mul_f64(rand::random_range(0.5..=1.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_a_cap_and_begin_anew_after_success() {
        let mut backoff = Backoff::default();
        for attempt in 0..40 {
            let longest = FIRST
                .saturating_mul(2u32.saturating_pow(attempt))
                .min(LONGEST);
            let pause = backoff.next();
            assert!(
                pause <= longest && pause >= longest / 2,
                "{attempt}: {pause:?}"
            );
        }
        backoff.reset();
        assert!(backoff.next() <= FIRST);
    }
}
