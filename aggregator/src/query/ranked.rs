//! The largest or smallest of many values.

use super::{QueryError, Sample};

/// How many of which end are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ranked {
    All,
    Top(usize),
    Bottom(usize),
}

impl Ranked {
    /// From two limits, of which 0 is none.
    ///
    /// # Errors
    /// When both are given.
    pub fn new(top: usize, bottom: usize) -> Result<Self, QueryError> {
        match (top, bottom) {
            (0, 0) => Ok(Self::All),
            (top, 0) => Ok(Self::Top(top)),
            (0, bottom) => Ok(Self::Bottom(bottom)),
            _ => Err(QueryError::Invalid(
                "limit_top and limit_bottom exclude each other: ask for one of them".into(),
            )),
        }
    }

    /// Those that are wanted, the outermost first; equal ones by their series' age. NaN has no
    /// rank and is left out.
    #[must_use]
    pub fn pick(self, mut samples: Vec<Sample>) -> Vec<Sample> {
        let (wanted, falls) = match self {
            Self::All => return samples,
            Self::Top(wanted) => (wanted, true),
            Self::Bottom(wanted) => (wanted, false),
        };
        samples.retain(|sample| !sample.value.is_nan());
        let order = |a: &Sample, b: &Sample| {
            let values = a.value.total_cmp(&b.value);
            let values = if falls { values.reverse() } else { values };
            values.then(a.series.id.cmp(&b.series.id))
        };
        if wanted < samples.len() {
            samples.select_nth_unstable_by(wanted, order);
            samples.truncate(wanted);
        }
        samples.sort_unstable_by(order);
        samples
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use sextant_proto::v1::MetricKind;

    use super::*;
    use crate::series::{NodeId, NodeKey, Series, SeriesId};

    fn samples(values: &[f64]) -> Vec<Sample> {
        let node = Arc::new(NodeKey { id: NodeId(0), cluster: "c".into(), name: "a".into() });
        let sample = |(id, &value): (u32, &f64)| {
            let series = Arc::new(Series {
                id: SeriesId(id),
                node: Arc::clone(&node),
                metric: "m".into(),
                kind: MetricKind::Gauge,
                entity_type: "node".into(),
                entity: vec![],
                labels: vec![],
            });
            Sample { series, time_ms: 0, value }
        };
        (0..).zip(values).map(sample).collect()
    }

    #[test]
    fn outermost_come_first_and_equal_ones_in_their_order() {
        let f = |top, bottom, want: &[u32]| {
            let all = samples(&[3.0, f64::NAN, 9.0, -1.0, 9.0, f64::INFINITY, 3.0]);
            let picked = Ranked::new(top, bottom).expect("one limit").pick(all);
            assert_eq!(picked.iter().map(|s| s.series.id.0).collect::<Vec<_>>(), want);
        };
        f(3, 0, &[5, 2, 4]);
        f(0, 2, &[3, 0]);
        f(100, 0, &[5, 2, 4, 0, 6, 3]);
        f(0, 0, &[0, 1, 2, 3, 4, 5, 6]);
        assert!(Ranked::new(1, 1).is_err());
    }
}
