use super::rows::Sampler;
use crate::cli::fake::{self, NOW_MS};
use sextant_proto::v1::InstantSample;

fn sample(time_ms: i64, value: f64) -> Vec<InstantSample> {
    let series = Some(fake::series("x_total", &[]));
    vec![InstantSample { series, time_unix_ms: time_ms, value }]
}

#[test]
fn rate_is_by_the_times_of_the_samples_and_survives_a_reset() {
    let mut sampler = Sampler::default();
    let mut f = |time_ms: i64, value: f64, want: Option<f64>| {
        let rates = sampler.rates("x_total", sample(NOW_MS + time_ms, value));
        assert_eq!(rates.first().map(|s| s.value), want, "{time_ms} {value}");
    };
    f(0, 100.0, None);
    f(2_000, 110.0, Some(5.0));
    f(2_000, 110.0, Some(5.0));
    f(12_000, 110.0, Some(0.0));
    f(14_000, 6.0, Some(3.0));
}

#[test]
fn series_that_is_gone_leaves_nothing_behind() {
    let mut sampler = Sampler::default();
    sampler.rates("x_total", sample(0, 1.0));
    assert!(sampler.rates("x_total", Vec::new()).is_empty());
    assert!(sampler.rates("x_total", sample(1_000, 2.0)).is_empty());
}
