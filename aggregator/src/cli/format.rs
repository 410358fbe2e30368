//! Numbers, times and names as people read them. Units come from the metric's name, as
//! Prometheus writes it: `_bytes`, `_seconds`, `_ratio`, with or without `_total` after it.

use std::borrow::Cow;
use std::time::{Duration, UNIX_EPOCH};

use sextant_proto::v1::{Label, Series, Severity};

/// The last millisecond of the year 9999, beyond which RFC 3339 has no words.
const LAST_MS: u64 = 253_402_300_799_999;
/// Seconds from which a duration reads better as "2m 5s".
const LONG_SECONDS: f64 = 120.0;
/// Whole numbers up to here are exact in a double.
const EXACT: f64 = 9_007_199_254_740_992.0;

/// A value with the unit of its metric.
pub(super) fn quantity(metric: &str, value: f64) -> String {
    if !value.is_finite() {
        return number(value);
    }
    if metric.ends_with("_timestamp_seconds") || metric == "node_boot_time_seconds" {
        return seconds_as_time(value);
    }
    let name = metric.strip_suffix("_total").unwrap_or(metric);
    let unit = name.rsplit('_').next().unwrap_or_default();
    match unit {
        "bytes" => bytes(value),
        "seconds" => seconds(value),
        "ratio" => percent(value),
        "celsius" => format!("{} °C", significant(value)),
        "hertz" => scaled(value, 1000.0, &["Hz", "kHz", "MHz", "GHz"]),
        "watts" => format!("{} W", significant(value)),
        "joules" => scaled(value, 1000.0, &["J", "kJ", "MJ", "GJ"]),
        "volts" => format!("{} V", significant(value)),
        "amperes" => format!("{} A", significant(value)),
        _ => number(value),
    }
}

/// A value as it was read, short where that loses nothing that shows.
pub(super) fn number(value: f64) -> String {
    if value.is_nan() {
        return "NaN".into();
    }
    if value.is_infinite() {
        return if value > 0.0 { "+Inf".into() } else { "-Inf".into() };
    }
    if value == value.trunc() && value.abs() < EXACT {
        return format!("{value:.0}");
    }
    let size = value.abs();
    if (1e-4..1e7).contains(&size) { significant(value) } else { format!("{value:.3e}") }
}

/// 1536 as "1.5 KiB".
pub(super) fn bytes(value: f64) -> String {
    scaled(value, 1024.0, &["B", "KiB", "MiB", "GiB", "TiB", "PiB"])
}

/// 0.5 as "50%".
pub(super) fn percent(ratio: f64) -> String {
    let percent = ratio * 100.0;
    if percent.abs() >= 10.0 { format!("{percent:.0}%") } else { format!("{percent:.1}%") }
}

/// A difference of clocks with its sign: "+3ms".
pub(super) fn skew(ms: i64) -> String {
    let sign = if ms < 0 { '-' } else { '+' };
    match ms.unsigned_abs() {
        0 => "0ms".into(),
        size @ 1..1000 => format!("{sign}{size}ms"),
        size => format!("{sign}{}", duration(size)),
    }
}

/// How long ago `then` was: "0.4s", "5m 3s". A time to come has a minus.
pub(super) fn age(now_ms: i64, then_ms: i64) -> String {
    let age = now_ms.saturating_sub(then_ms);
    let sign = if age < 0 { "-" } else { "" };
    format!("{sign}{}", duration(age.unsigned_abs()))
}

/// Milliseconds in their two largest units.
pub(super) fn duration(ms: u64) -> String {
    let (s, m, h, d) = (ms / 1000, ms / 60_000, ms / 3_600_000, ms / 86_400_000);
    match s {
        0..10 => format!("{s}.{}s", ms % 1000 / 100),
        10..60 => format!("{s}s"),
        60..3600 => format!("{m}m {}s", s % 60),
        3600..86_400 => format!("{h}h {}m", m % 60),
        _ => format!("{d}d {}h", h % 24),
    }
}

/// A time in UTC, to the second.
pub(super) fn time(unix_ms: i64) -> String {
    humantime::format_rfc3339_seconds(UNIX_EPOCH + since_epoch(unix_ms)).to_string()
}

/// A time in UTC, to the millisecond.
pub(super) fn time_ms(unix_ms: i64) -> String {
    humantime::format_rfc3339_millis(UNIX_EPOCH + since_epoch(unix_ms)).to_string()
}

fn since_epoch(unix_ms: i64) -> Duration {
    Duration::from_millis(u64::try_from(unix_ms).unwrap_or(0).min(LAST_MS))
}

/// A selector's form of a series: `node_load1{cluster="lab",node="a"}`.
pub(super) fn series(series: &Series) -> String {
    format!("{}{}", series.metric, labels(&series.labels))
}

/// `{a="1",b="2"}`, or nothing.
pub(super) fn labels(labels: &[Label]) -> String {
    if labels.is_empty() {
        return String::new();
    }
    let pairs: Vec<_> = labels.iter().map(|l| format!("{}={}", l.name, quote(&l.value))).collect();
    format!("{{{}}}", pairs.join(","))
}

/// A label value in the quotes of the selector syntax.
pub(super) fn quote(value: &str) -> String {
    let escaped = value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
    format!("\"{escaped}\"")
}

/// The value of a label; empty when the series has none.
pub(super) fn label<'a>(series: &'a Series, name: &str) -> &'a str {
    series.labels.iter().find(|l| l.name == name).map_or("", |l| &l.value)
}

/// "lab/node-a", or the node alone where no cluster is named.
pub(super) fn node(cluster: &str, node: &str) -> String {
    if cluster.is_empty() { node.to_owned() } else { format!("{cluster}/{node}") }
}

/// The wire's number as a word.
pub(super) fn severity(wire: i32) -> &'static str {
    match Severity::try_from(wire) {
        Ok(Severity::Info) => "info",
        Ok(Severity::Warning) => "warning",
        Ok(Severity::Critical) => "critical",
        Ok(Severity::Unspecified) | Err(_) => "-",
    }
}

/// Text without characters that would move a cursor.
pub(super) fn escape(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() { safe.extend(c.escape_default()) } else { safe.push(c) }
    }
    safe
}

/// Text of at most `width` characters, cut with an ellipsis.
pub(super) fn clip(text: &str, width: usize) -> Cow<'_, str> {
    if text.chars().count() <= width {
        return Cow::Borrowed(text);
    }
    Cow::Owned(text.chars().take(width.saturating_sub(1)).chain(['…']).collect())
}

fn seconds_as_time(value: f64) -> String {
    let in_range = Duration::try_from_secs_f64(value).ok().filter(|d| d.as_millis() > 0);
    match in_range.and_then(|d| i64::try_from(d.as_millis()).ok()) {
        Some(ms) => time(ms),
        None => number(value),
    }
}

fn seconds(value: f64) -> String {
    let size = value.abs();
    if size >= LONG_SECONDS {
        let sign = if value < 0.0 { "-" } else { "" };
        let long = Duration::try_from_secs_f64(size).unwrap_or(Duration::MAX);
        return format!("{sign}{}", duration(u64::try_from(long.as_millis()).unwrap_or(u64::MAX)));
    }
    let (factor, unit) = match size {
        0.0 => (1.0, "s"),
        _ if size < 1e-6 => (1e9, "ns"),
        _ if size < 1e-3 => (1e6, "µs"),
        _ if size < 1.0 => (1e3, "ms"),
        _ => (1.0, "s"),
    };
    format!("{} {unit}", significant(value * factor))
}

fn scaled(value: f64, step: f64, units: &[&str]) -> String {
    let (mut scaled, mut i) = (value, 0);
    while scaled.abs() >= step && i + 1 < units.len() {
        scaled /= step;
        i += 1;
    }
    let unit = units.get(i).copied().unwrap_or_default();
    format!("{} {unit}", significant(scaled))
}

/// Two decimals below 10, one below 100, without trailing zeros; more below 0.1, so that a
/// small value does not read as none.
fn significant(value: f64) -> String {
    let decimals = match value.abs() {
        0.0 => 0,
        x if x < 0.1 => 4,
        x if x < 10.0 => 2,
        x if x < 1000.0 => 1,
        _ => 0,
    };
    let text = format!("{value:.decimals$}");
    if text.contains('.') {
        return text.trim_end_matches('0').trim_end_matches('.').to_owned();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_carry_the_unit_of_their_metric() {
        let f = |metric: &str, value: f64, want: &str| assert_eq!(quantity(metric, value), want);
        f("node_memory_MemTotal_bytes", 0.0, "0 B");
        f("node_memory_MemTotal_bytes", 1023.0, "1023 B");
        f("node_memory_MemTotal_bytes", 25_769_803_776.0, "24 GiB");
        f("node_network_receive_bytes_total", 1536.0, "1.5 KiB");
        f("ptp_offset_seconds", -1.23e-7, "-123 ns");
        f("ptp_offset_seconds", 4.5e-5, "45 µs");
        f("x_duration_seconds", 0.0125, "12.5 ms");
        f("x_duration_seconds", 0.0, "0 s");
        f("node_cpu_seconds_total", 61.75, "61.8 s");
        f("node_cpu_seconds_total", 7_384.0, "2h 3m");
        f("node_cpu_seconds_total", -7_384.0, "-2h 3m");
        f("node_boot_time_seconds", 1.7e9, "2023-11-14T22:13:20Z");
        f("x_timestamp_seconds", 1e300, "1.000e300");
        f("x_used_ratio", 0.0625, "6.2%");
        f("x_used_ratio", 0.5, "50%");
        f("node_hwmon_temp_celsius", 61.5, "61.5 °C");
        f("node_cpu_scaling_frequency_hertz", 2.4e9, "2.4 GHz");
        f("node_load1", 0.42, "0.42");
        f("node_load1", 12.0, "12");
        f("node_forks_total", 123_456_789.0, "123456789");
        f("x", 1e-9, "1.000e-9");
        f("x", 0.001, "0.001");
        f("x_bytes", f64::NAN, "NaN");
        f("x_bytes", f64::NEG_INFINITY, "-Inf");
    }

    #[test]
    fn durations_read_in_their_two_largest_units() {
        let f = |ms: u64, want: &str| assert_eq!(duration(ms), want);
        f(0, "0.0s");
        f(450, "0.4s");
        f(9_999, "9.9s");
        f(42_000, "42s");
        f(303_000, "5m 3s");
        f(7_500_000, "2h 5m");
        f(273_600_000, "3d 4h");
    }

    #[test]
    fn skew_and_age_have_a_direction() {
        assert_eq!(
            [skew(0), skew(3), skew(-250), skew(-61_000)].join(" "),
            "0ms +3ms -250ms -1m 1s"
        );
        assert_eq!([age(5_000, 4_500), age(1_000, 2_000)].join(" "), "0.5s -1.0s");
    }

    #[test]
    fn hostile_times_are_shown_as_the_ends_of_time() {
        assert_eq!(time(i64::MIN), "1970-01-01T00:00:00Z");
        assert_eq!(time_ms(i64::MAX), "9999-12-31T23:59:59.999Z");
    }

    #[test]
    fn label_values_are_quoted_as_a_selector_wants_them() {
        let label = |value: &str| Label { name: "a".into(), value: value.into() };
        assert_eq!(labels(&[]), "");
        assert_eq!(labels(&[label("x"), label("q\"\\\n")]), r#"{a="x",a="q\"\\\n"}"#);
    }

    #[test]
    fn long_text_is_clipped_with_an_ellipsis() {
        assert_eq!(clip("abc", 3), "abc");
        assert_eq!(clip("abcd", 3), "ab…");
    }
}
