//! Day numbers and the dates that file names have.

/// Year, month and day of a day number: `civil_from_days` of Howard Hinnant's
/// "chrono-Compatible Low-Level Date Algorithms".
pub(super) fn civil(day: i64) -> (i64, i64, i64) {
    let shifted = day + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

/// The reverse; `None` for numbers that no date has.
pub(super) fn days_from_civil(year: i64, month: i64, day: i64) -> Option<i64> {
    let possible = year.abs() < 1_000_000_000 && (1..=12).contains(&month);
    if !possible || !(1..=31).contains(&day) {
        return None;
    }
    let year = year - i64::from(month <= 2);
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    Some(era * 146_097 + day_of_era - 719_468)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_read_back_whatever_a_clock_says() {
        let ends = [i64::MIN.div_euclid(86_400_000), i64::MAX.div_euclid(86_400_000), -719_529];
        for day in (-1_000_000..1_000_000).step_by(997).chain(ends) {
            let (year, month, of_month) = civil(day);
            assert_eq!(days_from_civil(year, month, of_month), Some(day));
        }
        assert_eq!(civil(20_778), (2026, 11, 21));
    }
}
