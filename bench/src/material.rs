//! What all systems of a comparison are given: the same samples, under the same labels.

use std::sync::OnceLock;

use sextant_bench::telemetry::{self, Recording, Shape, Telemetry};
use sextant_proto::v1::MetricKind;

/// Names that the aggregator and the peers' senders give.
pub(crate) const CLUSTER: &str = "bench";

/// The recording that comes with the bench.
pub(crate) fn host() -> anyhow::Result<&'static Recording> {
    static HOST: OnceLock<Recording> = OnceLock::new();
    if let Some(host) = HOST.get() {
        return Ok(host);
    }
    let read = telemetry::host()?;
    Ok(HOST.get_or_init(|| read))
}

/// A simulated node's name.
pub(crate) fn node_name(index: u64) -> String {
    format!("node-{index:05}")
}

/// What one node reads at one instant.
#[derive(Debug, Clone, Default)]
pub(crate) struct Round {
    pub(crate) time_ms: i64,
    /// Shapes by number, with their values.
    pub(crate) parts: Vec<(usize, Vec<f64>)>,
}

impl Round {
    /// Samples in it.
    pub(crate) fn samples(&self) -> usize {
        self.parts.iter().map(|(_, values)| values.len()).sum()
    }
}

/// One node, round by round.
pub(crate) struct Node<T> {
    pub(crate) name: String,
    telemetry: T,
}

impl<T: Telemetry> Node<T> {
    pub(crate) fn new(name: String, telemetry: T) -> Self {
        Self { name, telemetry }
    }

    pub(crate) fn shapes(&self) -> &[Shape] {
        self.telemetry.shapes()
    }

    /// The labels of all series, shape by shape.
    pub(crate) fn labels(&self) -> Vec<Vec<Series>> {
        self.shapes().iter().map(|shape| series(shape, &self.name)).collect()
    }

    /// The next round; `None` at the end.
    pub(crate) fn next_round(&mut self) -> Option<Round> {
        let mut round = Round::default();
        for _ in 0..self.telemetry.ticks_per_round() {
            let tick = self.telemetry.next_tick()?;
            round.time_ms = tick.time_ms;
            round.parts.push((tick.index, tick.values.to_vec()));
        }
        Some(round)
    }

    /// So many rounds at most; fewer at the end.
    pub(crate) fn rounds(&mut self, count: usize) -> Vec<Round> {
        std::iter::from_fn(|| self.next_round()).take(count).collect()
    }
}

/// A series as peers know it: name and labels, sorted by name as remote write wants it.
#[derive(Debug, Clone)]
pub(crate) struct Series {
    pub(crate) metric: String,
    pub(crate) kind: MetricKind,
    /// With `__name__`, `cluster` and `node`.
    pub(crate) labels: Vec<(String, String)>,
}

impl Series {
    /// The labels that its own node gives it.
    pub(crate) fn own_labels(&self) -> impl Iterator<Item = &(String, String)> {
        self.labels
            .iter()
            .filter(|(name, _)| !matches!(name.as_str(), "__name__" | "cluster" | "node"))
    }
}

/// The series of a shape under a node's name.
pub(crate) fn series(shape: &Shape, node: &str) -> Vec<Series> {
    let columns = shape.columns().map(|(metric, kind, own)| {
        let mut labels = vec![
            ("__name__".to_owned(), metric.to_owned()),
            ("cluster".to_owned(), CLUSTER.to_owned()),
            ("node".to_owned(), node.to_owned()),
        ];
        // An empty value is no label there.
        let own = own.into_iter().filter(|label| !label.value.is_empty());
        labels.extend(own.map(|label| (label.name.clone(), label.value.clone())));
        labels.sort();
        Series { metric: metric.to_owned(), kind, labels }
    });
    columns.collect()
}

#[cfg(test)]
mod tests {
    use sextant_bench::telemetry::{Generated, SERIES};

    use super::*;

    #[test]
    fn recorded_host_is_long_enough_and_names_no_machine() {
        let host = host().unwrap();
        assert!(host.ticks() >= 1_000, "{}", host.ticks());
        assert!((300..600).contains(&(host.samples() / host.ticks())));
        let mut node = Node::new("n".into(), host.replay());
        assert_eq!(node.rounds(3).len(), 3);
        for series in node.labels().iter().flatten() {
            let clean = |(name, value): &(String, String)| match name.as_str() {
                "nodename" | "address" | "release" | "version" | "serial" => {
                    value.starts_with(name.as_str())
                }
                "mountpoint" => value == "/",
                _ => true,
            };
            assert!(series.labels.iter().all(clean), "{series:?}");
        }
    }

    #[test]
    fn round_has_all_collectors_of_a_node() {
        let mut node = Node::new(node_name(0), Generated::new(1, 0, 1_700_000_000_000, 10_000));
        let rounds = node.rounds(2);
        assert_eq!(rounds[0].samples(), SERIES);
        assert_eq!(rounds[1].time_ms - rounds[0].time_ms, 10_000);
        let labels = node.labels();
        assert!(labels.iter().flatten().all(|series| series.labels.is_sorted()));
    }
}
