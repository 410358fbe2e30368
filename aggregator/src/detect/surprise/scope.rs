//! Which series are worth watching for their shape, and what change of them matters at all.

use sextant_proto::v1::MetricKind;

use crate::series::Series;

/// Names that tell what something is or when it was, not how it does.
const NOT_MEASURED: [&str; 4] = ["_info", "_timestamp_seconds", "_created", "_boot_time_seconds"];
/// The same, each by itself: the node's wall clock, and settings of the clock discipline that
/// step by design.
const NOT_MEASURED_NAMES: [&str; 3] =
    ["node_time_seconds", "node_timex_status", "node_timex_tai_offset_seconds"];
/// The agent's own numbers are judged by rules.
const OWN_PREFIX: &str = "sextant_";

/// The smallest change that matters, by the end of the name; rates are per second. None of them
/// is a limit: they only leave out what nobody would look at.
const GAUGE_FLOORS: [(&str, f32); 6] = [
    ("_celsius", 5.0),
    ("_bytes", 16_777_216.0),
    ("_ratio", 0.05),
    ("_percent", 5.0),
    ("_watts", 10.0),
    ("_hertz", 1e8),
];
const RATE_FLOORS: [(&str, f32); 5] = [
    // Seconds a second: a share of time.
    ("_seconds_total", 0.1),
    ("_bytes_total", 1_048_576.0),
    ("_packets_total", 1000.0),
    ("_switches_total", 1000.0),
    ("_intr_total", 1000.0),
];
/// Events a second, for counters that are not named above.
const RATE_FLOOR: f32 = 1.0;

/// The smallest change of the series that matters; `None` when it is not watched.
pub(super) fn floor(series: &Series) -> Option<f32> {
    let name = &*series.metric;
    if NOT_MEASURED.iter().any(|end| name.ends_with(end))
        || NOT_MEASURED_NAMES.contains(&name)
        || name.starts_with(OWN_PREFIX)
    {
        return None;
    }
    let by_end = |floors: &[(&str, f32)]| {
        floors.iter().find(|(end, _)| name.ends_with(end)).map(|(_, floor)| *floor)
    };
    Some(match series.kind {
        MetricKind::Counter => by_end(&RATE_FLOORS).unwrap_or(RATE_FLOOR),
        _ => by_end(&GAUGE_FLOORS).unwrap_or(0.0),
    })
}
