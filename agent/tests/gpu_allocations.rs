//! A steady tick of the GPU collector's fast tier allocates nothing, on the collector's thread
//! and on the GPUs', and a long run takes no more memory. Alone in its program, because it
//! counts what the whole program allocates.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod counting;
mod gpu_support;

use fake_nvml::scenario::{Gpu, Load, Scenario};
use gpu_support::{conditions, count};
use sextant_agent::collectors::Collector;
use sextant_agent::sample::Batch;

/// Ticks of the fast tier; the slower ones come along at their pace.
const TICKS: u32 = 100_000;

#[test]
fn steady_fast_tick_allocates_nothing_and_long_runs_take_no_more_memory() {
    let busy = conditions(|c| c.load = Some(Load::steady(0.8)));
    let gpus = vec![Gpu::of("h100-sxm").count(2).set(busy)];
    let mut node = gpu_support::node(Scenario { gpus, poll_ms: 1000, ..Scenario::default() });
    assert_eq!(count(&node.until_read(2), "gpu_power_watts"), 2);
    let mut batches: [Batch; 3] = Default::default();
    let mut tick = |tier: usize| {
        node.advance(0.5);
        let batch = &mut batches[tier];
        let before = counting::allocations();
        batch.begin();
        node.gpu.collect(tier, batch).unwrap();
        let values = batch.finish("gpu", 1000).values.len();
        assert!(values > 60 || tier != 0, "{values}");
        counting::allocations() - before
    };
    let mut run = |ticks: u32| {
        let mut with_allocations = 0;
        for at in 0..ticks {
            with_allocations += u32::from(tick(0) > 0);
            if at % 10 == 9 {
                tick(1);
            }
            if at % 600 == 599 {
                tick(2);
            }
        }
        with_allocations
    };
    run(3000);
    let bytes = counting::bytes();
    let with_allocations = run(TICKS);
    // The fake library is another allocator's; what is left is the tick after a slower tier has
    // found something new, and a second look at all GPUs every five minutes.
    assert!(with_allocations < TICKS / 400, "{with_allocations} of {TICKS} ticks allocate");
    let grown = counting::bytes() - bytes;
    assert!(grown < 64 << 10, "{grown} bytes more");
}
