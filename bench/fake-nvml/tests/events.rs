//! Event sets: waiting, waking, what is delivered to whom.
#![allow(clippy::unwrap_used, reason = "tests")]
#![allow(unsafe_code, reason = "nvml-wrapper's event sets lose what is tested here")]

mod common;

use std::collections::BTreeMap;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use common::{Machine, busy, machine};
use fake_nvml::scenario::{DriverEvent, Ecc, Xid};
use fake_nvml::{Act, Code, Conditions, Entry, Scenario, library_path};
use nvml_wrapper_sys::bindings as sys;

const TIMEOUT: u32 = 10;
const STUCK: Duration = Duration::from_secs(20);

fn create(machine: &Machine) -> sys::nvmlEventSet_t {
    let mut set = std::ptr::null_mut();
    // SAFETY: a place for the answer.
    assert_eq!(unsafe { machine.nvml.lib().nvmlEventSetCreate(&raw mut set) }, 0);
    set
}

fn register(machine: &Machine, index: u32, bits: u64, set: sys::nvmlEventSet_t) -> u32 {
    // SAFETY: handles of this library.
    unsafe { machine.nvml.lib().nvmlDeviceRegisterEvents(machine.handle(index), bits, set) }
}

fn supported(machine: &Machine, index: u32) -> u64 {
    let mut bits = 0;
    let handle = machine.handle(index);
    // SAFETY: a place for the answer.
    let code =
        unsafe { machine.nvml.lib().nvmlDeviceGetSupportedEventTypes(handle, &raw mut bits) };
    assert_eq!(code, 0);
    bits
}

fn wait(machine: &Machine, set: sys::nvmlEventSet_t, ms: u32) -> Result<sys::nvmlEventData_t, u32> {
    // SAFETY: zeroes are a valid structure.
    let mut data: sys::nvmlEventData_t = unsafe { std::mem::zeroed() };
    // SAFETY: a place for the answer.
    let code = unsafe { machine.nvml.lib().nvmlEventSetWait_v2(set, &raw mut data, ms) };
    if code == 0 { Ok(data) } else { Err(code) }
}

fn xid(code: u64) -> Act {
    Act { xid: Some(Xid::Plain(code)), ..Act::default() }
}

#[test]
fn waiting_blocks_until_the_timeout() {
    let machine = machine(busy("h100-sxm", 1));
    let set = create(&machine);
    assert_eq!(register(&machine, 0, 0x8, set), 0);
    let began = Instant::now();
    assert_eq!(wait(&machine, set, 80).unwrap_err(), TIMEOUT);
    assert!(
        began.elapsed() >= Duration::from_millis(80),
        "an early return would make clients spin"
    );
    assert_eq!(wait(&machine, set, 0).unwrap_err(), TIMEOUT);
}

#[test]
fn a_waiting_client_wakes_when_the_file_says_xid() {
    let mut machine = machine(busy("h100-sxm", 2));
    let set = create(&machine);
    for index in 0..2 {
        assert_eq!(register(&machine, index, supported(&machine, index), set), 0);
    }
    // The waiting thread itself has to see that the file changed: nobody else makes a call.
    machine.file.push(Entry::gpu(1).act(xid(48))).unwrap();
    let data = wait(&machine, set, 20_000).unwrap();
    assert_eq!((data.eventType, data.eventData), (0x8, 48));
    assert_eq!(data.device, machine.handle(1));
    assert_eq!((data.gpuInstanceId, data.computeInstanceId), (u32::MAX, u32::MAX));
}

#[test]
fn an_xid_on_the_timeline_comes_when_it_is_due() {
    let mut scenario = Scenario { poll_ms: 60_000, ..busy("h100-sxm", 1) };
    scenario.timeline = vec![Entry::gpu(0).at(0.2).act(xid(94))];
    let machine = machine(scenario);
    let set = create(&machine);
    assert_eq!(register(&machine, 0, 0x8, set), 0);
    assert_eq!(wait(&machine, set, 20_000).unwrap().eventData, 94);
}

#[test]
fn the_same_xid_twice_is_two_events_and_instances_are_named() {
    let mut machine = machine(busy("a100", 1));
    let set = create(&machine);
    assert_eq!(register(&machine, 0, 0x8, set), 0);
    machine.push(Entry::gpu(0).act(xid(31)));
    machine.push(Entry::gpu(0).act(xid(31)));
    let instance = Xid::Instance { code: 43, gpu_instance: 2, compute_instance: 0 };
    machine.push(Entry::gpu(0).act(Act { xid: Some(instance), ..Act::default() }));
    assert_eq!(wait(&machine, set, 0).unwrap().eventData, 31);
    assert_eq!(wait(&machine, set, 0).unwrap().eventData, 31);
    let data = wait(&machine, set, 0).unwrap();
    assert_eq!((data.eventData, data.gpuInstanceId, data.computeInstanceId), (43, 2, 0));
    assert_eq!(wait(&machine, set, 0).unwrap_err(), TIMEOUT);
}

#[test]
fn a_set_gets_only_what_was_registered_for() {
    let mut machine = machine(busy("h100-sxm", 2));
    let set = create(&machine);
    assert_eq!(register(&machine, 0, 0x2 | 0x8000, set), 0);
    let recovery = Some(DriverEvent { bit: 0x8000, data: 1, ..DriverEvent::default() });
    let ecc = Some(Ecc { corrected: 1, uncorrected: 1, location: 2 });
    machine.push(Entry::gpu(0).act(Act { event: recovery, ecc, ..xid(13) }));
    machine.push(
        Entry::gpu(1)
            .act(Act { ecc: Some(Ecc { uncorrected: 1, ..Ecc::default() }), ..Act::default() }),
    );
    let mut seen: Vec<u64> =
        std::iter::from_fn(|| wait(&machine, set, 0).ok()).map(|data| data.eventType).collect();
    seen.sort_unstable();
    assert_eq!(seen, [0x2, 0x8000]);
}

#[test]
fn one_gpu_may_refuse_registration_and_the_others_go_on() {
    let mut scenario = busy("h100-sxm", 3);
    let status = BTreeMap::from([("RegisterEvents".to_owned(), Code::NOT_SUPPORTED)]);
    scenario.timeline = vec![Entry::gpu(1).set(Conditions { status, ..Conditions::default() })];
    let mut machine = machine(scenario);
    let set = create(&machine);
    let codes: Vec<u32> = (0..3).map(|index| register(&machine, index, 0x8, set)).collect();
    assert_eq!(codes, [0, 3, 0]);
    machine.push(Entry::gpu(2).act(xid(63)));
    assert_eq!(wait(&machine, set, 0).unwrap().eventData, 63);
}

#[test]
fn what_the_product_cannot_tell_cannot_be_registered_for() {
    let machine = machine(busy("t4", 1));
    let set = create(&machine);
    assert_eq!(supported(&machine, 0) & 0x8000, 0);
    assert_eq!(register(&machine, 0, 0x8000, set), 3);
    assert_eq!(register(&machine, 0, supported(&machine, 0), set), 0);
}

#[test]
fn some_xids_are_in_the_kernel_log_only() {
    let dir = tempfile::tempdir().unwrap();
    let kmsg = dir.path().join("kmsg");
    let scenario = Scenario {
        kmsg: Some(kmsg.clone()),
        xids_not_in_events: vec![79, 119],
        ..busy("h100-sxm", 2)
    };
    let mut machine = machine(scenario);
    let set = create(&machine);
    assert_eq!(register(&machine, 1, 0x8, set), 0);
    machine.push(Entry::gpu(1).act(xid(79)));
    machine.push(Entry::gpu(1).act(xid(48)));
    assert_eq!(wait(&machine, set, 0).unwrap().eventData, 48);
    assert_eq!(wait(&machine, set, 0).unwrap_err(), TIMEOUT);
    let log = std::fs::read_to_string(kmsg).unwrap();
    let lines: Vec<&str> = log.lines().collect();
    assert_eq!(lines.len(), 2);
    assert!(lines[0].contains(";NVRM: Xid (PCI:0000:29:00): 79, pid='<unknown>'"), "{}", lines[0]);
}

#[test]
fn a_full_set_loses_the_oldest_and_counts_them() {
    let mut machine = machine(busy("h100-sxm", 1));
    let set = create(&machine);
    assert_eq!(register(&machine, 0, 0x8, set), 0);
    machine
        .file
        .edit(|scenario| scenario.timeline = (0..300).map(|n| Entry::gpu(0).act(xid(n))).collect())
        .unwrap();
    machine.library.reload().unwrap();
    assert_eq!(machine.stats().events_dropped, 44);
    assert_eq!(wait(&machine, set, 0).unwrap().eventData, 44);
}

#[test]
fn freeing_a_set_ends_the_wait_of_another_thread_and_its_use_is_counted() {
    let machine = machine(busy("h100-sxm", 1));
    let set = create(&machine);
    assert_eq!(register(&machine, 0, 0x8, set), 0);
    let (sender, receiver) = mpsc::channel();
    let address = set.addr();
    let waiter = std::thread::spawn(move || {
        let path = library_path().unwrap();
        // SAFETY: the library is open already.
        let library = unsafe { sys::NvmlLib::new(path.as_os_str()) }.unwrap();
        // SAFETY: zeroes are a valid structure.
        let mut data: sys::nvmlEventData_t = unsafe { std::mem::zeroed() };
        sender.send(0).unwrap();
        let set = std::ptr::without_provenance_mut(address);
        // SAFETY: handles are numbers, and there is a place for the answer.
        sender.send(unsafe { library.nvmlEventSetWait_v2(set, &raw mut data, 60_000) }).unwrap();
    });
    assert_eq!(receiver.recv_timeout(STUCK).unwrap(), 0);
    // SAFETY: a set of this library.
    assert_eq!(unsafe { machine.nvml.lib().nvmlEventSetFree(set) }, 0);
    assert_eq!(receiver.recv_timeout(STUCK).unwrap(), 2);
    waiter.join().unwrap();
    assert_eq!(wait(&machine, set, 0).unwrap_err(), 2);
    assert!(machine.stats().freed_set_use >= 1);
    assert_eq!(machine.stats().event_sets, 0);
}
