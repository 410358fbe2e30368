//! Sextant's aggregator: takes what agents push, stores it, finds what is wrong, answers queries.

pub mod detect;
pub mod series;
