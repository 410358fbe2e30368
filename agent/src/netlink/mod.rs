//! A small blocking netlink client: a request and its answers, dumps, and what the kernel says
//! by itself.
//!
//! The kernel answers within the call that sends, so a receive only waits when an answer is
//! missing; the wait is bounded by [`TIMEOUT`]. Messages are read whole whatever their size (up
//! to [`MOST_BYTES`]) into one buffer that is kept, answers to earlier requests are passed over
//! by their sequence number, and nothing that comes is trusted to be as long as it says.
//! [`Netlink::from_fd`] takes any datagram socket, at whose other end a test plays the kernel.

mod attribute;
mod error;
pub mod generic;
pub mod route;
mod socket;

#[cfg(test)]
pub(crate) mod fake;
#[cfg(test)]
mod tests;

pub use attribute::{Attribute, Attributes, Payload};
pub use error::NetlinkError;
pub use socket::{Message, Netlink, Protocol};

use std::time::Duration;

/// How long an answer may take.
pub const TIMEOUT: Duration = Duration::from_secs(2);
/// Largest datagram that is read. The kernel's largest is some ten pages; a device with very
/// many virtual functions makes 70 KB.
pub const MOST_BYTES: usize = 1 << 20;
