//! Asks an aggregator for every sample of a node, in pieces of bounded size.

use std::collections::HashMap;

use anyhow::Context as _;
use sextant_proto::v1::query_client::QueryClient;
use sextant_proto::v1::{RangeRequest, Series};
use tonic::transport::Channel;

use super::check::{Checker, Tally};
use super::node::{CLUSTER, Node};
use super::plan::Plan;
use super::simulation::key;

/// Samples of one question.
const PIECE_SAMPLES: u64 = 1_000_000;

/// Columns by the names of their series.
pub(super) struct Columns(HashMap<String, usize>);

impl Columns {
    pub(super) fn of(plan: &Plan) -> Self {
        Self(plan.simulation.keys().into_iter().zip(0..).collect())
    }

    /// The column of a series in an answer, which has the node's labels beside its own.
    fn find(&self, series: &Series) -> Option<usize> {
        let own = series.labels.iter().filter(|l| l.name != "cluster" && l.name != "node");
        self.0.get(&key(&series.metric, own)).copied()
    }
}

/// Checks all samples of a node.
///
/// # Errors
/// When the aggregator does not answer.
pub(super) async fn node(
    client: &mut QueryClient<Channel>,
    plan: &Plan,
    columns: &Columns,
    node: u64,
) -> anyhow::Result<Tally> {
    let series = plan.simulation.series() as u64;
    let piece = (PIECE_SAMPLES / series.max(1)).max(1);
    let name = Node::name(node);
    let selector = format!("{{cluster={CLUSTER:?},node={name:?}}}");
    let mut tally = Tally::default();
    let mut next = 0;
    while next < plan.ticks {
        let ticks = next..plan.ticks.min(next + piece);
        next = ticks.end;
        let request = RangeRequest {
            selector: selector.clone(),
            start_unix_ms: plan.time_ms(node, ticks.start),
            end_unix_ms: plan.time_ms(node, ticks.end) - 1,
            step_ms: 0,
            ..RangeRequest::default()
        };
        let mut checker = Checker::new(plan, node, ticks);
        let answer = client.range(request).await;
        let mut answer = answer.with_context(|| format!("ask for {name}"))?.into_inner();
        while let Some(part) = answer.message().await? {
            let column = part.series.as_ref().and_then(|series| columns.find(series));
            for (time_ms, value) in part.times_unix_ms.into_iter().zip(part.values) {
                checker.sample(column, time_ms, value);
            }
        }
        tally.add(checker.finish());
    }
    Ok(tally)
}
