//! The Prometheus text format: lines, numbers and escapes.

use std::fmt::Write as _;

/// Writes one line.
pub(crate) fn sample<'a>(
    out: &mut String,
    name: &str,
    labels: impl Iterator<Item = (&'a str, &'a str)>,
    value: f64,
) {
    out.push_str(name);
    let mut separator = '{';
    for (label, text) in labels {
        out.push(separator);
        out.push_str(label);
        out.push_str("=\"");
        escape(out, text, true);
        out.push('"');
        separator = ',';
    }
    out.push_str("} ");
    number(out, value);
    out.push('\n');
}

/// Formats into a string.
pub(crate) fn put(out: &mut String, text: std::fmt::Arguments<'_>) {
    out.write_fmt(text).expect("a String takes all that is written");
}

fn number(out: &mut String, value: f64) {
    if value.is_nan() {
        out.push_str("NaN");
    } else if value.is_infinite() {
        out.push_str(if value > 0.0 { "+Inf" } else { "-Inf" });
    } else if value != 0.0 && !(1e-4..1e16).contains(&value.abs()) {
        put(out, format_args!("{value:e}"));
    } else {
        put(out, format_args!("{value}"));
    }
}

/// Escapes as the text format asks: backslash and newline everywhere, quotes in label values.
pub(crate) fn escape(out: &mut String, text: &str, quotes: bool) {
    for c in text.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '"' if quotes => out.push_str("\\\""),
            c => out.push(c),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_labels_are_as_prometheus_reads_them() {
        let f = |value: f64, want: &str| {
            let mut out = String::new();
            number(&mut out, value);
            assert_eq!(out, want);
            let back: f64 = want.parse().expect("a number");
            assert!(back.to_bits() == value.to_bits() || value.is_nan());
        };
        f(0.0, "0");
        f(-0.0, "-0");
        f(1.5, "1.5");
        f(1e300, "1e300");
        f(5e-324, "5e-324");
        f(9_007_199_254_740_993.0, "9007199254740992");
        f(f64::INFINITY, "+Inf");
        f(f64::NEG_INFINITY, "-Inf");
        f(f64::NAN, "NaN");
        let mut out = String::new();
        sample(&mut out, "m", [("a", "x\"\\\ny")].into_iter(), 1.0);
        assert_eq!(out, "m{a=\"x\\\"\\\\\\ny\"} 1\n");
    }
}
