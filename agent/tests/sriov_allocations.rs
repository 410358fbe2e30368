//! A steady tick of the SR-IOV collector's fast tier allocates nothing. Alone in its program,
//! because it counts what the whole program allocates.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod counting;
mod sriov_support;

use fake_node::kernel::{BuiltPf, BuiltVf, FakeKernel};
use fake_node::tree::Tree;
use sextant_agent::collectors::Collector;
use sextant_agent::sample::Batch;
use sriov_support::sriov;

#[test]
fn steady_tick_of_the_fast_tier_with_128_virtual_functions_allocates_nothing() {
    const PCI: &str = "0000:3b:00.0";
    let tree = Tree::new();
    tree.pf(PCI, "ice", ("ens1", 4), 128);
    tree.vfs(PCI, 128, "iavf");
    let kernel = FakeKernel::default();
    let vfs = (0..128).map(BuiltVf::counting).collect();
    kernel.set(&BuiltPf { index: 4, name: "ens1".into(), pci: PCI.into(), packets: 1, vfs });
    let mut sriov = sriov(tree.root(), &kernel);
    let mut slow = Batch::default();
    slow.begin();
    sriov.collect(1, &mut slow).unwrap();
    assert!(slow.finish("sriov", 15_000).values.len() > 128 * 15);

    let mut batch = Batch::default();
    let mut tick = || {
        let before = counting::allocations();
        batch.begin();
        sriov.collect(0, &mut batch).unwrap();
        let values = batch.finish("sriov", 1000).values.len();
        (values, counting::allocations() - before)
    };
    let (values, first) = tick();
    assert!(values == 11 && first > 0, "{values} values, {first} allocations");
    tick();
    // The harness's own threads may allocate beside one tick, hardly beside each of a hundred.
    let least = (0..100).map(|_| tick().1).min();
    assert_eq!(least, Some(0));
}
