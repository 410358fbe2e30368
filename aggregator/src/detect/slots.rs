//! One node's per-series state, found without hashing.
//!
//! The state of a key (a series, or a rule on a series) has a slot that it keeps over changes of
//! the node's layouts; a plan says for one layout which column goes to which slot, so that a
//! tick costs what is watched and no look-ups. Plans are bounded, the least recently used goes;
//! with it go the states that no plan leads to any more.

use std::hash::Hash;

use rustc_hash::FxHashMap;

use crate::series::LayoutId;

/// More layouts than a node has at a time (collectors × tiers, a few dozen at most). A node
/// whose layouts change all the time keeps this many.
pub(super) const MAX_PLANS: usize = 48;

/// State that a slot holds.
pub(super) trait State: Default {
    /// Whether it must outlive its layouts.
    fn keep(&self) -> bool;
}

/// The states of a node.
#[derive(Debug)]
pub(super) struct NodeSlots<K, E, S> {
    plans: Vec<Plan<E>>,
    index: FxHashMap<K, u32>,
    states: Vec<S>,
    free: Vec<u32>,
    uses: u64,
}

#[derive(Debug)]
struct Plan<E> {
    layout: LayoutId,
    used: u64,
    entries: Vec<(E, u32)>,
}

impl<K, E, S> Default for NodeSlots<K, E, S> {
    fn default() -> Self {
        Self {
            plans: Vec::new(),
            index: FxHashMap::default(),
            states: Vec::new(),
            free: Vec::new(),
            uses: 0,
        }
    }
}

impl<K: Hash + Eq + Copy, E, S: State> NodeSlots<K, E, S> {
    /// The layout's entries, each with the slot of its state. `compile` is called for a layout
    /// that has no plan.
    pub(super) fn resolve(
        &mut self,
        layout: LayoutId,
        compile: impl FnOnce() -> Vec<(K, E)>,
    ) -> (&mut [(E, u32)], &mut [S]) {
        self.uses += 1;
        let at = match self.plans.iter().position(|p| p.layout == layout) {
            Some(at) => at,
            None => self.add(layout, compile()),
        };
        self.plans[at].used = self.uses;
        (&mut self.plans[at].entries, &mut self.states)
    }

    /// The state of a key, made if there is none.
    pub(super) fn state(&mut self, key: K) -> &mut S {
        let slot = self.slot(key);
        &mut self.states[slot as usize]
    }

    /// Lets every layout be compiled again; states keep their slots.
    pub(super) fn replan(&mut self) {
        self.plans.clear();
    }

    /// The slot of a key, until the next layout that has no plan.
    pub(super) fn slot_of(&self, key: K) -> Option<u32> {
        self.index.get(&key).copied()
    }

    /// All states, by slot.
    pub(super) fn states(&self) -> &[S] {
        &self.states
    }

    /// The state of a key.
    pub(super) fn get_mut(&mut self, key: K) -> Option<&mut S> {
        let slot = *self.index.get(&key)?;
        self.states.get_mut(slot as usize)
    }

    fn add(&mut self, layout: LayoutId, compiled: Vec<(K, E)>) -> usize {
        if self.plans.len() >= MAX_PLANS
            && let Some(oldest) = (0..self.plans.len()).min_by_key(|&i| self.plans[i].used)
        {
            self.plans.swap_remove(oldest);
        }
        let entries = compiled.into_iter().map(|(key, entry)| (entry, self.slot(key))).collect();
        self.plans.push(Plan { layout, used: self.uses, entries });
        if self.plans.len() == MAX_PLANS {
            self.collect();
        }
        self.plans.len() - 1
    }

    fn slot(&mut self, key: K) -> u32 {
        if let Some(&slot) = self.index.get(&key) {
            return slot;
        }
        let slot = self.free.pop().unwrap_or_else(|| {
            self.states.push(S::default());
            u32::try_from(self.states.len() - 1).expect("a node's series are limited")
        });
        self.index.insert(key, slot);
        slot
    }

    /// Frees the states that no plan leads to.
    fn collect(&mut self) {
        let mut used = vec![false; self.states.len()];
        for (_, slot) in self.plans.iter().flat_map(|p| &p.entries) {
            used[*slot as usize] = true;
        }
        let Self { index, states, free, .. } = self;
        index.retain(|_, slot| {
            let state = &mut states[*slot as usize];
            let keep = used[*slot as usize] || state.keep();
            if !keep {
                *state = S::default();
                free.push(*slot);
            }
            keep
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Default)]
    struct Sum(u32);

    impl State for Sum {
        fn keep(&self) -> bool {
            self.0 == 7
        }
    }

    fn add(slots: &mut NodeSlots<u32, (), Sum>, layout: u32, keys: &[u32]) -> Vec<u32> {
        let compile = || keys.iter().map(|&k| (k, ())).collect();
        let (entries, states) = slots.resolve(LayoutId(layout), compile);
        let mut sums = Vec::new();
        for ((), slot) in entries {
            states[*slot as usize].0 += 1;
            sums.push(states[*slot as usize].0);
        }
        sums
    }

    #[test]
    fn state_survives_a_change_of_layout() {
        let mut slots = NodeSlots::default();
        assert_eq!(add(&mut slots, 1, &[10, 11]), [1, 1]);
        assert_eq!(add(&mut slots, 2, &[11, 12]), [2, 1]);
        assert_eq!(add(&mut slots, 1, &[10, 11]), [2, 3]);
    }

    #[test]
    fn churning_layouts_keep_memory_bounded_and_what_must_stay() {
        let mut slots: NodeSlots<u32, (), Sum> = NodeSlots::default();
        slots.state(5).0 = 7;
        for layout in 0..10_000 {
            assert_eq!(add(&mut slots, layout, &[100 + layout])[0], 1);
        }
        assert!(slots.plans.len() <= MAX_PLANS, "{}", slots.plans.len());
        assert!(slots.states.len() <= 2 * MAX_PLANS, "{}", slots.states.len());
        assert!(slots.index.len() <= 2 * MAX_PLANS, "{}", slots.index.len());
        assert_eq!(slots.get_mut(5).map(|s| s.0), Some(7));
    }
}
