//! Sextant's aggregator: takes what agents send, stores it, finds what is wrong in it, and
//! answers questions about it.

pub mod cli;
