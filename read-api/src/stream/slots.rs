//! How many streams an account has open.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use domain::AccountId;
use platform::problem::{Problem, ProblemKind};

const RETRY_AFTER_S: u32 = 10;

/// Counts the open streams of each account, up to a limit. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct StreamSlots {
    per_account: usize,
    open: Arc<Mutex<HashMap<AccountId, usize>>>,
}

/// One open stream, until it is dropped.
#[derive(Debug)]
pub(crate) struct StreamSlot {
    account: AccountId,
    slots: StreamSlots,
}

impl StreamSlots {
    pub(crate) fn new(per_account: usize) -> Self {
        Self {
            per_account,
            open: Arc::default(),
        }
    }

    pub(crate) fn take(&self, account: AccountId) -> Result<StreamSlot, Problem> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if open.get(&account).copied().unwrap_or_default() >= self.per_account {
            return Err(too_many(self.per_account));
        }
        *open.entry(account).or_default() += 1;
        metrics::gauge!("proofline_streams_open").increment(1);
        Ok(StreamSlot {
            account,
            slots: self.clone(),
        })
    }
}

impl Drop for StreamSlot {
    fn drop(&mut self) {
        let mut open = self
            .slots
            .open
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(streams) = open.get_mut(&self.account) {
            *streams -= 1;
            if *streams == 0 {
                open.remove(&self.account);
            }
        }
        metrics::gauge!("proofline_streams_open").decrement(1);
    }
}

fn too_many(limit: usize) -> Problem {
    Problem::new(ProblemKind::RateLimited)
        .code("event-streams")
        .detail(format!("the account has {limit} streams open"))
        .retry_after_s(RETRY_AFTER_S)
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn an_account_has_so_many_streams_and_gets_one_back_when_one_ends() {
        let slots = StreamSlots::new(2);
        let (one, other) = (Uuid::from_u128(1).into(), Uuid::from_u128(2).into());
        let _first = slots.take(one).unwrap();
        let second = slots.take(one).unwrap();
        assert_eq!(
            slots.take(one).unwrap_err().kind(),
            ProblemKind::RateLimited
        );
        let _of_another = slots.take(other).unwrap();
        drop(second);
        let third = slots.take(one).unwrap();
        assert!(slots.take(one).is_err());
        drop((_first, third));
        assert!(!slots.open.lock().unwrap().contains_key(&one));
    }
}
