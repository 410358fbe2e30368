//! Sextant's node agent: reads the node, spools what it read, and sends it to an aggregator.

pub mod clock;
pub mod collectors;
pub mod sample;
pub mod spool;
