//! The GPUs that something was told of, and how often: the numbers behind the series.
//!
//! A GPU is known by its UUID, by its PCI address, or by both. One that only the kernel's log
//! named is a `pci` entity until NVML or the log tells its UUID; what was counted moves with it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::address::PciAddress;
use super::kinds::{self, KINDS};
use super::queue::Gpu;
use crate::collectors::gpu::metrics::{EVENTS, XID_ERRORS, XID_LAST, XID_LAST_TIME};
use crate::sample::Batch;

/// GPUs kept; events of more are told and not counted.
const MOST: usize = 64;
/// Different Xids counted for a GPU; more are counted as "other".
const XIDS: usize = 64;
/// The label of those.
const OTHER: &str = "other";

/// A GPU and what happened to it.
#[derive(Debug)]
pub(super) struct Tracked {
    pub(super) uuid: Option<Arc<str>>,
    pub(super) address: Option<PciAddress>,
    /// The address as text; empty where there is none.
    pub(super) bus_id: String,
    xids: Vec<XidCount>,
    last: u32,
    counts: [u64; KINDS.len()],
    /// Kinds that the driver was asked to tell: their series begin at 0.
    told: u64,
    last_record: [Option<Instant>; KINDS.len()],
    pub(super) last_fallen: Option<Instant>,
    pub(super) last_init_failure: Option<Instant>,
}

#[derive(Debug)]
struct XidCount {
    /// None for all that have no place of their own.
    xid: Option<u32>,
    label: String,
    count: u64,
    last_ms: i64,
}

impl Tracked {
    fn new(uuid: Option<Arc<str>>, address: Option<PciAddress>) -> Self {
        Self {
            uuid,
            address,
            bus_id: address.map(|address| address.to_string()).unwrap_or_default(),
            xids: Vec::new(),
            last: 0,
            counts: [0; KINDS.len()],
            told: 0,
            last_record: [None; KINDS.len()],
            last_fallen: None,
            last_init_failure: None,
        }
    }

    /// Counts an Xid.
    pub(super) fn count_xid(&mut self, xid: u32, time_ms: i64) {
        self.last = xid;
        let place = self.xids.iter().position(|count| count.xid == Some(xid)).or_else(|| {
            let own = (self.xids.len() < XIDS).then_some(xid);
            if own.is_none()
                && let Some(other) = self.xids.iter().position(|count| count.xid.is_none())
            {
                return Some(other);
            }
            let label = own.map_or_else(|| OTHER.to_owned(), |xid| xid.to_string());
            self.xids.push(XidCount { xid: own, label, count: 0, last_ms: 0 });
            Some(self.xids.len() - 1)
        });
        if let Some(count) = place.and_then(|place| self.xids.get_mut(place)) {
            count.count += 1;
            count.last_ms = count.last_ms.max(time_ms);
        }
    }

    /// Counts an event; says whether a record of it should be made.
    pub(super) fn count_event(&mut self, kind: usize, at: Instant) -> bool {
        self.counts[kind] += 1;
        is_due(&mut self.last_record[kind], at, KINDS[kind].every)
    }

    #[expect(clippy::cast_precision_loss, reason = "counts and times stay far below 2^53")]
    fn write(&self, batch: &mut Batch) {
        let mut values = match &self.uuid {
            Some(uuid) => batch.entity("gpu", &[("uuid", uuid)]),
            None => batch.entity("pci", &[("pci_bus_id", &self.bus_id)]),
        };
        values.set(&XID_LAST, self.last.into());
        for xid in &self.xids {
            let labels = [("xid", xid.label.as_str())];
            values.set_with(&XID_ERRORS, &labels, xid.count as f64);
            values.set_with(&XID_LAST_TIME, &labels, xid.last_ms as f64 / 1000.0);
        }
        for (kind, count) in KINDS.iter().zip(&self.counts) {
            if *count > 0 || self.told & kind.bit != 0 {
                values.set_with(&EVENTS, &[("event", kind.label)], *count as f64);
            }
        }
    }
}

/// Whether something that is told once in `every` is told at `at`, and notes that it is.
pub(super) fn is_due(last: &mut Option<Instant>, at: Instant, every: Duration) -> bool {
    let due = last.is_none_or(|last| at.saturating_duration_since(last) >= every);
    if due {
        *last = Some(at);
    }
    due
}

/// All of them, in the order in which they were first seen.
#[derive(Debug, Default)]
pub(super) struct Gpus {
    tracked: Vec<Tracked>,
}

impl Gpus {
    /// The GPU of an index that was given by this.
    pub(super) fn get(&mut self, index: usize) -> &mut Tracked {
        &mut self.tracked[index]
    }

    /// The GPU at an address; none when there are too many.
    pub(super) fn at(&mut self, address: PciAddress) -> Option<usize> {
        // The newest, should another GPU have been put in the place of one.
        let known = self.tracked.iter().rposition(|gpu| gpu.address == Some(address));
        known.or_else(|| self.add(Tracked::new(None, Some(address))))
    }

    /// The GPU with a UUID, which is also known by its address from now on.
    pub(super) fn of(&mut self, gpu: &Gpu) -> Option<usize> {
        let known = self.tracked.iter().position(|known| known.uuid.as_ref() == Some(&gpu.uuid));
        let nameless = |known: &Tracked| known.uuid.is_none() && known.address == gpu.address;
        let index = known.or_else(|| self.tracked.iter().position(nameless));
        let Some(index) = index else {
            return self.add(Tracked::new(Some(Arc::clone(&gpu.uuid)), gpu.address));
        };
        let tracked = &mut self.tracked[index];
        if tracked.uuid.is_none() {
            tracked.uuid = Some(Arc::clone(&gpu.uuid));
        }
        if tracked.address != gpu.address
            && let Some(address) = gpu.address
        {
            (tracked.address, tracked.bus_id) = (Some(address), address.to_string());
        }
        Some(index)
    }

    /// Notes which kinds of events the driver tells for a GPU.
    pub(super) fn listening(&mut self, gpu: &Gpu, told: u64) {
        if let Some(index) = self.of(gpu) {
            self.tracked[index].told |= told & !kinds::XID;
        }
    }

    fn add(&mut self, gpu: Tracked) -> Option<usize> {
        if self.tracked.len() >= MOST {
            return None;
        }
        self.tracked.push(gpu);
        Some(self.tracked.len() - 1)
    }

    /// Writes every series.
    pub(super) fn write(&self, batch: &mut Batch) {
        self.tracked.iter().for_each(|gpu| gpu.write(batch));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gpu(uuid: &str, address: &str) -> Gpu {
        Gpu { uuid: uuid.into(), address: PciAddress::parse(address) }
    }

    #[test]
    fn counts_move_to_the_uuid_once_it_is_known() {
        let mut gpus = Gpus::default();
        let place = PciAddress::parse("0000:3b:00").unwrap();
        let index = gpus.at(place).unwrap();
        gpus.get(index).count_xid(79, 1);
        assert_eq!(gpus.of(&gpu("GPU-a", "0000:3b:00.0")), Some(index));
        assert_eq!(gpus.at(place), Some(index));
        let replaced = gpus.of(&gpu("GPU-b", "0000:3b:00.0"));
        assert_eq!((replaced, gpus.at(place)), (Some(1), Some(1)));
        assert_eq!(gpus.of(&gpu("GPU-c", "?")), Some(2));
        assert_eq!(gpus.of(&gpu("GPU-c", "0000:5e:00.0")), Some(2));
        assert_eq!(gpus.get(2).bus_id, "0000:5e:00.0");
    }

    #[test]
    fn xids_beyond_the_bound_are_counted_together() {
        let mut tracked = Tracked::new(None, None);
        for xid in (0u32..).take(XIDS + 10) {
            tracked.count_xid(xid, i64::from(xid));
        }
        tracked.count_xid(3, 0);
        assert_eq!(tracked.xids.len(), XIDS + 1);
        let last = tracked.xids.last().unwrap();
        assert_eq!((last.label.as_str(), last.count), (OTHER, 10));
        assert_eq!((tracked.xids[3].count, tracked.xids[3].last_ms, tracked.last), (2, 3, 3));
    }

    #[test]
    fn gpus_beyond_the_bound_are_not_tracked() {
        let mut gpus = Gpus::default();
        for bus in 0..MOST {
            assert!(gpus.at(PciAddress::parse(&format!("{bus:02x}:00.0")).unwrap()).is_some());
        }
        assert_eq!(gpus.at(PciAddress::parse("ff:00.0").unwrap()), None);
        assert!(gpus.of(&gpu("GPU-a", "ff:00.0")).is_none());
        assert!(gpus.of(&gpu("GPU-b", "01:00.0")).is_some());
    }
}
