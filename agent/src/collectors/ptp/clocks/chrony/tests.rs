use super::super::tests::{has, noise, tick};
use super::packet::Reference;
use super::*;

/// An answer of chronyd's as it came by UDP to a request with sequence number 1, its reference
/// a server of stratum 8 on the loopback.
const CAPTURED: &str = include_str!("tracking.hex");
/// What chronyc said of the same report, to the nanosecond; the system clock was fast.
const CORRECTION: f64 = -0.000_000_889;
const RMS_OFFSET: f64 = 0.000_000_076;
const ROOT_DELAY: f64 = 0.000_006_118;
const ROOT_DISPERSION: f64 = 0.000_001_209;

fn captured() -> Vec<u8> {
    let digits: Vec<u8> = CAPTURED.bytes().filter(u8::is_ascii_hexdigit).collect();
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    digits.chunks(2).map(byte).collect()
}

/// A chronyd that answers each request with what `answer` makes of it.
fn daemon(
    mut answer: impl FnMut(u32) -> Vec<Vec<u8>> + Send + 'static,
) -> (Chrony, std::sync::Arc<UdpSocket>) {
    let socket = std::sync::Arc::new(UdpSocket::bind("127.0.0.1:0").unwrap());
    let mut chrony = Chrony::new(Some(socket.local_addr().unwrap()));
    // A busy machine may let the thread wait.
    chrony.timeout = Duration::from_secs(5);
    let end = std::sync::Arc::downgrade(&socket);
    socket.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
    std::thread::spawn(move || {
        let mut bytes = [0; 1024];
        while let Some(socket) = end.upgrade() {
            let Ok((length, from)) = socket.recv_from(&mut bytes) else { continue };
            assert_eq!((length, bytes[0], bytes[1], bytes[5]), (packet::BYTES, 6, 1, 33));
            let sequence = u32::from_be_bytes(bytes[8..12].try_into().unwrap());
            for answer in answer(sequence) {
                socket.send_to(&answer, from).unwrap();
            }
        }
    });
    (chrony, socket)
}

fn with_sequence(mut answer: Vec<u8>, sequence: u32) -> Vec<u8> {
    answer[16..20].copy_from_slice(&sequence.to_be_bytes());
    answer
}

fn read(chrony: &mut Chrony, now: Instant) -> (Vec<String>, usize) {
    let mut failures = 0;
    let rows = tick(|batch| {
        chrony.collect(batch, now);
        failures = batch.failures().len();
        chrony.set(batch);
    });
    (rows, failures)
}

#[test]
fn captured_answer_is_read() {
    let tracking = packet::parse(&captured(), 1).unwrap();
    assert_eq!(tracking.reference, Reference::V4(Ipv4Addr::LOCALHOST));
    assert_eq!((tracking.stratum, tracking.leap), (9, 0));
    let close = |value: f64, want: f64| assert!((value - want).abs() < 5e-10, "{value} {want}");
    close(tracking.correction, CORRECTION);
    close(tracking.rms_offset, RMS_OFFSET);
    close(tracking.root_delay, ROOT_DELAY);
    // It grows all the time, and chronyc asked a few milliseconds later.
    let grown = ROOT_DISPERSION - tracking.root_dispersion;
    assert!((0.0..20e-9).contains(&grown), "{grown}");
}

#[test]
fn references_are_shown_as_chronyc_shows_them() {
    let f = |reference: Reference, want: &str| assert_eq!(reference.to_string(), want);
    f(Reference::Id(*b"PPS0"), "PPS0");
    f(Reference::Id(*b"GPS\0"), "GPS");
    f(Reference::Id([0x7f, 0x7f, 1, 1]), "7F7F0101");
    f(Reference::Id([b'G', 0, b'P', 0]), "47005000");
    f(Reference::Id([0; 4]), "00000000");
    f(Reference::V6(Ipv6Addr::LOCALHOST), "::1");
}

#[test]
fn chronyd_is_asked_once_a_second_and_late_answers_are_read_past() {
    let (mut chrony, _socket) = daemon(|sequence| {
        let late = with_sequence(captured(), sequence.wrapping_sub(1));
        vec![late, with_sequence(captured(), sequence)]
    });
    let start = Instant::now();
    let (rows, failures) = read(&mut chrony, start);
    has(&rows, "ptp_chrony_info{reference=127.0.0.1,stratum=9,leap=normal} 1");
    has(&rows, "ptp_chrony_stratum{} 9");
    assert_eq!((rows.len(), failures), (5, 0));
    let sequence = chrony.sequence;
    read(&mut chrony, start + Duration::from_millis(500));
    assert_eq!(chrony.sequence, sequence);
    let again = read(&mut chrony, start + Duration::from_millis(1_000));
    assert_eq!((again, chrony.sequence), ((rows, 0), sequence.wrapping_add(1)));
    let offset_ns = chrony.system_offset_ns().unwrap().unwrap();
    assert!((offset_ns - 889.0).abs() < 0.5, "{offset_ns}");
}

#[test]
fn chronyd_that_is_not_synchronized_tells_no_offset() {
    let (mut chrony, _socket) = daemon(|sequence| {
        let mut answer = with_sequence(captured(), sequence);
        answer[28 + 27] = 3;
        vec![answer]
    });
    let (rows, _) = read(&mut chrony, Instant::now());
    has(&rows, "ptp_chrony_info{reference=127.0.0.1,stratum=9,leap=not_synchronized} 1");
    assert_eq!(chrony.system_offset_ns(), Some(None));
}

#[test]
fn chronyd_that_is_not_there_is_absent_and_one_that_goes_fails_once() {
    let (mut chrony, socket) = daemon(|sequence| vec![with_sequence(captured(), sequence)]);
    let start = Instant::now();
    assert_eq!(read(&mut chrony, start).1, 0);
    drop(socket);
    // The thread closes the port when its wait is over.
    let mut gone = (Vec::new(), 0);
    for second in 1..100 {
        gone = read(&mut chrony, start + Duration::from_secs(second));
        if gone.1 > 0 {
            break;
        }
    }
    assert_eq!(gone, (vec![], 1));
    let later = start + Duration::from_secs(200);
    assert_eq!(read(&mut chrony, later), (vec![], 0));
    assert!(!chrony.any() && chrony.system_offset_ns().is_none());
    let asked = chrony.sequence;
    read(&mut chrony, later + Duration::from_secs(5));
    assert_eq!(chrony.sequence, asked);
    assert_eq!(read(&mut Chrony::new(None), later), (vec![], 0));
}

#[test]
fn malformed_and_refused_answers_are_told_apart() {
    let f = |mangle: fn(&mut Vec<u8>), want: PacketError| {
        let mut bytes = captured();
        mangle(&mut bytes);
        assert_eq!(packet::parse(&bytes, 1).unwrap_err(), want);
    };
    f(|b| b.truncate(103), PacketError::Malformed);
    f(|b| b.truncate(17), PacketError::Malformed);
    f(|b| b.clear(), PacketError::Malformed);
    f(|b| b[0] = 5, PacketError::Malformed);
    f(|b| b[7] = 1, PacketError::Malformed);
    f(|b| b[9] = 2, PacketError::Refused(2));
    f(|b| b[19] = 9, PacketError::Other);

    let (mut chrony, _socket) = daemon(|sequence| {
        let mut answer = with_sequence(captured(), sequence);
        answer.truncate(60);
        vec![answer]
    });
    assert_eq!(read(&mut chrony, Instant::now()), (vec![], 1));
    assert_eq!(chrony.malformed(), 1);
}

#[test]
fn arbitrary_answers_are_read_or_refused() {
    let mut refused = 0;
    for seed in 0..20_000 {
        let mut next = noise(seed);
        let mut bytes = captured();
        for _ in 0..8 {
            let at = usize::from(next()) % bytes.len();
            bytes[at] = next();
        }
        if seed % 4 == 0 {
            bytes.truncate(usize::from(next()) % bytes.len());
        }
        match packet::parse(&bytes, 1) {
            Ok(tracking) => assert!(tracking.correction.is_finite()),
            Err(_) => refused += 1,
        }
    }
    assert!((1..20_000).contains(&refused), "{refused}");
}
