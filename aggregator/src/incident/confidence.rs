//! From the margin of the first cause over the second to a probability that it is right.
//!
//! Everything that a calibration fits is here. The map is monotone in the margin and in what the
//! cause explains: more evidence never makes an answer less sure.

/// The parameters of the map.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Calibration {
    /// The logistic curve's value without any margin, as log-odds.
    pub offset: f64,
    /// Its slope over the relative margin.
    pub slope: f64,
    /// What is left of it when the cause explains nothing but itself.
    pub unexplained: f64,
    /// Below this confidence the answer is "undetermined".
    pub undetermined: f64,
}

impl Default for Calibration {
    fn default() -> Self {
        Self { offset: -0.9, slope: 7.0, unexplained: 0.6, undetermined: 0.35 }
    }
}

/// How probable it is that the first cause is the right one. `margin` is the distance of its
/// score to the next, as a share of its own (0 to 1), `explains` the share of the incident's
/// weight that it explains (0 to 1).
#[must_use]
pub fn confidence(calibration: &Calibration, margin: f64, explains: f64) -> f64 {
    let (margin, explains) = (margin.clamp(0.0, 1.0), explains.clamp(0.0, 1.0));
    let logistic = 1.0 / (1.0 + (-(calibration.offset + calibration.slope * margin)).exp());
    logistic * (calibration.unexplained + (1.0 - calibration.unexplained) * explains)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_margin_and_more_explained_is_never_less_sure() {
        let calibration = Calibration::default();
        let steps = || (0..=20).map(|n| f64::from(n) / 20.0);
        for explains in steps() {
            let of: Vec<f64> = steps().map(|m| confidence(&calibration, m, explains)).collect();
            assert!(of.is_sorted() && of.iter().all(|c| (0.0..=1.0).contains(c)), "{of:?}");
        }
        for margin in steps() {
            let of: Vec<f64> = steps().map(|e| confidence(&calibration, margin, e)).collect();
            assert!(of.is_sorted(), "{of:?}");
        }
        assert!(confidence(&calibration, 0.0, 1.0) < calibration.undetermined);
        assert!(confidence(&calibration, 0.6, 1.0) > 0.9);
    }
}
