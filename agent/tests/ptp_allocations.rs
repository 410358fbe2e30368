//! A steady tick of the ptp collector allocates nothing, with four ptp4l's of which one has two
//! ports. Alone in its program, because it counts allocations.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod counting;
mod ptp_support;

use std::time::Duration;

use fake_node::ptp4l::{Fake, MASTER, SLAVE, State};
use ptp_support::paths;
use sextant_agent::collectors::ptp::{Ptp, PtpConfig};
use sextant_agent::sample::Batch;

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
        let before = counting::of_this_thread();
        batch.begin();
        ptp.collect_at(now, tier, batch).unwrap();
        let values = batch.finish("ptp", 1000).values.len();
        (values, counting::of_this_thread() - before)
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
