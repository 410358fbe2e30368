//! Sextant's node agent: reads the node, spools what it read, and sends it to an aggregator.

pub mod collectors;
pub mod sample;
