//! How many bytes are on their way from the agents' streams to the disk. Beyond the limit,
//! sessions stop reading until some of it is written: a slow or full disk fills the agents'
//! spools and not this process' memory.
//!
//! What a shard makes of frames that it has (a chunk to be sealed) is counted but never waits:
//! it holds up the frames that come after it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use serde::{Deserialize, Serialize};
use tokio::sync::Notify;

use crate::stats::Stats;

/// The `[limits]` section.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LimitsConfig {
    /// Bytes taken in and not written yet.
    pub memory_bytes: u64,
}

impl Default for LimitsConfig {
    fn default() -> Self {
        Self { memory_bytes: 256 << 20 }
    }
}

/// The least that a limit can be: a few of the largest frames.
pub const MIN_BYTES: u64 = 16 << 20;
/// What a frame occupies beside its payload, on its way.
const FRAME_BYTES: u64 = 512;

/// Counts bytes between sessions and writer.
#[derive(Debug)]
pub struct InFlight {
    limit: u64,
    used: AtomicU64,
    less: Notify,
    stats: Arc<Stats>,
}

/// Bytes on their way; they have arrived, or went nowhere, when it is dropped.
#[derive(Debug)]
pub struct Held {
    owner: Arc<InFlight>,
    bytes: u64,
}

impl Drop for Held {
    fn drop(&mut self) {
        self.owner.used.fetch_sub(self.bytes, Ordering::AcqRel);
        self.owner.stats.in_flight_bytes.add(-signed(self.bytes));
        self.owner.less.notify_waiters();
    }
}

impl InFlight {
    /// Nothing is on its way yet.
    #[must_use]
    pub fn new(config: &LimitsConfig, stats: Arc<Stats>) -> Arc<Self> {
        Arc::new(Self {
            limit: config.memory_bytes,
            used: AtomicU64::new(0),
            less: Notify::new(),
            stats,
        })
    }

    /// Waits until there is room for a frame of so many bytes.
    pub async fn admit(self: &Arc<Self>, payload: usize) -> Held {
        let bytes = payload as u64 + FRAME_BYTES;
        loop {
            let less = self.less.notified();
            tokio::pin!(less);
            // From here on a release is not missed.
            less.as_mut().enable();
            let before = self.used.load(Ordering::Acquire);
            let after = before + bytes;
            if after <= self.limit || before == 0 {
                let (ordering, retry) = (Ordering::AcqRel, Ordering::Acquire);
                if self.used.compare_exchange(before, after, ordering, retry).is_ok() {
                    self.stats.in_flight_bytes.add(signed(bytes));
                    return Held { owner: Arc::clone(self), bytes };
                }
                continue;
            }
            less.await;
        }
    }

    /// Counts bytes that are there whether or not there is room.
    #[must_use]
    pub fn count(self: &Arc<Self>, bytes: usize) -> Held {
        let bytes = bytes as u64;
        self.used.fetch_add(bytes, Ordering::AcqRel);
        self.stats.in_flight_bytes.add(signed(bytes));
        Held { owner: Arc::clone(self), bytes }
    }

    /// Bytes on their way.
    #[must_use]
    pub fn used(&self) -> u64 {
        self.used.load(Ordering::Acquire)
    }
}

fn signed(bytes: u64) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::pin::pin;
    use std::task::{Context, Waker};

    #[tokio::test]
    async fn frames_wait_for_room_and_chunks_do_not() {
        let flight = InFlight::new(&LimitsConfig { memory_bytes: 10_000 }, Arc::default());
        let first = flight.admit(6000).await;
        let chunk = flight.count(20_000);
        assert_eq!(flight.used(), 6512 + 20_000);
        let mut context = Context::from_waker(Waker::noop());
        assert!(pin!(flight.admit(1)).poll(&mut context).is_pending());
        drop(chunk);
        let second = flight.admit(2000).await;
        drop((first, second));
        assert_eq!(flight.used(), 0);
        drop(flight.admit(1_000_000).await);
        assert_eq!(flight.used(), 0, "one that is larger than the limit goes alone");
    }

    #[tokio::test]
    async fn all_that_wait_go_on() {
        let flight = InFlight::new(&LimitsConfig { memory_bytes: 1000 }, Arc::default());
        let held = flight.admit(400).await;
        let waiting: Vec<_> = (0..8).map(|_| Box::pin(flight.admit(300))).collect();
        let release = async {
            tokio::task::yield_now().await;
            drop(held);
        };
        let drain = async {
            for one in waiting {
                drop(one.await);
            }
        };
        tokio::join!(drain, release);
        assert_eq!(flight.used(), 0);
    }
}
