//! How much a lane holds, in all and of each party. What finds no room is turned away at once.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::ops::{AddAssign, SubAssign};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use uuid::Uuid;

use super::Limits;

pub(super) struct Room {
    all_max: Load,
    party_max: Load,
    held: Mutex<Held>,
}

#[derive(Default)]
struct Held {
    all: Load,
    /// Those that hold something.
    parties: HashMap<Uuid, Load>,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
struct Load {
    items: usize,
    weight: usize,
}

/// One item's part of the room, given back when dropped.
pub(super) struct Share {
    room: Arc<Room>,
    party: Uuid,
    load: Load,
}

impl Room {
    pub(super) fn new(limits: Limits) -> Self {
        let all_max = Load {
            items: limits.held_max,
            weight: limits.held_weight_max,
        };
        let party_max = Load {
            items: all_max.items / limits.parties_min,
            weight: all_max.weight / limits.parties_min,
        };
        Self {
            all_max,
            party_max,
            held: Mutex::default(),
        }
    }

    /// How many items wait or are in flight.
    pub(super) fn items(&self) -> usize {
        self.held().all.items
    }

    /// One that is heavier than all that its party may hold takes all of that.
    pub(super) fn take(self: &Arc<Self>, party: Uuid, weight: usize) -> Option<Share> {
        let load = Load {
            items: 1,
            weight: weight.min(self.party_max.weight),
        };
        let mut held = self.held();
        let of_party = held.parties.get(&party).copied().unwrap_or_default();
        if !held.all.leaves(load, self.all_max) || !of_party.leaves(load, self.party_max) {
            return None;
        }
        held.all += load;
        *held.parties.entry(party).or_default() += load;
        Some(Share {
            room: self.clone(),
            party,
            load,
        })
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        // Nothing panics while it is held; if something did, the counts would still be whole.
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let mut held = self.room.held();
        held.all -= self.load;
        if let Entry::Occupied(mut party) = held.parties.entry(self.party) {
            *party.get_mut() -= self.load;
            if *party.get() == Load::default() {
                party.remove();
            }
        }
    }
}

impl Load {
    /// Whether there is room for another beside it.
    fn leaves(self, other: Self, max: Self) -> bool {
        self.items + other.items <= max.items && self.weight + other.weight <= max.weight
    }
}

impl AddAssign for Load {
    fn add_assign(&mut self, other: Self) {
        self.items += other.items;
        self.weight += other.weight;
    }
}

impl SubAssign for Load {
    fn sub_assign(&mut self, other: Self) {
        self.items -= other.items;
        self.weight -= other.weight;
    }
}
