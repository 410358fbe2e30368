//! A steady tick of the host's fast tier allocates nothing. Alone in its program, because it
//! counts what the whole program allocates.

mod counting;
mod host_support;

use host_support::{node_paths, node_syscalls};
use sextant_agent::collectors::Collector;
use sextant_agent::collectors::host::{Host, HostConfig};
use sextant_agent::sample::Batch;

#[test]
fn steady_tick_of_the_fast_tier_allocates_nothing() {
    let mut host = Host::with_syscalls(&HostConfig::default(), &node_paths(), &node_syscalls());
    let mut batch = Batch::default();
    let mut tick = || {
        let before = counting::allocations();
        batch.begin();
        host.collect(0, &mut batch).expect("the fixture can be read");
        let values = batch.finish("host", 1000).values.len();
        (values, counting::allocations() - before)
    };
    let (values, first) = tick();
    assert!(values > 100 && first > 0, "{values} values, {first} allocations");
    tick();
    // The harness's own threads may allocate beside one tick, hardly beside each of a hundred.
    let least = (0..100).map(|_| tick().1).min();
    assert_eq!(least, Some(0));
}
