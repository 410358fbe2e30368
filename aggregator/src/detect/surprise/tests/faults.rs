//! Faults put into clean series are found, and end; bad inputs are harmless.

use super::clean::{PER_DAY, Random, kinds};
use crate::detect::surprise::series::{Score, Series, View};
use crate::detect::surprise::{Kind, Tuning, alert_score};

const START_MS: i64 = 1_700_000_000_000;
const DAYS: usize = 3;

fn view(counter: bool) -> View {
    View { counter, floor: 0.0, gap_ms: 300_000, alert: alert_score(0.5, 60_000) }
}

/// Three days of a kind, then an hour with `fault` done to its values or rates: the minutes after
/// its begin at which something was found, and what.
fn faulted(name: &str, fault: impl Fn(f64) -> f64) -> Vec<(usize, Score)> {
    let mut kind = kinds().into_iter().find(|k| k.name == name).expect("known kind");
    let (mut series, mut random) = (Series::default(), Random::new(5));
    let (mut clean, mut shown) = (f64::NAN, 0.0);
    let mut found = Vec::new();
    for minute in 0..DAYS * PER_DAY + 60 {
        let faulty = minute >= DAYS * PER_DAY;
        let mut value = (kind.next)(minute, &mut random);
        if kind.counter {
            let step = if clean.is_nan() { 0.0 } else { value - clean };
            clean = value;
            shown += if faulty { fault(step) } else { step };
            value = shown;
        } else if faulty {
            value = fault(value);
        }
        let time_ms = START_MS + i64::try_from(minute).expect("small") * 60_000;
        let view = view(kind.counter);
        let score = series.observe(time_ms, value, &view, &Tuning::default());
        if let (true, Some(score)) = (faulty, score)
            && score.score >= view.alert
        {
            found.push((minute - DAYS * PER_DAY, score));
        }
    }
    found
}

fn found_within(name: &str, minutes: usize, kind: Kind, fault: impl Fn(f64) -> f64) {
    let found = faulted(name, fault);
    let Some((at, score)) = found.first() else { panic!("{name}: nothing found") };
    assert!(*at <= minutes, "{name}: {at} minutes, {score:?}");
    assert_eq!(score.kind, kind, "{name}: {score:?}");
    assert_eq!(found.len(), 1, "{name}: once, not {found:?}");
    assert!(score.low <= score.expected && score.expected <= score.high, "{name}: {score:?}");
}

#[test]
fn level_shifts_are_found_within_minutes_and_told_once() {
    found_within("white", 4, Kind::High, |x| x + 40.0);
    found_within("white", 4, Kind::Low, |x| x - 40.0);
    found_within("whole degrees", 4, Kind::High, |x| x + 40.0);
    found_within("days and a trend", 4, Kind::High, |x| x + 4000.0);
    found_within("slowly autocorrelated", 10, Kind::High, |x| x + 500.0);
    found_within("steady counter", 4, Kind::High, |x| x * 3.0);
    found_within("steady counter", 4, Kind::Low, |x| x * 0.01);
}

#[test]
fn loss_and_growth_of_variance_are_found() {
    found_within("white", 20, Kind::Still, |_| 50.0);
    found_within("autocorrelated", 20, Kind::Still, |_| 0.25);
    let found = faulted("white", |x| 50.0 + (x - 50.0) * 6.0);
    assert!(found.first().is_some_and(|(at, _)| *at <= 10), "{found:?}");
}

#[test]
fn first_change_of_what_was_long_constant_is_found_and_soon_after_start_it_is_not() {
    let (view, tuning) = (view(false), Tuning::default());
    for (days, surprising) in [(0.05, false), (7.0, true)] {
        let mut series = Series::default();
        let mut best = 0.0_f32;
        #[expect(clippy::cast_possible_truncation, reason = "some thousand")]
        let minutes = (days * PER_DAY as f64) as i64;
        for minute in 0..minutes + 3 {
            let value = if minute < minutes { 8.0 } else { 4.0 };
            let score = series.observe(START_MS + minute * 60_000, value, &view, &tuning);
            best = best.max(score.map_or(0.0, |s| s.score));
        }
        assert_eq!(best >= view.alert, surprising, "{days} days: {best}");
    }
}

#[test]
fn bad_inputs_are_harmless() {
    let (view, tuning) = (view(true), Tuning::default());
    let gauge = View { counter: false, ..view };
    for view in [view, gauge] {
        let (mut series, mut random) = (Series::default(), Random::new(9));
        let odd = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 0.0, -0.0, f64::MAX, f64::MIN];
        let more = [f64::MIN_POSITIVE, -1.0, 4_294_967_295.0, 1e300, -1e300, 1e-300];
        let mut time = START_MS;
        for step in 0..50_000 {
            let value = match step % 97 {
                n @ 0..7 => odd[n],
                n @ 7..13 => more[n - 7],
                _ => random.normal() * 100.0,
            };
            // Forth, not at all, back a little, back far, and a leap.
            time += match step % 61 {
                0 => 0,
                1 => -5_000,
                2 => -86_400_000,
                3 => 10 * 86_400_000,
                4 => 1,
                _ => 30_000,
            };
            if let Some(score) = series.observe(time, value, &view, &tuning) {
                assert!(score.surprise.is_finite() && score.score.is_finite(), "{score:?}");
                assert!(score.surprise >= 0.0 && score.surprise < 200.0, "{score:?}");
            }
        }
        for time in [i64::MIN, i64::MAX, 0, -1] {
            series.observe(time, 1.0, &view, &tuning);
        }
    }
}

#[test]
fn gaps_resets_wraps_and_late_samples_are_not_findings() {
    let (view, tuning) = (view(true), Tuning::default());
    let (mut series, mut random) = (Series::default(), Random::new(3));
    let (mut total, mut time) = (4e9_f64, START_MS);
    let mut worst = 0.0_f32;
    for minute in 0..4 * PER_DAY {
        total += 1e6 + 2e4 * random.normal();
        time += 60_000;
        let shown = total % 4_294_967_296.0;
        match minute % 1000 {
            500 => time += 3_600_000,
            600 => total = 0.0,
            700 => drop(series.observe(time - 90_000, shown, &view, &tuning)),
            800 => continue,
            _ => {}
        }
        let score = series.observe(time, shown, &view, &tuning);
        worst = worst.max(score.map_or(0.0, |s| s.score));
    }
    assert!(worst < view.alert, "{worst}");
}

#[test]
fn series_that_is_rarely_there_is_judged_whenever_it_comes() {
    let (view, tuning) = (view(false), Tuning::default());
    let (mut series, mut random) = (Series::default(), Random::new(21));
    let mut worst = 0.0_f32;
    for hour in 0..1000 {
        let value = 50.0 + random.normal();
        let score = series.observe(START_MS + hour * 3_600_000, value, &view, &tuning);
        worst = worst.max(score.map_or(0.0, |s| s.score));
    }
    assert!(worst < view.alert, "{worst}");
    assert_eq!(series.steps(), 999);
    let found = (1000..1004).any(|hour| {
        let score = series.observe(START_MS + hour * 3_600_000, 5000.0, &view, &tuning);
        score.is_some_and(|s| s.score >= view.alert)
    });
    assert!(found);
}

#[test]
fn samples_within_a_minute_are_one_step() {
    let (view, tuning) = (View { gap_ms: 50_000, ..view(false) }, Tuning::default());
    let (mut series, mut random) = (Series::default(), Random::new(3));
    let mut steps = 0;
    for tick in 0..3600 {
        let score = series.observe(START_MS + tick * 10_000, random.normal(), &view, &tuning);
        steps += u32::from(score.is_some());
    }
    assert!((599..=601).contains(&steps), "{steps}");
}

#[test]
fn constant_series_has_no_model_and_a_varying_one_is_at_most_400_bytes() {
    let (view, tuning) = (view(false), Tuning::default());
    let mut series = Series::default();
    for minute in 0..10_000 {
        assert!(series.observe(START_MS + minute * 60_000, 7.25, &view, &tuning).is_none());
    }
    assert!(series.bytes() <= 48, "{}", series.bytes());
    assert_eq!(series.steps(), 9_999, "the first sample begins a step");
    assert!(series.observe(START_MS + 10_000 * 60_000, 7.5, &view, &tuning).is_some());
    assert!(series.bytes() + size_of::<super::super::Watch>() - size_of::<Series>() <= 400);
}
