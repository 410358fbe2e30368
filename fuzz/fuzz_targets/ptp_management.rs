//! Datagrams of a management socket: whoever can write to it can send anything.

#![no_main]

use libfuzzer_sys::fuzz_target;
use sextant_agent::collectors::ptp::management;

fuzz_target!(|datagram: &[u8]| {
    let _understood = management::understands(datagram);
});
