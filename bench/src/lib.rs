//! Telemetry of nodes that benchmarks and tests feed to Sextant and to its peers: made up, or
//! recorded on a real host. The program `sextant-bench` is the rest.

pub mod telemetry;
