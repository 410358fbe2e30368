use fake_node::netlink::{Fake, Request, attribute};

use super::super::tests::{has, noise, tick};
use super::*;
use crate::netlink::Attributes;

const FAMILY: u16 = 33;

fn word(kind: u16, value: u32) -> Vec<u8> {
    attribute(kind, &value.to_ne_bytes())
}

fn device(id: u32, lock: u32) -> Vec<u8> {
    [
        word(1, id),
        attribute(2, b"ice\0"),
        attribute(3, &[]),
        attribute(4, &0x507c_6fff_fe1f_b6c0u64.to_ne_bytes()),
        word(5, 2),
        word(7, lock),
        word(10, 3),
        attribute(8, &(-1_500i32).to_ne_bytes()),
        word(9, id + 1),
    ]
    .concat()
}

fn pin(id: u32, parents: &[u32]) -> Vec<u8> {
    let mut out = [
        word(1, id),
        attribute(6, b"C827_0-RCLKA\0"),
        attribute(8, b"package\0"),
        word(9, 3),
        attribute(11, &10_000_000u64.to_ne_bytes()),
        attribute(24, &(-2i32).to_ne_bytes()),
    ]
    .concat();
    for parent in parents {
        let nest = [
            word(2, *parent),
            word(15, 4),
            word(16, 1 + parent),
            attribute(23, &(-1_234_500i64).to_ne_bytes()),
        ];
        out.extend(attribute(18 | 0x8000, &nest.concat()));
    }
    out
}

/// A kernel with these devices and pins, by command.
fn kernel(mut answers: impl FnMut(u8) -> Vec<Vec<u8>> + Send + 'static) -> (Dplls, Fake) {
    let (fd, fake) = Fake::start(move |r: &Request| {
        if r.kind != FAMILY {
            let attributes = [attribute(1, &FAMILY.to_ne_bytes()), word(3, 1)].concat();
            let answer = [vec![1, 2, 0, 0], attributes].concat();
            return vec![r.answer(16, &answer), r.error(0)];
        }
        let command = r.payload[0];
        let header = |attributes: Vec<u8>| [vec![command, 1, 0, 0], attributes].concat();
        let answers = answers(command).into_iter();
        let mut out: Vec<_> = answers.map(|a| r.answer(FAMILY, &header(a))).collect();
        out.push(r.done());
        out
    });
    (Dplls::with(Netlink::from_fd(fd).unwrap()), fake)
}

fn read(dplls: &mut Dplls, now: Instant) -> Vec<String> {
    tick(|batch| {
        dplls.collect(batch, now);
        assert!(batch.failures().is_empty(), "{:?}", batch.failures());
        dplls.set(batch);
    })
}

#[test]
fn fake_kernels_devices_and_pins_are_told() {
    let (mut dplls, _fake) = kernel(|command| match command {
        DEVICE_GET => vec![device(0, 3), device(1, 1)],
        _ => vec![pin(7, &[0, 1]), pin(8, &[])],
    });
    let rows = read(&mut dplls, Instant::now());
    let clock = "module=ice,clock_id=507c6ffffe1fb6c0";
    has(&rows, &format!("ptp_dpll_info{{dpll=0,{clock},type=pps,mode=automatic}} 1"));
    has(&rows, &format!("ptp_dpll_info{{dpll=1,{clock},type=eec,mode=automatic}} 1"));
    has(&rows, "ptp_dpll_lock_status{dpll=0} 3");
    has(&rows, "ptp_dpll_lock_status_error{dpll=0} 2");
    has(&rows, "ptp_dpll_temperature_celsius{dpll=1} -1.5");
    let label = "label=C827_0-RCLKA,type=synce-eth-port";
    has(&rows, &format!("ptp_dpll_pin_info{{pin=7,{label},dpll=0,1}} 1"));
    has(&rows, &format!("ptp_dpll_pin_info{{pin=8,{label},dpll=}} 1"));
    has(&rows, "ptp_dpll_pin_state{pin=7,dpll=0} 1");
    has(&rows, "ptp_dpll_pin_state{pin=7,dpll=1} 2");
    has(&rows, "ptp_dpll_pin_priority{pin=7,dpll=1} 4");
    has(&rows, "ptp_dpll_pin_phase_offset_seconds{pin=7,dpll=0} -0.0000000012345");
    has(&rows, "ptp_dpll_pin_fractional_frequency_offset_ratio{pin=8} -0.000002");
    assert_eq!(rows.len(), 2 * 4 + 2 + 2 * 3 + 2);
    assert!(dplls.any());
}

#[test]
fn change_of_the_lock_is_an_event_and_the_first_status_is_none() {
    let mut locks = [2, 3, 4, 4, 1].into_iter();
    let (mut dplls, _fake) = kernel(move |command| match command {
        DEVICE_GET => vec![device(5, locks.next().unwrap())],
        _ => vec![],
    });
    let start = Instant::now();
    let mut events = Vec::new();
    for second in 0..5 {
        let rows = read(&mut dplls, start + Duration::from_secs(second));
        events.extend(rows.into_iter().filter(|row| row.starts_with("event")));
    }
    let event = |change: &str| format!("event ptp.synce_state_changed dpll=5,{change},type=");
    let want = [event("state=HOLDOVER,previous=LOCKED"), event("state=FREERUN,previous=HOLDOVER")];
    assert_eq!(events, want);
}

#[test]
fn devices_that_go_leave_and_the_family_is_asked_rarely_then() {
    let (asked, told) = std::sync::mpsc::sync_channel(64);
    let mut rounds = 0;
    let (mut dplls, _fake) = kernel(move |command| {
        asked.send(command).unwrap();
        rounds += u32::from(command == DEVICE_GET);
        match (command, rounds) {
            (DEVICE_GET, 1) => vec![device(0, 1), device(1, 1)],
            (DEVICE_GET, 2) => vec![device(1, 1)],
            _ => vec![],
        }
    });
    let start = Instant::now();
    let mut count = |ms| read(&mut dplls, start + Duration::from_millis(ms)).len();
    assert_eq!((count(0), count(500)), (8, 8));
    assert_eq!(count(1_000), 4);
    assert_eq!(count(2_000), 0);
    assert_eq!((count(3_000), count(11_000)), (0, 0));
    let commands: Vec<u8> = told.try_iter().collect();
    assert_eq!(commands, [DEVICE_GET, PIN_GET, DEVICE_GET, PIN_GET, DEVICE_GET]);
    assert_eq!(count(12_500), 0);
    assert_eq!(told.try_iter().count(), 1);
}

#[test]
fn malformed_answers_are_counted_and_the_others_told() {
    let (mut dplls, _fake) = kernel(|command| match command {
        DEVICE_GET => vec![attribute(1, &[1]), device(1, 2), word(7, 1)],
        _ => vec![attribute(18, &word(15, 1)), pin(1, &[1])],
    });
    let rows = read(&mut dplls, Instant::now());
    has(&rows, "ptp_dpll_lock_status{dpll=1} 2");
    has(&rows, "ptp_dpll_pin_state{pin=1,dpll=1} 2");
    assert_eq!(dplls.malformed(), 3);
}

#[test]
fn kernel_without_the_family_has_no_dplls() {
    let (fd, _fake) = Fake::start(|r| vec![r.error(libc::ENOENT)]);
    let mut dplls = Dplls::with(Netlink::from_fd(fd).unwrap());
    assert!(read(&mut dplls, Instant::now()).is_empty() && !dplls.any());
}

#[test]
fn kernel_that_refuses_tells_nothing_until_it_answers_again() {
    let mut rounds = 0;
    let (fd, _fake) = Fake::start(move |r: &Request| {
        rounds += 1;
        let header = |c: u8, a: Vec<u8>| [vec![c, 1, 0, 0], a].concat();
        match (r.kind, rounds) {
            (FAMILY, 4) => vec![r.error(libc::EPERM)],
            (FAMILY, _) if r.payload[0] == DEVICE_GET => {
                vec![r.answer(FAMILY, &header(2, device(3, 2))), r.done()]
            }
            (FAMILY, _) => vec![r.done()],
            _ => {
                let attributes = [attribute(1, &FAMILY.to_ne_bytes()), word(3, 1)].concat();
                vec![r.answer(16, &header(1, attributes)), r.error(0)]
            }
        }
    });
    let mut dplls = Dplls::with(Netlink::from_fd(fd).unwrap());
    let start = Instant::now();
    assert_eq!(read(&mut dplls, start).len(), 4);
    let mut batch = Batch::default();
    batch.begin();
    dplls.collect(&mut batch, start + Duration::from_secs(11));
    dplls.set(&mut batch);
    assert_eq!(batch.failures().len(), 1);
    assert!(batch.is_empty());
    assert_eq!(read(&mut dplls, start + Duration::from_secs(22)).len(), 4);
}

#[test]
fn arbitrary_answers_are_read_or_refused() {
    let (good_device, good_pin) = (device(1, 4), pin(2, &[0, 1]));
    let mut parents = Vec::new();
    let mut refused = 0;
    for seed in 0..20_000 {
        let mut next = noise(seed);
        for good in [&good_device, &good_pin] {
            let mut bytes = good.clone();
            for _ in 0..3 {
                let at = usize::from(next()) % bytes.len();
                bytes[at] = next();
            }
            bytes.truncate(usize::from(next()) % (bytes.len() + 1));
            let attributes = Attributes::new(&bytes);
            refused += u32::from(message::Device::parse(attributes).is_none());
            refused += u32::from(message::Pin::parse(attributes, &mut parents).is_none());
        }
    }
    assert!((1..80_000).contains(&refused), "{refused}");
}
