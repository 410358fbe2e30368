//! What is asked of the kernel directly, in one place: these calls always answer for the live
//! node, whatever `paths` say, so tests put their own here.

use std::sync::Arc;
use std::time::Instant;

use super::ethtool::Ethtool;
use crate::netlink::NetlinkError;
use crate::netlink::generic::Generic;
use crate::netlink::route::{LinkEvents, Route};

type Open<T> = Arc<dyn Fn() -> Result<T, NetlinkError> + Send + Sync>;

/// How to reach the kernel. Sockets are opened when the first device is there, and again after
/// they failed.
#[derive(Clone)]
pub struct Kernel {
    pub route: Open<Route>,
    pub events: Open<LinkEvents>,
    pub generic: Open<Generic>,
    pub ethtool: Ethtool,
    /// Measures how long calls take.
    pub clock: fn() -> Instant,
}

impl Kernel {
    /// The node's own.
    #[must_use]
    pub fn live() -> Self {
        Self {
            route: Arc::new(Route::open),
            events: Arc::new(LinkEvents::open),
            generic: Arc::new(Generic::open),
            ethtool: Ethtool::live(),
            clock: Instant::now,
        }
    }
}
