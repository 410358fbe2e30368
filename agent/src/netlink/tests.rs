use std::time::Duration;

use super::fake::{self, Fake, attribute, message};
use super::generic::Generic;
use super::route::{LinkEvents, Mask, Route};
use super::*;

const KIND: u16 = 99;

fn netlink(answer: impl FnMut(&fake::Request) -> Vec<Vec<u8>> + Send + 'static) -> (Netlink, Fake) {
    let (fd, fake) = Fake::start(answer);
    let mut netlink = Netlink::from_fd(fd).unwrap();
    netlink.set_timeout(Duration::from_millis(100)).unwrap();
    (netlink, fake)
}

fn ask(netlink: &mut Netlink) -> (Result<(), NetlinkError>, Vec<Vec<u8>>) {
    let mut answers = Vec::new();
    let result = netlink.request(KIND, &[], &mut |m| answers.push(m.payload.to_vec()));
    (result, answers)
}

#[test]
fn answer_ends_with_its_acknowledgement_and_earlier_answers_are_passed_over() {
    let mut late = None;
    let (mut netlink, _fake) = netlink(move |r| {
        if let Some(late) = late.take() {
            let both = [r.answer(KIND, b"now!"), r.error(0)].concat();
            return vec![late, message(KIND, 0, 0, b"news"), both];
        }
        late = Some([r.answer(KIND, b"late"), r.error(0)].concat());
        vec![]
    });
    assert!(matches!(ask(&mut netlink).0, Err(NetlinkError::Timeout)));
    let (result, answers) = ask(&mut netlink);
    result.unwrap();
    assert_eq!(answers, [b"now!"]);
}

#[test]
fn refusal_carries_the_kernels_number() {
    let (mut netlink, _fake) = netlink(|r| vec![r.error(libc::EMSGSIZE)]);
    let error = ask(&mut netlink).0.unwrap_err();
    assert_eq!((error.refusal(), error.is_too_large()), (Some(libc::EMSGSIZE), true));
    assert!(!error.is_absent());
}

#[test]
fn dump_that_was_interrupted_gives_all_and_says_so() {
    let (mut netlink, _fake) = netlink(|r| {
        assert_eq!(r.flags & fake::DUMP_FLAGS, fake::DUMP_FLAGS);
        let last = message(KIND, fake::INTERRUPTED, r.sequence, b"two.");
        vec![r.answer(KIND, b"one."), [last, r.done()].concat()]
    });
    let mut count = 0;
    let result = netlink.dump(KIND, &[], &mut |_| count += 1);
    assert!(matches!(result, Err(NetlinkError::Interrupted)), "{result:?}");
    assert_eq!(count, 2);
}

#[test]
fn message_larger_than_the_buffer_is_read_whole() {
    let mut length = 100_000;
    let (mut netlink, _fake) = netlink(move |r| {
        let big = r.answer(KIND, &vec![7; length]);
        length = 100;
        vec![[big, r.error(0)].concat()]
    });
    let (result, answers) = ask(&mut netlink);
    result.unwrap();
    assert_eq!(answers[0].len(), 100_000);
    assert_eq!(ask(&mut netlink).1[0].len(), 100);
}

#[test]
fn lengths_that_lie_are_errors() {
    let f = |mangle: fn(&mut Vec<u8>), want: &str| {
        let (mut netlink, _fake) = netlink(move |r| {
            let mut bytes = r.answer(KIND, b"abcd");
            mangle(&mut bytes);
            vec![bytes]
        });
        let error = ask(&mut netlink).0.unwrap_err();
        assert!(error.to_string().contains(want), "{error}: {want}");
    };
    f(|b| b[0] = 255, "beyond");
    f(|b| b[0] = 15, "beyond");
    f(|b| b[0] = 0, "beyond");
    f(|b| b.truncate(9), "header");
    f(|b| b.extend([1, 2, 3]), "header");
    f(|b| (b[0], b[4], b[5]) = (18, 2, 0), "number");
}

#[test]
fn attributes_end_where_they_do_not_fit() {
    let good = [attribute(1, b"abc"), attribute(0x8002, &attribute(3, &7u32.to_ne_bytes()))];
    let bytes = good.concat();
    let mut read = Attributes::new(&bytes);
    let first = read.next().unwrap();
    assert_eq!((first.kind, first.text(), first.u32()), (1, Some("abc"), None));
    let nested = read.next().unwrap();
    assert_eq!(nested.kind, 2);
    assert_eq!(nested.nested().find(3).and_then(|a| a.uint()), Some(7));
    assert!(read.next().is_none() && !read.is_damaged());
    for (cut, mut read) in (0..bytes.len()).map(|cut| (cut, Attributes::new(&bytes[..cut]))) {
        assert!(read.by_ref().count() <= 2);
        // Without its padding, or at the border between two, nothing is missing.
        assert_eq!(read.is_damaged(), ![0, 7, 8].contains(&cut), "{cut}");
    }
    let mut short = Attributes::new(&[3, 0, 1, 0, 0, 0, 0, 0]);
    assert!(short.next().is_none() && short.is_damaged());
}

#[test]
fn payload_is_what_attributes_read() {
    let inner = Payload::default().with_text(1, "eth0");
    let payload = Payload::new(&[9; 4]).with_u32(5, 77).with_nested(6, &inner);
    let mut read = Attributes::new(&payload.bytes()[4..]);
    assert_eq!(read.next().and_then(|a| a.u32()), Some(77));
    let nested = read.next().unwrap();
    assert_eq!(nested.nested().find(1).and_then(|a| a.text()), Some("eth0"));
}

#[test]
fn numbers_are_read_in_the_size_that_they_have() {
    let f = |value: &[u8], uint, sint| {
        let attribute = Attribute { kind: 1, value };
        assert_eq!((attribute.uint(), attribute.sint()), (uint, sint), "{value:?}");
    };
    f(&[], None, None);
    f(&[255], Some(255), Some(-1));
    f(&(-2i16).to_ne_bytes(), Some(65_534), Some(-2));
    f(&(-3i32).to_ne_bytes(), Some(4_294_967_293), Some(-3));
    f(&(-4i64).to_ne_bytes(), Some(u64::MAX - 3), Some(-4));
    f(&[1, 2, 3], None, None);
}

#[test]
fn family_is_resolved_with_its_groups_and_a_missing_one_is_none() {
    let (netlink, _fake) = netlink(|r| {
        let name = Attributes::new(&r.payload[4..]).find(2).unwrap();
        if name.text() != Some("devlink") {
            return vec![r.error(libc::ENOENT)];
        }
        let group = [attribute(1, b"config\0"), attribute(2, &5u32.to_ne_bytes())].concat();
        let attributes = [
            attribute(1, &21u16.to_ne_bytes()),
            attribute(3, &1u32.to_ne_bytes()),
            attribute(0x8007, &attribute(0x8001, &group)),
        ];
        vec![r.answer(16, &[vec![1, 2, 0, 0], attributes.concat()].concat()), r.error(0)]
    });
    let mut generic = Generic::new(netlink);
    let family = generic.family("devlink").unwrap().unwrap();
    assert_eq!((family.id, family.version, family.group("config")), (21, 1, Some(5)));
    assert_eq!(family.group("other"), None);
    assert_eq!(generic.family("dpll").unwrap(), None);
}

#[test]
fn drain_takes_what_is_there_and_no_more_than_is_allowed() {
    let (fd, kernel) = Fake::silent();
    let mut netlink = Netlink::from_fd(fd).unwrap();
    for i in 0..5u8 {
        kernel.send(&message(KIND, 0, 0, &[i; 4])).unwrap();
    }
    let mut seen = Vec::new();
    netlink.drain(3, &mut |m| seen.push(m.payload[0])).unwrap();
    assert_eq!(seen, [0, 1, 2]);
    netlink.drain(9, &mut |m| seen.push(m.payload[0])).unwrap();
    assert_eq!(seen, [0, 1, 2, 3, 4]);
    netlink.drain(9, &mut |_| panic!("nothing is left")).unwrap();
}

#[test]
fn live_kernel_tells_about_the_loopback_and_about_families() {
    let mut route = Route::open().unwrap();
    let mut names = Vec::new();
    let mut each = |link: route::Link<'_>| {
        names.push((link.header.index, link.attributes.find(3).unwrap().text().map(str::to_owned)));
    };
    route.link(1, Mask::NONE, &mut each).unwrap();
    route.link(1, Mask::VF, &mut each).unwrap();
    assert_eq!(names, [(1, Some("lo".to_owned())), (1, Some("lo".to_owned()))]);
    assert!(route.link(0x7fff_fff0, Mask::VF, &mut |_| {}).unwrap_err().is_absent());

    let mut generic = Generic::open().unwrap();
    let control = generic.family("nlctrl").unwrap().unwrap();
    assert_eq!((control.id, control.group("notify").is_some()), (16, true));
    assert_eq!(generic.family("sextant_none").unwrap(), None);
    let mut count = 0;
    generic.dump(&control, 3, &Payload::default(), &mut |_| count += 1).unwrap();
    assert!(count > 0);

    let mut events = LinkEvents::open().unwrap();
    events.drain(16, &mut |_| {}).unwrap();
}

/// Bytes without a system, the same in every run.
fn noise(seed: u64) -> impl FnMut() -> u8 {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[3]
    }
}

fn walk(attributes: Attributes<'_>, depth: usize) -> usize {
    let mut bytes = 0;
    for attribute in attributes {
        bytes += 4 + attribute.value.len();
        let _read = (attribute.uint(), attribute.sint(), attribute.text());
        if depth > 0 {
            assert!(walk(attribute.nested(), depth - 1) <= attribute.value.len());
        }
    }
    bytes
}

#[test]
fn arbitrary_bytes_never_give_more_than_they_are() {
    for seed in 0..20_000 {
        let mut next = noise(seed);
        let length = usize::from(next());
        let mut bytes: Vec<u8> = (0..length).map(|_| next()).collect();
        // Short lengths, so that the walk goes on.
        for at in (1..bytes.len()).step_by(4) {
            bytes[at] &= next() & 1;
        }
        assert!(walk(Attributes::new(&bytes), 3) <= bytes.len());
    }
}
