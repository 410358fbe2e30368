//! Sextant's node agent: reads the node, spools what it read, and sends it to an aggregator.

pub mod app;
pub mod clock;
pub mod collectors;
pub mod config;
pub mod health;
pub mod malloc;
pub mod netlink;
pub mod read;
pub mod sample;
pub mod spool;
pub mod stats;
pub mod uplink;
