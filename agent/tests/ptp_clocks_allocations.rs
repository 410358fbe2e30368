//! A steady tick of the clocks allocates nothing, with chronyd and gpsd answering. Alone in its
//! program, because it counts what the whole program allocates.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod counting;

use std::io::Write;
use std::net::{TcpListener, UdpSocket};
use std::path::Path;
use std::time::{Duration, Instant};

use sextant_agent::collectors::Paths;
use sextant_agent::collectors::ptp::PtpConfig;
use sextant_agent::collectors::ptp::clocks::{Clocks, ClocksConfig, Daemons, UtcOffset};
use sextant_agent::sample::Batch;

/// A chronyd with an empty report.
fn chronyd() -> String {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        let mut bytes = [0; 104];
        while let Ok((_, from)) = socket.recv_from(&mut bytes) {
            let mut answer = [0; 104];
            answer[..6].copy_from_slice(&[6, 2, 0, 0, 0, 33]);
            answer[7] = 5;
            answer[16..20].copy_from_slice(&bytes[8..12]);
            socket.send_to(&answer, from).unwrap();
        }
    });
    address
}

#[test]
fn steady_tick_of_the_clocks_allocates_nothing() {
    let gpsd = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = gpsd.local_addr().unwrap().to_string();
    let clocks = ClocksConfig { phc: false, system: true, chrony: chronyd(), gpsd: address };
    let node = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/sriov");
    let paths = Paths { sys: node.join("sys"), ..Paths::default() };
    let mut clocks = Clocks::new(&paths, &PtpConfig { clocks, ..PtpConfig::default() });
    clocks.set_daemons(Daemons { gpsd: true, ..Daemons::default() });
    let mut batch = Batch::default();
    let mut now = Instant::now();
    let mut tick = || {
        now += Duration::from_secs(1);
        let before = counting::of_this_thread();
        batch.begin();
        clocks.collect_at(&mut batch, UtcOffset(Some(37)), now);
        let values = batch.finish("ptp", 1000).values.len();
        (values, counting::of_this_thread() - before)
    };
    tick();
    let mut gpsd = gpsd.accept().unwrap().0;
    let mut steady = 0;
    let mut seen = 0;
    for _ in 0..100 {
        let fix = b"{\"class\":\"TPV\",\"device\":\"/dev/gnss0\",\"mode\":3,\"ept\":0.005}\r\n\
            {\"class\":\"SKY\",\"device\":\"/dev/gnss0\",\"satellites\":[{\"used\":true}]}\r\n";
        gpsd.write_all(fix).unwrap();
        let (values, allocations) = tick();
        seen = seen.max(values);
        steady += u32::from(allocations == 0);
    }
    // Two PHCs, chrony's, the receiver's, the node's. Devices are looked for in every tenth tick.
    assert!(seen > 30, "{seen} values");
    assert!(steady >= 88, "{steady} of 100 ticks allocated nothing");
}
