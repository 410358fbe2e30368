//! What state a clock is in.

pub mod profiles;
