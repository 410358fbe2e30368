//! A steady tick of the host's fast tier allocates nothing. Alone in its program, because it
//! counts what the whole program allocates.

mod host_support;

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicU64, Ordering};

use host_support::{node_paths, node_syscalls};
use sextant_agent::collectors::Collector;
use sextant_agent::collectors::host::{Host, HostConfig};
use sextant_agent::sample::Batch;

struct Counting;

static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);

#[expect(unsafe_code, reason = "an allocator is unsafe to implement")]
// SAFETY: everything is passed on to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller keeps alloc's contract.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: the block came from `alloc` above, which is System's.
        unsafe { System.dealloc(block, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[test]
fn steady_tick_of_the_fast_tier_allocates_nothing() {
    let mut host = Host::with_syscalls(&HostConfig::default(), &node_paths(), &node_syscalls());
    let mut batch = Batch::default();
    let mut tick = || {
        let before = ALLOCATIONS.load(Ordering::Relaxed);
        batch.begin();
        host.collect(0, &mut batch).expect("the fixture can be read");
        let values = batch.finish("host", 1000).values.len();
        (values, ALLOCATIONS.load(Ordering::Relaxed) - before)
    };
    let (values, first) = tick();
    assert!(values > 100 && first > 0, "{values} values, {first} allocations");
    tick();
    // The harness's own threads may allocate beside one tick, hardly beside each of a hundred.
    let least = (0..100).map(|_| tick().1).min();
    assert_eq!(least, Some(0));
}
