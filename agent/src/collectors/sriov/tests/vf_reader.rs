use std::cell::Cell;
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use super::super::inventory::{Pf, Vf};
use super::super::netdev::Netdev;
use super::super::vf_reader::{Mode, ReadError, VfReader};
use super::kernel::{Answer, BuiltPf, BuiltVf, FULL, FakeKernel, NO_STATS};
use crate::netlink::Netlink;
use crate::netlink::route::Route;

const INDEX: u32 = 2;

static START: LazyLock<Instant> = LazyLock::new(Instant::now);

/// A clock for which no call takes any time.
fn still() -> Instant {
    *START
}

thread_local! {
    static READINGS: Cell<u32> = const { Cell::new(0) };
}

/// A clock for which every call takes 60 ms.
fn slow() -> Instant {
    READINGS.set(READINGS.get() + 1);
    *START + Duration::from_millis(60) * READINGS.get()
}

struct Lab {
    kernel: FakeKernel,
    route: Route,
    reader: VfReader,
    pf: Pf,
}

impl Lab {
    /// A physical function with so many virtual functions, which the kernel tells about.
    fn new(vfs: Vec<BuiltVf>) -> Self {
        let kernel = FakeKernel::default();
        let route = Route::new(Netlink::from_fd(kernel.route()).unwrap());
        let reader = VfReader::new(Duration::from_secs(15));
        let mut lab = Self { kernel, route, reader, pf: Pf::default() };
        lab.pf.name = "eth0".into();
        lab.pf.pci = "0000:01:00.0".into();
        lab.pf.netdev = Some(Netdev { index: INDEX, ..Netdev::default() });
        lab.resize(vfs.len());
        lab.tell(vfs, 0);
        lab
    }

    fn resize(&mut self, count: usize) {
        let number = |n: usize| Vf { number: u32::try_from(n).unwrap(), ..Vf::default() };
        self.pf.vfs = (0..count).map(number).collect();
    }

    fn tell(&self, vfs: Vec<BuiltVf>, packets: u64) {
        let (name, pci) = (self.pf.name.clone(), self.pf.pci.clone());
        self.kernel.set(&BuiltPf { index: INDEX, name, pci, packets, vfs });
    }

    fn read(&mut self) -> Result<(), ReadError> {
        self.reader.read(&self.pf, &mut self.route, still)
    }

    fn asked(&self) -> Vec<u32> {
        std::mem::take(&mut self.kernel.state().asked).iter().map(|(_, mask)| *mask).collect()
    }
}

fn counting(count: u32) -> Vec<BuiltVf> {
    (0..count).map(BuiltVf::counting).collect()
}

#[test]
fn what_is_asked_for_depends_on_how_many_there_are() {
    let f = |count: u32, masks: &[u32], mode, told: usize| {
        let mut lab = Lab::new(counting(count));
        lab.read().unwrap();
        assert_eq!(lab.asked(), masks, "{count}");
        assert_eq!(lab.reader.mode(), mode, "{count}");
        let known = (0..count).filter(|n| lab.reader.vf(*n).is_some()).count();
        assert_eq!((known, lab.reader.is_fresh()), (told, told > 0), "{count}");
    };
    f(0, &[], Mode::Full, 0);
    f(1, &[FULL], Mode::Full, 1);
    f(220, &[FULL], Mode::Full, 220);
    f(221, &[NO_STATS], Mode::NoStats, 221);
    f(330, &[NO_STATS], Mode::NoStats, 330);
    f(331, &[], Mode::Sysfs, 0);
}

#[test]
fn too_large_an_answer_is_asked_for_without_counters_and_then_not_at_all() {
    let mut lab = Lab::new(counting(16));
    let too_large = Answer::Error(libc::EMSGSIZE);
    lab.kernel.state().links.insert((INDEX, FULL), too_large.clone());
    lab.read().unwrap();
    assert_eq!((lab.asked(), lab.reader.mode()), (vec![FULL, NO_STATS], Mode::NoStats));
    assert!(lab.reader.is_fresh());
    lab.read().unwrap();
    assert_eq!(lab.asked(), [NO_STATS], "what did not fit is not asked for again");
    lab.kernel.state().links.insert((INDEX, NO_STATS), too_large);
    lab.read().unwrap();
    assert_eq!((lab.asked(), lab.reader.mode()), (vec![NO_STATS], Mode::Sysfs));
    lab.read().unwrap();
    assert_eq!((lab.asked(), lab.reader.is_fresh()), (vec![], false));
    lab.resize(8);
    lab.tell(counting(8), 0);
    lab.read().unwrap();
    assert_eq!((lab.asked(), lab.reader.mode()), (vec![FULL], Mode::Full));
}

#[test]
fn more_functions_than_were_seen_make_less_be_asked_for() {
    // They came between the scan and the question, and the list wrapped.
    let mut lab = Lab::new(counting(240));
    lab.resize(8);
    lab.read().unwrap();
    assert_eq!((lab.asked(), lab.reader.mode()), (vec![FULL, NO_STATS], Mode::NoStats));
    assert!(lab.reader.vf(239).is_some());
}

#[test]
fn zeroes_while_the_physical_function_moves_are_no_support() {
    let quiet: Vec<BuiltVf> = (0..4).map(BuiltVf::igb_like).collect();
    let mut lab = Lab::new(quiet.clone());
    let mut known = Vec::new();
    for packets in [5, 5, 6, 7, 7, 8, 9] {
        lab.tell(quiet.clone(), packets);
        lab.read().unwrap();
        known.push(lab.reader.counts());
    }
    let no = Some(false);
    assert_eq!(known, [None, None, None, None, None, no, no]);
    lab.tell(counting(4), 10);
    lab.read().unwrap();
    assert_eq!(lab.reader.counts(), Some(true), "one above zero is proof");
    lab.tell(quiet.clone(), 20);
    lab.read().unwrap();
    assert_eq!(lab.reader.counts(), Some(true), "they may start again");
    lab.pf.driver = "other".into();
    lab.read().unwrap();
    assert_eq!(lab.reader.counts(), None, "another driver has to show it");
}

#[test]
fn answer_about_another_device_is_refused() {
    let mut lab = Lab::new(counting(2));
    lab.pf.pci = "0000:02:00.0".into();
    let error = lab.read().unwrap_err().to_string();
    assert!(error.contains("eth0") && error.contains("0000:01:00.0"), "{error}");
    assert!(lab.reader.vf(0).is_none() && !lab.reader.is_fresh());
}

#[test]
fn device_that_went_is_an_error_and_what_was_told_is_not_fresh() {
    let mut lab = Lab::new(counting(2));
    lab.read().unwrap();
    lab.kernel.state().links.clear();
    assert!(matches!(lab.read(), Err(ReadError::Netlink { .. })));
    assert!(lab.reader.vf(1).is_some() && !lab.reader.is_fresh());
    lab.pf.netdev = None;
    lab.read().unwrap();
    assert!(lab.reader.vf(1).is_none(), "nobody to ask");
}

#[test]
fn slow_kernel_is_asked_more_rarely() {
    let mut lab = Lab::new(counting(2));
    let mut asked = Vec::new();
    for _ in 0..8 {
        lab.reader.read(&lab.pf, &mut lab.route, slow).unwrap();
        asked.push(!lab.asked().is_empty());
        let took = lab.reader.took().map(|took| took.as_millis());
        assert_eq!(took, lab.reader.is_fresh().then_some(60));
    }
    assert_eq!(asked, [true, false, true, false, false, false, true, false]);
    assert_eq!(lab.reader.interval(), Duration::from_secs(120));
    assert!(lab.reader.vf(0).is_some(), "what was told stays known");
}
