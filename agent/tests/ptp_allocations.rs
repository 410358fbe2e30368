//! A steady tick of the ptp collector allocates nothing, with four ptp4l's of which one has two
//! ports. Alone in its program, because it counts allocations.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod ptp_support;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::time::Duration;

use ptp_support::fake::{Fake, MASTER, SLAVE, State};
use ptp_support::paths;
use sextant_agent::collectors::ptp::{Ptp, PtpConfig};
use sextant_agent::sample::Batch;

struct Counting;

thread_local! {
    /// Allocations of this thread: the fakes and the harness have theirs.
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

#[expect(unsafe_code, reason = "an allocator is unsafe to implement")]
// SAFETY: everything is passed on to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
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
fn steady_tick_allocates_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let run = directory.path().join("run/ptp");
    let fakes: Vec<_> = (0..4)
        .map(|number| {
            let ports = if number == 0 { vec![SLAVE, MASTER] } else { vec![SLAVE] };
            let socket = run.join(format!("ptp4l.{number}.socket"));
            let fake = Fake::start(&socket, State { ports, old: number == 1, ..State::slave() });
            let text =
                format!("[global]\ndomainNumber 24\nuds_address /run/ptp4l.{number}.socket\n");
            std::fs::write(run.join(format!("ptp4l.{number}.config")), text).unwrap();
            fake
        })
        .collect();
    let mut ptp = Ptp::new(&PtpConfig::default(), &paths(directory.path()));
    let mut batches = [Batch::default(), Batch::default()];
    let mut tick = |now: Duration, tier: usize| {
        let batch = &mut batches[tier];
        let before = ALLOCATIONS.get();
        batch.begin();
        ptp.collect_at(now, tier, batch).unwrap();
        let values = batch.finish("ptp", 1000).values.len();
        (values, ALLOCATIONS.get() - before)
    };
    let second = Duration::from_secs(1);
    let mut allocations = Vec::new();
    for at in 1..50 {
        let (values, of_tick) = tick(second * at, 0);
        assert!(values > 150, "{values} values");
        let (_, of_close_look) = tick(second * at + second / 4, 1);
        // It settles; then it looks for others every 10 seconds and asks for more every 30.
        if at > 12 && at % 10 != 1 && at != 31 {
            allocations.push((at, of_tick, of_close_look));
        }
    }
    assert!(allocations.len() > 20);
    let wasteful: Vec<_> = allocations.iter().filter(|(_, a, b)| a + b > 0).collect();
    assert!(wasteful.is_empty(), "{wasteful:?}");
    assert!(fakes.iter().all(|fake| fake.state().bad_requests == 0));
}
