//! SIMULATION, for tests and measurements: what a telco node shows to an agent, made up.
//!
//! A ptp4l that answers on its management socket ([`ptp4l`]), a kernel at the other end of
//! netlink sockets ([`netlink`], [`kernel`], from another process by [`remote`]), and a sysfs tree of SR-IOV devices ([`tree`]).
//! Nothing here is part of a product, and no time in real hardware or a real kernel is in it.
//! It knows nothing of the agent: the bytes are written by hand after the kernel's and
//! linuxptp's headers, so that both sides cannot be wrong in the same way. It runs on threads of
//! its own; one that cannot go on panics.

#![allow(clippy::unwrap_used, reason = "a simulation that cannot go on has failed")]

pub mod kernel;
pub mod netlink;
pub mod ptp4l;
pub mod remote;
pub mod tree;
