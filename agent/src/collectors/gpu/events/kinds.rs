//! The kinds of events that NVML tells beside Xids (`nvmlEventType*`).

use std::time::Duration;

use sextant_proto::v1::Severity;

/// The event is an Xid, its data the number.
pub(super) const XID: u64 = 0x8;
/// The clock changed: told as long as it is rare.
pub(super) const CLOCK: u64 = 0x10;
/// The GPU changed its P-state: never wanted, a busy GPU does so all the time.
pub(super) const PERFORMANCE_STATE: u64 = 0x4;
/// The recovery action changed.
pub(super) const RECOVERY_ACTION: u64 = 0x8000;
/// MIG devices came or went.
pub(super) const MIG_CONFIG: u64 = 0x100;
/// The GPU can no longer be used.
pub(super) const UNAVAILABLE: u64 = 0x4000;

/// One event record of a kind that comes often in so long; all are counted.
const RARELY: Duration = Duration::from_secs(60);

/// What is known of a kind.
#[derive(Debug)]
pub(super) struct Kind {
    /// Its bit; 0 for all that are not known.
    pub(super) bit: u64,
    /// The value of the label `event`.
    pub(super) label: &'static str,
    /// The type of the event record.
    pub(super) event: &'static str,
    pub(super) severity: Severity,
    /// For people.
    pub(super) text: &'static str,
    /// At most one event record of it in so long.
    pub(super) every: Duration,
}

/// All of them; the last is for bits that are not known.
pub(super) static KINDS: [Kind; 13] = [
    kind(
        0x1,
        "single_bit_ecc",
        "gpu.ecc_single_bit",
        Severity::Info,
        "corrected ECC error",
        RARELY,
    ),
    kind(
        0x2,
        "double_bit_ecc",
        "gpu.ecc_double_bit",
        Severity::Critical,
        "uncorrected ECC error",
        Duration::ZERO,
    ),
    kind(CLOCK, "clock", "gpu.clock_changed", Severity::Info, "clock changed", RARELY),
    kind(
        0x80,
        "power_source",
        "gpu.power_source_changed",
        Severity::Info,
        "power source changed",
        RARELY,
    ),
    kind(
        MIG_CONFIG,
        "mig_config",
        "gpu.mig_config_changed",
        Severity::Info,
        "MIG configuration changed",
        Duration::ZERO,
    ),
    kind(
        0x200,
        "ecc_storm",
        "gpu.ecc_storm",
        Severity::Warning,
        "storm of corrected ECC errors",
        Duration::ZERO,
    ),
    kind(
        0x400,
        "dram_retirement",
        "gpu.page_retirement",
        Severity::Warning,
        "memory was retired",
        Duration::ZERO,
    ),
    kind(
        0x800,
        "dram_retirement_failure",
        "gpu.page_retirement_failed",
        Severity::Critical,
        "memory could not be retired",
        Duration::ZERO,
    ),
    kind(
        0x1000,
        "poison_nonfatal",
        "gpu.poison",
        Severity::Warning,
        "poisoned data, contained",
        Duration::ZERO,
    ),
    kind(
        0x2000,
        "poison_fatal",
        "gpu.poison",
        Severity::Critical,
        "poisoned data, fatal",
        Duration::ZERO,
    ),
    kind(
        UNAVAILABLE,
        "unavailable",
        "gpu.unavailable",
        Severity::Critical,
        "GPU is unavailable",
        Duration::ZERO,
    ),
    kind(
        RECOVERY_ACTION,
        "recovery_action",
        "gpu.recovery_action",
        Severity::Warning,
        "recovery action changed",
        Duration::ZERO,
    ),
    kind(0, "unknown", "gpu.unknown_event", Severity::Info, "event of an unknown kind", RARELY),
];

const fn kind(
    bit: u64,
    label: &'static str,
    event: &'static str,
    severity: Severity,
    text: &'static str,
    every: Duration,
) -> Kind {
    Kind { bit, label, event, severity, text, every }
}

/// The places in [`KINDS`] of what an event's bits mean, Xids left out.
pub(super) fn of(bits: u64) -> impl Iterator<Item = usize> {
    let named = KINDS.iter().fold(XID | PERFORMANCE_STATE, |all, kind| all | kind.bit);
    let unknown = bits & !named != 0 || bits == 0;
    KINDS.iter().enumerate().filter_map(move |(index, kind)| {
        let is_it = if kind.bit == 0 { unknown } else { bits & kind.bit != 0 };
        is_it.then_some(index)
    })
}

/// The place of one kind.
pub(super) fn index_of(bit: u64) -> usize {
    KINDS.iter().position(|kind| kind.bit == bit).unwrap_or(KINDS.len() - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_are_named_and_unknown_ones_are_told() {
        let labels = |bits| of(bits).map(|index| KINDS[index].label).collect::<Vec<_>>();
        assert_eq!(labels(XID), [""; 0]);
        assert_eq!(labels(0x2), ["double_bit_ecc"]);
        assert_eq!(labels(0x3 | XID), ["single_bit_ecc", "double_bit_ecc"]);
        assert_eq!(labels(0x4_0000), ["unknown"]);
        assert_eq!(labels(0), ["unknown"]);
        assert_eq!(KINDS[index_of(UNAVAILABLE)].label, "unavailable");
        assert_eq!(KINDS[index_of(0x4_0000)].label, "unknown");
    }
}
