//! What peers speak, written and read as their own clients and servers do it in the main, with
//! what can be kept from message to message kept: a comparison should not be won by a bad
//! stand-in.

pub(crate) mod otlp;
pub(crate) mod remote_write;
pub(crate) mod text;

use anyhow::Context as _;

use crate::material::{Round, Series};

/// A message's samples: rounds of one node that have the same shapes.
pub(crate) struct Message<'a> {
    pub(crate) rounds: &'a [Round],
    /// The labels of all shapes.
    pub(crate) series: &'a [Vec<Series>],
}

impl Message<'_> {
    /// Samples in it.
    pub(crate) fn samples(&self) -> usize {
        self.rounds.iter().map(Round::samples).sum()
    }

    /// Every series with its value at each round.
    fn columns(&self) -> impl Iterator<Item = (&Series, impl Iterator<Item = (i64, f64)>)> {
        let parts =
            self.rounds.first().into_iter().flat_map(|round| round.parts.iter().enumerate());
        parts.flat_map(move |(part, (shape, _))| {
            self.series[*shape].iter().enumerate().map(move |(column, series)| {
                let values = self.rounds.iter().map(move |r| (r.time_ms, r.parts[part].1[column]));
                (series, values)
            })
        })
    }
}

/// Rounds in messages of `ticks`, each of one set of shapes.
pub(crate) fn messages(rounds: &[Round], ticks: usize) -> impl Iterator<Item = &[Round]> {
    let shapes = |round: &Round| round.parts.iter().map(|(shape, _)| *shape).collect::<Vec<_>>();
    rounds.chunk_by(move |a, b| shapes(a) == shapes(b)).flat_map(move |same| same.chunks(ticks))
}

/// Writes an HTTP/1.1 request's head, as the peers' clients send it.
pub(crate) fn post_head(path: &str, headers: &[(&str, &str)], length: usize) -> String {
    let mut head = format!("POST {path} HTTP/1.1\r\nHost: 127.0.0.1:9090\r\n");
    for (name, value) in headers {
        head += &format!("{name}: {value}\r\n");
    }
    head + &format!("Content-Length: {length}\r\n\r\n")
}

fn truncated() -> anyhow::Error {
    anyhow::anyhow!("message ends in the middle")
}

/// Takes a number out of text.
fn parse(text: &str) -> anyhow::Result<f64> {
    text.parse().with_context(|| format!("{text:?} is no number"))
}
