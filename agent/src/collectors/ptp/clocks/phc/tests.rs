use super::super::tests::{captured, has, rows, tick};
use super::*;

/// A machine with the clocks that a test makes.
struct Machine {
    dir: tempfile::TempDir,
}

impl Machine {
    fn new() -> Self {
        let machine = Self { dir: tempfile::tempdir().unwrap() };
        std::fs::create_dir(machine.path("dev")).unwrap();
        machine
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn paths(&self) -> Paths {
        Paths { sys: self.path("sys"), dev: self.path("dev"), ..Paths::default() }
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    fn clock(&self, index: u32, name: &str) {
        let dir = format!("sys/class/ptp/ptp{index}");
        self.write(&format!("{dir}/clock_name"), name);
        self.write(&format!("{dir}/dev"), &format!("247:{index}\n"));
    }

    fn remove(&self, index: u32) {
        std::fs::remove_dir_all(self.path(&format!("sys/class/ptp/ptp{index}"))).unwrap();
    }
}

fn read(phcs: &mut Phcs, now: Instant) -> Vec<String> {
    tick(|batch| {
        phcs.collect(batch, now, false);
        phcs.set(batch, UtcOffset(Some(37)));
    })
}

#[test]
fn captured_clocks_are_described_with_their_device() {
    let mut phcs = Phcs::new(&captured(), false);
    let rows = read(&mut phcs, Instant::now());
    let info = "clock_name=02000000aa01,netdevs=eth0,driver=igb,pci=0000:01:00.0";
    has(&rows, &format!("ptp_phc_info{{phc=ptp0,{info}}} 1"));
    has(&rows, "ptp_phc_max_adjustment_ratio{phc=ptp1} 0.999999881");
    has(&rows, "ptp_phc_vclocks{phc=ptp0} 0");
    has(&rows, "ptp_phc_pps_available{phc=ptp0} 0");
    has(&rows, "ptp_phc_alarms{phc=ptp1} 0");
    has(
        &rows,
        "sextant_unavailable{phc=ptp0,metric=ptp_phc_system_offset_seconds,reason=switched_off} 1",
    );
    assert_eq!(phcs.only(), None);
}

#[test]
fn pins_have_their_function_and_channel_and_odd_ones_are_left_out() {
    let machine = Machine::new();
    machine.clock(3, "mock");
    machine.write("sys/class/ptp/ptp3/pins/SDP0", "1 2\n");
    machine.write("sys/class/ptp/ptp3/pins/SDP1", "none\n");
    machine.write("sys/class/ptp/ptp3/n_programmable_pins", "x\n");
    let mut phcs = Phcs::new(&machine.paths(), false);
    let rows = read(&mut phcs, Instant::now());
    has(&rows, "ptp_phc_pin_function{phc=ptp3,pin=SDP0,channel=2} 1");
    assert!(rows.iter().all(|row| !row.contains("SDP1") && !row.contains("ptp_phc_pins")));
    assert_eq!(phcs.only(), Some(3));
}

#[test]
fn file_that_is_no_clock_is_unsupported_and_none_is_no_device() {
    let machine = Machine::new();
    machine.clock(0, "a");
    machine.clock(1, "b");
    machine.write("dev/ptp0", "");
    let mut phcs = Phcs::new(&machine.paths(), true);
    let mut batch = Batch::default();
    batch.begin();
    assert!(phcs.collect(&mut batch, Instant::now(), false));
    phcs.set(&mut batch, UtcOffset(None));
    let failed: Vec<_> = batch.failures().to_vec();
    assert_eq!(failed.len(), 1);
    assert!(failed[0].1.starts_with("open ptp1: "), "{failed:?}");
    let rows = rows(&mut batch);
    for (clock, reason) in [("ptp0", "unsupported"), ("ptp1", "no_device")] {
        let labels = format!("phc={clock},metric=ptp_phc_system_offset_seconds,reason={reason}");
        has(&rows, &format!("sextant_unavailable{{{labels}}} 1"));
    }
    assert_eq!((phcs.reading(0), phcs.reading(1)), (None, None));
}

#[test]
fn clocks_come_and_go_and_another_under_the_same_name_starts_anew() {
    let machine = Machine::new();
    let start = Instant::now();
    let mut phcs = Phcs::new(&machine.paths(), false);
    let mut list = |seconds: u64| {
        let now = start + Duration::from_secs(seconds);
        let changed = phcs.collect(&mut Batch::default(), now, false);
        let names = phcs.clocks.iter().map(|c| c.description.clock_name.clone()).collect();
        for clock in &mut phcs.clocks {
            clock.jumps += 1;
        }
        let names: Vec<String> = names;
        (changed, names.join(","), phcs.clocks.iter().map(|c| c.jumps).sum::<u64>())
    };
    assert_eq!(list(0), (false, String::new(), 0));
    machine.clock(10, "ten");
    machine.clock(2, "two");
    assert_eq!(list(5), (false, String::new(), 0));
    assert_eq!(list(10), (true, "two,ten".into(), 2));
    assert_eq!(list(20), (false, "two,ten".into(), 4));
    machine.remove(2);
    assert_eq!(list(30), (true, "ten".into(), 3));
    machine.clock(10, "other");
    assert_eq!(list(40), (true, "other".into(), 1));
}

#[test]
fn while_ts2phc_runs_only_clocks_that_lose_nothing_are_read() {
    let machine = Machine::new();
    machine.clock(0, "phy");
    machine.write("dev/ptp0", "");
    let mut phcs = Phcs::new(&machine.paths(), true);
    let start = Instant::now();
    let mut outcome = |seconds: u64, ts2phc| {
        let now = start + Duration::from_secs(seconds);
        phcs.collect(&mut Batch::default(), now, ts2phc);
        match phcs.clocks[0].outcome {
            Outcome::Off(reason) => reason,
            _ => "tried",
        }
    };
    // What is no clock is unsupported when it is read.
    assert_eq!(outcome(0, true), "ts2phc");
    assert_eq!(outcome(1, false), "unsupported");
    machine.write("sys/class/ptp/ptp0/n_external_timestamps", "0\n");
    assert_eq!(outcome(11, true), "unsupported");
    machine.write("sys/class/ptp/ptp0/n_external_timestamps", "2\n");
    assert_eq!(outcome(22, true), "ts2phc");
    let device = machine.path("sys/class/ptp/ptp0/device");
    std::fs::create_dir(&device).unwrap();
    std::os::unix::fs::symlink("../../drivers/ice", device.join("driver")).unwrap();
    assert_eq!(outcome(33, true), "unsupported");
}

#[test]
fn failed_reading_keeps_the_columns_and_a_good_one_tells_the_error_against_utc() {
    let machine = Machine::new();
    machine.clock(0, "a");
    let mut phcs = Phcs::new(&machine.paths(), false);
    phcs.collect(&mut Batch::default(), Instant::now(), false);
    let mut batch = Batch::default();
    let mut set = |phcs: &Phcs| {
        batch.begin();
        phcs.set(&mut batch, UtcOffset(Some(37)));
        let layout = batch.finish("ptp", 1000).layout.0;
        (layout, rows(&mut batch))
    };
    phcs.clocks[0].method = Some(Method::Extended);
    let outcome = Outcome::Read { offset_ns: 37_000_000_250.0, window_ns: 900.0 };
    phcs.clocks[0].outcome = outcome;
    let (layout, good) = set(&phcs);
    has(&good, "ptp_phc_system_offset_seconds{phc=ptp0} 37.00000025");
    has(&good, "ptp_phc_utc_error_seconds{phc=ptp0} 0.00000025");
    let uncertainty = "ptp_phc_system_offset_uncertainty_seconds{phc=ptp0,method=extended}";
    has(&good, &format!("{uncertainty} 0.00000045"));
    assert_eq!(phcs.reading(0).unwrap().uncertainty_ns, 450.0);
    phcs.clocks[0].failed(&SampleError::Window, &mut Batch::default());
    let (again, bad) = set(&phcs);
    assert_eq!(again, layout);
    has(&bad, "sextant_ptp_phc_read_failures_total{phc=ptp0,reason=window} 1");
    assert!(bad.iter().all(|row| !row.contains("offset") && !row.contains("utc")), "{bad:?}");
}
