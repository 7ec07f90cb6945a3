//! What waits in a lane, and whose turn it is.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, VecDeque};

use uuid::Uuid;

use super::{Access, Flush, Limits, Waiting};

pub(super) struct Queue<F: Flush> {
    lines: HashMap<Uuid, Line<F>>,
    /// Those who have a line, in the order of their turns.
    turns: VecDeque<Uuid>,
    len: usize,
}

/// What waits for one party.
struct Line<F: Flush> {
    waiting: VecDeque<Waiting<F>>,
    /// What came before that and clashed in the batch that is being made.
    passed: VecDeque<Waiting<F>>,
}

/// What goes together in one call.
struct Batch<F: Flush> {
    limits: Limits,
    items: Vec<Waiting<F>>,
    weight: usize,
    keys: HashMap<F::Key, Access>,
}

enum Turn {
    Taken,
    /// What waits, if anything, clashes with what goes.
    Nothing,
    /// The batch has no room for the next one.
    Full,
}

impl<F: Flush> Queue<F> {
    pub(super) fn new() -> Self {
        Self {
            lines: HashMap::new(),
            turns: VecDeque::new(),
            len: 0,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub(super) fn push(&mut self, item: Waiting<F>) {
        let party = F::party(&item.item);
        match self.lines.entry(party) {
            Entry::Occupied(line) => line.into_mut().waiting.push_back(item),
            Entry::Vacant(vacant) => {
                vacant.insert(Line {
                    waiting: VecDeque::from([item]),
                    passed: VecDeque::new(),
                });
                self.turns.push_back(party);
            }
        }
        self.len += 1;
    }

    /// Takes what may go in one call: of each party in turn its first item that clashes with nothing, until the batch is
    /// full or nobody has one. Whoever did not fit is first next time.
    pub(super) fn take_batch(&mut self, limits: Limits) -> Vec<Waiting<F>> {
        let mut batch = Batch::new(limits);
        let mut done = VecDeque::new();
        while let Some(party) = self.turns.pop_front() {
            let turn = self
                .lines
                .get_mut(&party)
                .map_or(Turn::Nothing, |line| line.offer_next(&mut batch));
            match turn {
                Turn::Taken => self.turns.push_back(party),
                Turn::Nothing => done.push_back(party),
                Turn::Full => {
                    self.turns.push_front(party);
                    break;
                }
            }
        }
        self.turns.append(&mut done);
        self.turns.retain(|party| {
            let waits = self.lines.get_mut(party).is_some_and(Line::close_up);
            if !waits {
                self.lines.remove(party);
            }
            waits
        });
        self.len -= batch.items.len();
        batch.items
    }
}

impl<F: Flush> Line<F> {
    fn offer_next(&mut self, batch: &mut Batch<F>) -> Turn {
        while let Some(item) = self.waiting.pop_front() {
            if !batch.fits(&item) {
                self.waiting.push_front(item);
                return Turn::Full;
            }
            // A key that is left behind is held too: whoever comes third must not overtake the second.
            if batch.hold(F::keys(&item.item)) {
                batch.weight += item.weight;
                batch.items.push(item);
                return Turn::Taken;
            }
            self.passed.push_back(item);
        }
        Turn::Nothing
    }

    /// Puts what was passed over back in its place. Whether anything waits.
    fn close_up(&mut self) -> bool {
        if !self.passed.is_empty() {
            self.passed.append(&mut self.waiting);
            std::mem::swap(&mut self.passed, &mut self.waiting);
        }
        !self.waiting.is_empty()
    }
}

impl<F: Flush> Batch<F> {
    fn new(limits: Limits) -> Self {
        Self {
            limits,
            items: Vec::new(),
            weight: 0,
            keys: HashMap::new(),
        }
    }

    fn fits(&self, item: &Waiting<F>) -> bool {
        self.items.is_empty()
            || (self.items.len() < self.limits.items_max
                && self.weight + item.weight <= self.limits.weight_max)
    }

    /// Whether none of the keys was held by another, except where both share it.
    fn hold(&mut self, keys: Vec<(F::Key, Access)>) -> bool {
        let mut free = true;
        for (key, access) in keys {
            match self.keys.entry(key) {
                Entry::Vacant(vacant) => drop(vacant.insert(access)),
                Entry::Occupied(mut held) => {
                    let shared = (*held.get(), access) == (Access::Shared, Access::Shared);
                    free &= shared;
                    if !shared {
                        held.insert(Access::Exclusive);
                    }
                }
            }
        }
        free
    }
}
