use std::path::Path;
use std::time::Duration;

use sextant_proto::frame::is_absent;
use sextant_proto::layout;

use super::*;

/// The samples and events of a tick as text, those that are absent aside.
pub(super) fn rows(batch: &mut Batch) -> Vec<String> {
    let tick = batch.finish("ptp", 1000);
    let layout = layout::decode(tick.layout.0, &tick.layout.1).unwrap();
    let mut values = tick.values.iter();
    let mut rows = Vec::new();
    for entity in &layout.entities {
        for series in &entity.series {
            let labels = entity.labels.iter().chain(&series.labels);
            let labels: Vec<_> = labels.map(|l| format!("{}={}", l.name, l.value)).collect();
            let name = &layout.metrics[series.metric as usize].name;
            let value = *values.next().unwrap();
            if !is_absent(value) {
                rows.push(format!("{name}{{{}}} {value}", labels.join(",")));
            }
        }
    }
    for event in tick.events {
        let labels = event.entity.iter().chain(&event.attributes);
        let labels: Vec<_> = labels.map(|l| format!("{}={}", l.name, l.value)).collect();
        rows.push(format!("event {} {}", event.r#type, labels.join(",")));
    }
    rows
}

/// Runs `collect` as a tick of its own.
pub(super) fn tick(collect: impl FnOnce(&mut Batch)) -> Vec<String> {
    let mut batch = Batch::default();
    batch.begin();
    collect(&mut batch);
    rows(&mut batch)
}

/// Whether a row is there.
#[track_caller]
pub(super) fn has(rows: &[String], row: &str) {
    assert!(rows.iter().any(|r| r == row), "{row} is not in {rows:#?}");
}

/// The node that was captured: two 82576 with a PHC each.
pub(super) fn captured() -> Paths {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/sriov");
    Paths { sys: dir.join("sys"), dev: dir.join("dev"), ..Paths::default() }
}

/// Bytes without a system, the same in every run.
pub(super) fn noise(seed: u64) -> impl FnMut() -> u8 {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[3]
    }
}

fn quiet(paths: &Paths) -> Clocks {
    let (chrony, gpsd) = (String::new(), String::new());
    let clocks = ClocksConfig { phc: false, chrony, gpsd, ..ClocksConfig::default() };
    Clocks::new(paths, &PtpConfig { clocks, ..PtpConfig::default() })
}

#[test]
fn tiers_after_the_first_read_nothing() {
    let mut clocks = quiet(&captured());
    assert!(tick(|batch| clocks.collect(batch, UtcOffset(None), 1)).is_empty());
    assert!(!clocks.any() && clocks.os_clock().is_none());
}

#[test]
fn node_without_daemons_tells_its_clocks_and_the_kernels_view() {
    let mut clocks = quiet(&captured());
    let rows = tick(|batch| clocks.collect(batch, UtcOffset(None), 0));
    has(&rows, "ptp_phc_pins{phc=ptp1} 0");
    has(&rows, "sextant_ptp_malformed_total{source=gpsd} 0");
    assert!(rows.iter().any(|row| row.starts_with("ptp_system_synchronized{} ")));
    assert!(rows.iter().all(|row| !row.starts_with("ptp_phc_system_offset")));
    assert!(clocks.any());
    assert_eq!(clocks.os_clock().unwrap().source, OsClockSource::Ntp);
    assert_eq!((clocks.phc(0), clocks.phc_of_netdev("eth0")), (None, None));
}

#[test]
fn system_clock_that_is_not_looked_at_is_not_known() {
    let clocks = ClocksConfig { system: false, ..ClocksConfig::default() };
    let config = PtpConfig { clocks, ..PtpConfig::default() };
    let mut clocks = Clocks::new(&captured(), &config);
    let rows = tick(|batch| clocks.collect(batch, UtcOffset(None), 0));
    assert!(rows.iter().all(|row| !row.starts_with("ptp_system")), "{rows:?}");
    assert_eq!(clocks.os_clock(), None);
}

#[test]
fn phc2sys_without_a_utc_offset_or_a_known_clock_has_no_offset() {
    let mut clocks = quiet(&captured());
    clocks.set_daemons(Daemons { phc2sys: true, ..Daemons::default() });
    let rows = tick(|batch| clocks.collect(batch, UtcOffset(Some(37)), 0));
    assert!(rows.iter().all(|row| !row.starts_with("ptp_system_offset")), "{rows:?}");
    let clock = clocks.os_clock().unwrap();
    assert_eq!((clock.source, clock.offset_ns), (OsClockSource::Phc2sys, None));
}

#[test]
fn ticks_that_come_faster_than_clocks_are_read_repeat_what_is_known() {
    let mut clocks = quiet(&captured());
    let start = Instant::now();
    let mut at = |ms| {
        let now = start + Duration::from_millis(ms);
        let mut rows = tick(|batch| clocks.collect_at(batch, UtcOffset(None), now));
        rows.retain(|row| !row.starts_with("ptp_system"));
        rows
    };
    let first = at(0);
    assert_eq!(at(250), first);
    assert_eq!(at(11_000), first);
}
