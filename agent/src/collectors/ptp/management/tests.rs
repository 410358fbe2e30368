//! The codec against what ptp4l 3.1.1 and 4.4 have sent, and against what nobody should send.

use super::*;

/// ptp4l 3.1.1, slave of domain 24 at 020000.fffe.000101; asked by 000000.0000.090909-7.
const HEADER: &str = "18000000000000000000000000000000020000fffe0001020000";
const TIME_STATUS_4_4: &str = "0d12006818000000000000000000000000000000020000fffe000102000000a7007f00000000000000003ad700000200000100\
     34c0000000000000000205 18ea3e2afa8684c4 00000000000000000000000000000000000000000000 00000001 020000fffe000101";

fn bytes(hex: &str) -> Vec<u8> {
    let digits: Vec<_> = hex.bytes().filter(u8::is_ascii_hexdigit).collect();
    let digit = |d: u8| u8::try_from((d as char).to_digit(16).unwrap()).unwrap();
    digits.chunks(2).map(|pair| digit(pair[0]) << 4 | digit(pair[1])).collect()
}

/// An answer of 3.1.1 with this TLV, type and length first.
fn answer(tlv: &str) -> Vec<u8> {
    let tlv = bytes(tlv);
    let length = u16::try_from(48 + tlv.len()).unwrap().to_be_bytes();
    let middle = bytes("0002 047f 0000000000090909 0007 0000 02 00");
    [&[0x0d, 2][..], &length, &bytes(HEADER), &middle, &tlv].concat()
}

/// Decodes as a client of 3.1.1 would.
fn decode<'a, T: DataSet<'a>>(datagram: &'a [u8]) -> T {
    let reply = parse(datagram).unwrap();
    let Body::Data { id, data } = reply.body else { panic!("{reply:?}") };
    assert_eq!(id, T::ID);
    // Longer is a later version; every byte less is too few.
    let longer: Vec<u8> = [data, &[0xaa; 3]].concat();
    let order = Order::of_minor_version(reply.minor_version);
    let leaked: &'a [u8] = longer.leak();
    assert!(T::decode(leaked, order).is_ok());
    for length in 0..T::BYTES {
        assert!(T::decode(&data[..length], order).is_err(), "{length} bytes");
    }
    T::decode(data, order).unwrap()
}

fn clock(last: u8) -> ClockIdentity {
    ClockIdentity([2, 0, 0, 0xff, 0xfe, 0, 1, last])
}

#[test]
fn clock_data_sets_of_3_1_are_read() {
    let datagram = answer("0001 0016 2000 0300000180fffeffff80020000fffe0001021800");
    assert_eq!(
        decode::<DefaultDataSet>(&datagram),
        DefaultDataSet {
            two_step: true,
            slave_only: true,
            ports: 1,
            priority1: 128,
            clock_class: 255,
            clock_accuracy: 0xfe,
            clock_variance: 0xffff,
            priority2: 128,
            clock: clock(2),
            domain: 24,
        }
    );
    let datagram = answer("0001 0014 2001 0001fffffffffefa0000000000000aea0000");
    assert_eq!(
        decode::<CurrentDataSet>(&datagram),
        CurrentDataSet { steps_removed: 1, offset_ns: -262.0, path_delay_ns: 2794.0 }
    );
    let datagram =
        answer("0001 0022 2002 020000fffe00010100010000ffff7fffffff640621ffff80020000fffe000101");
    assert_eq!(
        decode::<ParentDataSet>(&datagram),
        ParentDataSet {
            parent: PortIdentity { clock: clock(1), port: 1 },
            observed_variance: 0xffff,
            phase_change_rate: i32::MAX,
            grandmaster_priority1: 100,
            grandmaster_class: 6,
            grandmaster_accuracy: 0x21,
            grandmaster_variance: 0xffff,
            grandmaster_priority2: 128,
            grandmaster: clock(1),
        }
    );
    let time = TimeProperties {
        utc_offset: 37,
        leap61: false,
        leap59: false,
        utc_offset_valid: false,
        ptp_timescale: false,
        time_traceable: false,
        frequency_traceable: false,
        time_source: 0xa0,
    };
    assert_eq!(decode::<TimeProperties>(&answer("0001 0006 2003 002500a0")), time);
    let datagram = answer("0001 000a c001 fffeffff002500a0");
    assert_eq!(
        decode::<GrandmasterSettings>(&datagram),
        GrandmasterSettings {
            clock_class: 255,
            clock_accuracy: 0xfe,
            clock_variance: 0xffff,
            time
        }
    );
    let datagram = answer("0001 0006 2003 fff23c20");
    let traceable = decode::<TimeProperties>(&datagram);
    assert!(traceable.utc_offset_valid && traceable.ptp_timescale && traceable.time_traceable);
    assert!(traceable.frequency_traceable && !traceable.leap59 && !traceable.leap61);
    assert_eq!((traceable.utc_offset, traceable.time_source), (-14, 0x20));
    let datagram = answer("0001 0004 c006 0000");
    assert_eq!(decode::<SynchronizationUncertain>(&datagram).value, 0);
    let datagram = answer(&format!("0001 0044 c003 {}", "00".repeat(66)));
    assert_eq!(
        decode::<SubscribeEvents>(&datagram),
        SubscribeEvents { seconds: 0, events: [0; 64] }
    );
}

#[test]
fn port_data_sets_of_3_1_are_read() {
    let port = PortIdentity { clock: clock(2), port: 1 };
    let datagram = answer("0001 001c 2004 020000fffe000102000109fc0000000000000000fd03fc010002");
    assert_eq!(
        decode::<PortDataSet>(&datagram),
        PortDataSet {
            port,
            state: PortState::SLAVE,
            log_delay_request: -4,
            peer_delay_ns: 0.0,
            log_announce: -3,
            announce_receipt_timeout: 3,
            log_sync: -4,
            delay_mechanism: 1,
            log_peer_delay_request: 0,
            version: 2,
        }
    );
    let datagram = answer("0001 0012 c004 020000fffe0001020001090002765300");
    assert_eq!(
        decode::<PortProperties<'_>>(&datagram),
        PortProperties {
            port,
            state: PortState::SLAVE,
            timestamping: Timestamping::Software,
            interface: "vS"
        }
    );
    let datagram = answer("0001 000a c002 01312d0000000001");
    let neighbor = decode::<PortDataSetNp>(&datagram);
    assert_eq!((neighbor.neighbor_delay_threshold_ns, neighbor.as_capable), (20_000_000, true));
    let datagram = answer(
        "0001 0032 0001 80000a49454545203830322e3300060200000001020003000602000000010200000000023b3b023b3b00001b19000100",
    );
    assert_eq!(
        decode::<ClockDescription<'_>>(&datagram),
        ClockDescription {
            clock_type: 0x8000,
            hardware_address: &[2, 0, 0, 0, 1, 2],
            protocol: 3,
            protocol_address: &[2, 0, 0, 0, 1, 2],
            product: b";;",
        }
    );
}

#[test]
fn counters_are_in_the_order_of_the_version() {
    let mut counts = [0u64; 32];
    (counts[0], counts[11], counts[16 + 1]) = (0x0f14, 0x078e, 0x0f2b);
    let data = |of: fn(u64) -> [u8; 8]| {
        [&bytes("020000fffe0001020001")[..], &counts.map(of).concat()].concat()
    };
    for (minor, data) in [(0, data(u64::to_ne_bytes)), (1, data(u64::to_le_bytes))] {
        let stats = PortStats::decode(&data, Order::of_minor_version(minor)).unwrap();
        assert_eq!((stats.received[0], stats.received[11], stats.sent[1]), (3860, 1934, 3883));
        assert_eq!(stats.received.iter().chain(&stats.sent).sum::<u64>(), 3860 + 1934 + 3883);
        assert!(PortStats::decode(&data[..265], Order::Little).is_err());
    }
}

#[test]
fn answers_of_4_x_are_read() {
    let datagram = bytes(TIME_STATUS_4_4);
    let reply = parse(&datagram).unwrap();
    assert_eq!((reply.minor_version, reply.domain, reply.sequence), (1, 24, 0xa7));
    assert_eq!(reply.source, PortIdentity { clock: clock(2), port: 0 });
    assert_eq!(reply.target, PortIdentity { clock: ClockIdentity([0; 8]), port: 0x3ad7 });
    let status = decode::<TimeStatus>(&datagram);
    assert_eq!((status.offset_ns, status.ingress_ns), (517, 0x18ea_3e2a_fa86_84c4));
    assert_eq!((status.gm_present, status.gm, status.rate_offset), (true, clock(1), 0.0));

    let port = "020000fffe0001020001";
    let data = bytes(&format!("{port} 00000002 0100"));
    let hwclock = PortHwclock::decode(&data, Order::Little).unwrap();
    assert_eq!((hwclock.phc, hwclock.vclock), (2, true));
    let counts: Vec<u8> = (1..=10u64).flat_map(u64::to_le_bytes).collect();
    let data = [bytes(port), counts].concat();
    let service = PortServiceStats::decode(&data, Order::Little).unwrap();
    assert_eq!(service.counts, [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
    assert!(PortServiceStats::decode(&data[..89], Order::Little).is_err());
    let data = bytes("0000000000640000 00000200 00000001");
    let cmlds = CmldsInfo::decode(&data, Order::Little).unwrap();
    assert_eq!((cmlds.mean_link_delay_ns, cmlds.as_capable), (100.0, true));
    assert!((cmlds.rate_offset - 512.0 / 2f64.powi(41)).abs() < 1e-20);
    let data = bytes("0000000000018000 ffffffffffff0000 0000000000000000");
    let corrections = PortCorrections::decode(&data, Order::Little).unwrap();
    assert_eq!((corrections.egress_ns, corrections.ingress_ns), (1.5, -1.0));
    let external = ExternalGrandmaster::decode(&bytes("020000fffe000101 0003"), Order::Little);
    assert_eq!(external.unwrap(), ExternalGrandmaster { gm: clock(1), steps_removed: 3 });
    let table = UnicastMasterTable::decode(&bytes("0002"), Order::Little).unwrap();
    assert_eq!(table.masters, 2);
}

#[test]
fn errors_are_told_from_data() {
    let reply = answer("0002 0008 0002 c007 00000000");
    let body = parse(&reply).unwrap().body;
    assert_eq!(body, Body::Error { id: id::PORT_SERVICE_STATS_NP, error: NO_SUCH_ID });
}

#[test]
fn what_is_no_answer_is_refused_with_its_reason() {
    let good = answer("0001 0006 2003 002500a0");
    assert_eq!(parse(&[&good[..], &[1, 2, 3]].concat()), parse(&good));
    let f = |change: &dyn Fn(&mut Vec<u8>), want: Malformed| {
        let mut bytes = good.clone();
        change(&mut bytes);
        assert_eq!(parse(&bytes).unwrap_err(), want);
    };
    f(&|b| b.clear(), Malformed::Short(0));
    f(&|b| b.truncate(53), Malformed::Short(53));
    f(&|b| b[0] = 0x0c, Malformed::Kind);
    f(&|b| b[1] = 0x01, Malformed::Kind);
    f(&|b| b[3] = 59, Malformed::Length(59));
    f(&|b| b[3] = 53, Malformed::Length(53));
    f(&|b| b[46] = 0, Malformed::Action(0));
    f(&|b| b[46] = 4, Malformed::Action(4));
    f(&|b| b[49] = 3, Malformed::Tlv(3));
    f(&|b| b[51] = 7, Malformed::Length(7));
    f(&|b| b[51] = 1, Malformed::Length(1));
    f(&|b| b[50] = 0xff, Malformed::Length(0xff06));
    f(
        &|b| {
            b[49] = 2;
            b[51] = 2;
        },
        Malformed::Length(2),
    );
}

#[test]
fn lengths_within_texts_are_not_believed() {
    let name = |length: &str| bytes(&format!("020000fffe00010200010900{length}7653"));
    assert!(PortProperties::decode(&name("02"), Order::Host).is_ok());
    assert!(PortProperties::decode(&name("03"), Order::Host).is_err());
    assert!(PortProperties::decode(&name("ff"), Order::Host).is_err());
    let whole =
        bytes("80000a49454545203830322e3300060200000001020003000602000000010200000000023b3b023b3b");
    assert!(ClockDescription::decode(&whole, Order::Host).is_ok());
    for end in 0..whole.len() - 3 {
        assert!(ClockDescription::decode(&whole[..end], Order::Host).is_err(), "{end} bytes");
    }
}

#[test]
fn request_is_what_pmc_sends() {
    let source = PortIdentity { clock: ClockIdentity([0, 0, 0, 0, 0, 9, 9, 9]), port: 7 };
    let request = Request {
        id: id::TIME_STATUS_NP,
        domain: 24,
        transport_specific: 1,
        source,
        sequence: 0x0102,
        port: EVERY_PORT,
    };
    let want = bytes(
        "1d02003618000000000000000000000000000000 0000000000090909 0007 0102 047f \
         ffffffffffffffff ffff 0000 00 00 0001 0002 c000",
    );
    assert_eq!(request.encode()[..], want);
}

/// A small generator (xorshift64*): the same bytes at every run.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % end as u64).unwrap()
    }
}

#[test]
fn arbitrary_bytes_are_survived_and_what_is_understood_is_within_them() {
    let mut random = Random(20_261_122);
    let ids = [0x0001, 0x2000, 0x2001, 0x2002, 0x2003, 0x2004].into_iter().chain(0xc000..=0xc00e);
    let ids: Vec<u16> = ids.collect();
    let (mut understood, mut refused) = (0, 0);
    for round in 0..200_000 {
        let mut datagram: Vec<u8> =
            (0..random.below(400)).map(|_| random.next().to_le_bytes()[0]).collect();
        // Three of four get a frame that holds, more or less, around the noise.
        if round % 4 > 0 && datagram.len() >= 54 {
            let length = u16::try_from(datagram.len()).unwrap();
            (datagram[0], datagram[1], datagram[46]) = (0x0d, 0x12, 2);
            let lie = if round % 8 == 1 { random.below(9) } else { 0 };
            let length = length.wrapping_add(u16::try_from(lie).unwrap());
            datagram[2..4].copy_from_slice(&length.to_be_bytes());
            datagram[48..50].copy_from_slice(&[0, 1 + u8::from(round % 5 == 0)]);
            datagram[50..52].copy_from_slice(&length.wrapping_sub(52).to_be_bytes());
            let id = ids[random.below(ids.len())].to_be_bytes();
            datagram[52..54].copy_from_slice(&id);
        }
        if let Ok(Reply { body: Body::Data { data, .. }, .. }) = parse(&datagram) {
            assert!(datagram.as_ptr_range().contains(&data.as_ptr()) || data.is_empty());
            assert!(data.len() <= datagram.len() - 54);
        }
        if understands(&datagram) { understood += 1 } else { refused += 1 }
    }
    assert!(understood > 10_000 && refused > 10_000, "{understood} understood, {refused} refused");
}
