//! Numbers as people read them, for summaries.

/// Four significant digits, no trailing zeros; very large and very small ones with an exponent.
pub(super) fn number(value: f64) -> String {
    if value == 0.0 || !value.is_finite() {
        return format!("{value}");
    }
    let magnitude = value.abs();
    if magnitude.fract() == 0.0 && magnitude < 1e6 {
        return format!("{value:.0}");
    }
    if !(1e-4..1e9).contains(&magnitude) {
        return format!("{value:.3e}");
    }
    let decimals = match magnitude {
        m if m >= 1000.0 => 0,
        m if m >= 100.0 => 1,
        m if m >= 10.0 => 2,
        m if m >= 1.0 => 3,
        m if m >= 0.1 => 4,
        m if m >= 0.01 => 5,
        m if m >= 0.001 => 6,
        _ => 7,
    };
    let text = format!("{value:.decimals$}");
    if decimals == 0 {
        return text;
    }
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::number;

    #[test]
    fn numbers_have_four_significant_digits() {
        let check = |value: f64, want: &str| assert_eq!(number(value), want, "{value}");
        check(0.0, "0");
        check(17.0, "17");
        check(-2.5, "-2.5");
        check(0.048_765, "0.04877");
        check(1234.56, "1235");
        check(999_999.0, "999999");
        check(16_777_216_000.0, "1.678e10");
        check(0.000_001_5, "1.500e-6");
        check(f64::INFINITY, "inf");
    }
}
