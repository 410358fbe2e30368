//! Numbers and words of the kernel's text files.

/// The words of a line.
pub(super) fn words(line: &str) -> std::str::SplitAsciiWhitespace<'_> {
    line.split_ascii_whitespace()
}

/// A decimal number. Counters are exact up to 2^53, as everywhere in Prometheus.
pub(super) fn number(text: &str) -> Option<f64> {
    if let Ok(whole) = text.parse::<u64>() {
        return Some(whole as f64);
    }
    text.parse::<f64>().ok().filter(|v| v.is_finite())
}

/// The next word as a decimal number.
pub(super) fn next<'a>(words: &mut impl Iterator<Item = &'a str>) -> Option<f64> {
    words.next().and_then(number)
}

/// A whole number, hexadecimal if it starts with `0x`, as sysfs writes flags.
pub(super) fn integer(text: &str) -> Option<f64> {
    match text.strip_prefix("0x") {
        Some(digits) => hexadecimal(digits),
        None => text.parse::<i64>().ok().map(|v| v as f64),
    }
}

/// A hexadecimal number without prefix.
pub(super) fn hexadecimal(digits: &str) -> Option<f64> {
    u64::from_str_radix(digits, 16).ok().map(|v| v as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_or_refused_but_never_panic() {
        let cases: [(&str, Option<f64>, Option<f64>); 10] = [
            ("0", Some(0.0), Some(0.0)),
            ("-1", Some(-1.0), Some(-1.0)),
            ("0x1003", None, Some(4099.0)),
            ("18446744073709551615", Some(18_446_744_073_709_551_615.0), None),
            ("99999999999999999999999", Some(1e23), None),
            ("1.5", Some(1.5), None),
            ("", None, None),
            ("0x", None, None),
            ("nan", None, None),
            ("1 kB", None, None),
        ];
        for (text, decimal, whole) in cases {
            assert_eq!(number(text), decimal, "{text:?}");
            assert_eq!(integer(text), whole, "{text:?}");
        }
    }
}
