//! GPM samples: what the counters were when a client took one.

use std::collections::BTreeMap;

use parking_lot::Mutex;

use crate::physics::{Counters, Gauges};
use crate::stats::{self, Misuse};

/// One reading, of a GPU or of a GPU instance.
#[derive(Debug, Clone)]
pub(crate) struct Sample {
    pub slot: usize,
    pub gpu_instance: Option<u32>,
    /// Scenario seconds.
    pub time: f64,
    pub counters: Counters,
    pub gauges: Gauges,
}

#[derive(Debug)]
pub(crate) struct Samples {
    samples: BTreeMap<u32, Option<Sample>>,
    next: u32,
}

pub(crate) static SAMPLES: Mutex<Samples> =
    Mutex::new(Samples { samples: BTreeMap::new(), next: 1 });

impl Samples {
    pub(crate) fn create(&mut self) -> u32 {
        let id = self.next;
        self.next += 1;
        self.samples.insert(id, None);
        id
    }

    pub(crate) fn free(&mut self, id: u32) -> bool {
        self.samples.remove(&id).is_some() || self.misused(id)
    }

    pub(crate) fn put(&mut self, id: u32, sample: Sample) -> bool {
        match self.samples.get_mut(&id) {
            Some(place) => {
                *place = Some(sample);
                true
            }
            None => self.misused(id),
        }
    }

    /// A sample that was taken.
    pub(crate) fn get(&self, id: u32) -> Option<&Sample> {
        match self.samples.get(&id) {
            Some(sample) => sample.as_ref(),
            None => {
                self.misused(id);
                None
            }
        }
    }

    pub(crate) fn clear(&mut self) {
        self.samples.clear();
    }

    pub(crate) fn len(&self) -> u64 {
        self.samples.len() as u64
    }

    /// Always false; counts if there was such a sample once.
    fn misused(&self, id: u32) -> bool {
        if id < self.next {
            stats::count(Misuse::FreedSample);
        }
        false
    }
}
