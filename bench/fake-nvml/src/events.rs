//! Event sets: who registered for what, what waits in which queue, and who waits for it.

use std::collections::{BTreeMap, VecDeque};

use parking_lot::{Condvar, Mutex};

use crate::stats::{self, Misuse};

/// Events that a set holds; more push out the oldest, which is counted.
const QUEUE: usize = 256;

/// An event as it is delivered.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Event {
    pub slot: usize,
    pub bit: u64,
    pub data: u64,
    /// `u32::MAX` when it is about no instance.
    pub gpu_instance: u32,
    pub compute_instance: u32,
}

#[derive(Debug)]
struct Set {
    registered: Vec<(usize, u64)>,
    queue: VecDeque<Event>,
}

#[derive(Debug)]
pub(crate) struct Sets {
    sets: BTreeMap<u32, Set>,
    next: u32,
}

pub(crate) static SETS: Mutex<Sets> = Mutex::new(Sets { sets: BTreeMap::new(), next: 1 });
/// Told whenever an event came, a set was freed, or the scenario changed.
pub(crate) static CHANGED: Condvar = Condvar::new();

impl Sets {
    pub(crate) fn create(&mut self) -> u32 {
        let id = self.next;
        self.next += 1;
        let set = Set { registered: Vec::new(), queue: VecDeque::with_capacity(QUEUE) };
        self.sets.insert(id, set);
        id
    }

    pub(crate) fn free(&mut self, id: u32) -> bool {
        CHANGED.notify_all();
        self.sets.remove(&id).is_some() || self.misused(id)
    }

    pub(crate) fn register(&mut self, id: u32, slot: usize, bits: u64) -> bool {
        let Some(set) = self.sets.get_mut(&id) else { return self.misused(id) };
        match set.registered.iter_mut().find(|(of, _)| *of == slot) {
            Some((_, registered)) => *registered |= bits,
            None => set.registered.push((slot, bits)),
        }
        true
    }

    pub(crate) fn has(&self, id: u32) -> bool {
        self.sets.contains_key(&id) || self.misused(id)
    }

    /// The oldest event of a set.
    pub(crate) fn take(&mut self, id: u32) -> Option<Event> {
        self.sets.get_mut(&id)?.queue.pop_front()
    }

    pub(crate) fn post(&mut self, event: Event) {
        for set in self.sets.values_mut() {
            let wanted = set
                .registered
                .iter()
                .any(|(slot, bits)| *slot == event.slot && bits & event.bit != 0);
            if !wanted {
                continue;
            }
            if set.queue.len() == QUEUE {
                set.queue.pop_front();
                stats::count(Misuse::EventsDropped);
            }
            set.queue.push_back(event);
        }
        CHANGED.notify_all();
    }

    /// All sets are gone: another scenario.
    pub(crate) fn clear(&mut self) {
        self.sets.clear();
        CHANGED.notify_all();
    }

    pub(crate) fn len(&self) -> u64 {
        self.sets.len() as u64
    }

    /// Always false; counts if there was such a set once.
    fn misused(&self, id: u32) -> bool {
        if id < self.next {
            stats::count(Misuse::FreedSet);
        }
        false
    }
}
