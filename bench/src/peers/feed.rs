//! Samples on their way into a peer: remote write over two connections, all nodes in step.

use sextant_bench::telemetry::Telemetry;

use super::Peer;
use crate::formats::{Message, messages, remote_write};
use crate::http::Connection;
use crate::material::{Node, Series};

/// What a sender of Prometheus' would have at least; a peer uses more than one core for them.
const CONNECTIONS: usize = 2;
const PATH: &str = "/api/v1/write";

/// One node's samples as requests.
pub(crate) struct Feed<T> {
    node: Node<T>,
    series: Vec<Vec<Series>>,
    encoder: remote_write::Encoder,
}

impl<T: Telemetry> Feed<T> {
    pub(crate) fn new(node: Node<T>) -> Self {
        Self { series: node.labels(), node, encoder: remote_write::Encoder::default() }
    }

    /// Sends the next rounds, in one request if they have one shape; the samples.
    async fn send(&mut self, ticks: usize, connection: &mut Connection) -> anyhow::Result<u64> {
        let rounds = self.node.rounds(ticks);
        let mut samples = 0;
        for rounds in messages(&rounds, ticks) {
            let message = Message { rounds, series: &self.series };
            let body = self.encoder.encode(&message)?;
            connection.post(PATH, &remote_write::HEADERS, &body).await?;
            samples += message.samples() as u64;
        }
        Ok(samples)
    }
}

/// Sends so many rounds of every node, `ticks` a request; the samples that were sent. Fewer where
/// nodes end before.
///
/// # Errors
/// When the peer refuses something.
pub(crate) async fn push<T: Telemetry>(
    peer: &Peer,
    feeds: &mut [Feed<T>],
    rounds: usize,
    ticks: usize,
) -> anyhow::Result<u64> {
    let mut connections = Vec::new();
    for _ in 0..CONNECTIONS {
        connections.push(peer.connect().await?);
    }
    let [first, second] = connections.as_mut_slice() else { return Ok(0) };
    let (left, right) = feeds.split_at_mut(feeds.len().div_ceil(CONNECTIONS));
    let mut samples = 0;
    let mut done = 0;
    while done < rounds {
        let ticks = ticks.min(rounds - done);
        let (a, b) = tokio::try_join!(step(left, ticks, first), step(right, ticks, second))?;
        if a + b == 0 {
            break;
        }
        samples += a + b;
        done += ticks;
    }
    Ok(samples)
}

async fn step<T: Telemetry>(
    feeds: &mut [Feed<T>],
    ticks: usize,
    connection: &mut Connection,
) -> anyhow::Result<u64> {
    let mut samples = 0;
    for feed in feeds {
        samples += feed.send(ticks, connection).await?;
    }
    Ok(samples)
}
