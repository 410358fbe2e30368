//! The aggregator: takes frames from agents, stores them, finds what is wrong in them, and
//! answers questions.

pub mod storage;
