//! How busy a GPU is over time. Everything else follows from it: power, heat, clocks, bytes.

use serde::{Deserialize, Serialize};

/// The curve.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Shape {
    #[default]
    Idle,
    /// `high` all the time.
    Steady,
    /// Between `low` and `high`.
    Sine,
    /// `high` for nine tenths of the period, then `low`: steps and a checkpoint.
    Training,
    /// Straight lines through `points`, from the start again after the last.
    Points,
}

/// A load. Shares are 0 to 1.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Load {
    pub shape: Shape,
    pub low: f64,
    pub high: f64,
    /// Seconds.
    pub period: f64,
    /// Seconds and share.
    pub points: Vec<[f64; 2]>,
    /// Half width of the noise on the share.
    pub noise: f64,
    /// Memory activity, as a share of the load; as are those below.
    pub memory: f64,
    pub pcie: f64,
    pub nvlink: f64,
    pub tensor: f64,
    pub encoder: f64,
    pub decoder: f64,
    pub jpeg: f64,
    pub optical_flow: f64,
    /// Share of the GPU's memory that the load holds while it runs.
    pub resident: f64,
}

impl Default for Load {
    fn default() -> Self {
        Self {
            shape: Shape::Idle,
            low: 0.0,
            high: 0.9,
            period: 60.0,
            points: Vec::new(),
            noise: 0.02,
            memory: 0.6,
            pcie: 0.05,
            nvlink: 0.3,
            tensor: 0.5,
            encoder: 0.0,
            decoder: 0.0,
            jpeg: 0.0,
            optical_flow: 0.0,
            resident: 0.8,
        }
    }
}

impl Load {
    /// The same share all the time, without noise.
    #[must_use]
    pub fn steady(share: f64) -> Self {
        Self { shape: Shape::Steady, high: share, noise: 0.0, ..Self::default() }
    }

    /// Training steps of `period` seconds.
    #[must_use]
    pub fn training(period: f64) -> Self {
        Self { shape: Shape::Training, low: 0.05, high: 0.95, period, ..Self::default() }
    }

    /// The share at a time, before noise.
    pub(crate) fn at(&self, time: f64) -> f64 {
        let phase = if self.period > 0.0 { (time / self.period).rem_euclid(1.0) } else { 0.0 };
        let share = match self.shape {
            Shape::Idle => 0.0,
            Shape::Steady => self.high,
            Shape::Sine => {
                let half = (1.0 - (phase * std::f64::consts::TAU).cos()) / 2.0;
                self.low + (self.high - self.low) * half
            }
            Shape::Training if phase < 0.9 => self.high,
            Shape::Training => self.low,
            Shape::Points => self.on_lines(time),
        };
        share.clamp(0.0, 1.0)
    }

    fn on_lines(&self, time: f64) -> f64 {
        let (Some(first), Some(last)) = (self.points.first(), self.points.last()) else {
            return 0.0;
        };
        if self.points.len() == 1 || last[0] <= first[0] {
            return first[1];
        }
        let time = first[0] + (time - first[0]).rem_euclid(last[0] - first[0]);
        let after = self.points.iter().position(|p| p[0] > time).unwrap_or(self.points.len() - 1);
        let (a, b) = (self.points[after.max(1) - 1], self.points[after.max(1)]);
        let along = if b[0] > a[0] { (time - a[0]) / (b[0] - a[0]) } else { 1.0 };
        a[1] + (b[1] - a[1]) * along
    }
}
