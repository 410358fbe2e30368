//! Faults as they look from outside, and what is to be made of them.

mod bounds;
mod life;
mod scenarios;
mod world;
