//! Asks the kernel about a physical function's virtual functions, as little as it must.
//!
//! The kernel asks the driver about each of them while it holds the lock of all networking: 0.1
//! to 2 ms each. So they are asked about one device at a time, rarely, and more rarely when it
//! is slow. What is asked for depends on their number, because the answer's list cannot be
//! longer than 64 KB: 296 bytes each with counters, 196 without.
//!
//! Drivers that do not count per virtual function say zero. Counters are believed when one of
//! them was seen above zero, and called unsupported when none was while the physical function's
//! own moved [`ZERO_POLLS`] times.

use std::time::{Duration, Instant};

use super::backoff::Backoff;
use super::inventory::Pf;
use super::vf_info::{self, Link, VfInfo};
use crate::netlink::NetlinkError;
use crate::netlink::route::{Mask, Route};

/// With more than this the list wraps at 222.
const MOST_WITH_STATS: usize = 220;
/// With more than this the list wraps at 335 even without counters.
const MOST_WITHOUT_STATS: usize = 330;
/// So often all counters may be zero while the physical function's move.
const ZERO_POLLS: u32 = 3;

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Mode {
    /// Configuration and counters.
    Full,
    /// Configuration.
    NoStats,
    /// Nothing: there is only what sysfs tells.
    Sysfs,
}

impl Mode {
    /// The label.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::NoStats => "no_stats",
            Self::Sysfs => "sysfs",
        }
    }

    const fn for_vfs(count: usize) -> Self {
        if count <= MOST_WITH_STATS {
            Self::Full
        } else if count <= MOST_WITHOUT_STATS {
            Self::NoStats
        } else {
            Self::Sysfs
        }
    }

    const fn less(self) -> Self {
        match self {
            Self::Full => Self::NoStats,
            Self::NoStats | Self::Sysfs => Self::Sysfs,
        }
    }

    const fn mask(self) -> Option<Mask> {
        match self {
            Self::Full => Some(Mask::VF),
            Self::NoStats => Some(Mask::VF_WITHOUT_STATS),
            Self::Sysfs => None,
        }
    }
}

/// Whether the driver counts per virtual function.
#[derive(Debug, Default)]
struct Support {
    known: Option<bool>,
    zero_polls: u32,
    /// The physical function's at the last poll.
    packets: Option<u64>,
}

impl Support {
    fn observe(&mut self, link: &Link) {
        let mut stats = link.vfs.iter().filter_map(|vf| vf.stats).peekable();
        if stats.peek().is_none() {
            return;
        }
        let moved = self.packets.replace(link.packets).is_some_and(|last| last != link.packets);
        if !stats.all(|stats| stats.is_zero()) {
            self.known = Some(true);
        } else if moved && self.known.is_none() {
            self.zero_polls += 1;
            if self.zero_polls >= ZERO_POLLS {
                self.known = Some(false);
            }
        }
    }
}

/// Why nothing was learned.
#[derive(Debug, thiserror::Error)]
pub(super) enum ReadError {
    #[error("ask about the virtual functions of {name}")]
    Netlink { name: String, source: NetlinkError },
    /// The agent is in another network namespace than sysfs shows.
    #[error("{name} is {other} for netlink")]
    Other { name: String, other: String },
}

/// The state of asking about one physical function.
#[derive(Debug)]
pub(super) struct VfReader {
    backoff: Backoff,
    /// Nothing above this was answered, with so many virtual functions.
    limit: (Mode, usize),
    driver: String,
    support: Support,
    mode: Mode,
    took: Option<Duration>,
    fresh: bool,
    vfs: Vec<VfInfo>,
}

impl VfReader {
    /// Nothing asked yet; ticks come once an `interval`.
    pub(super) fn new(interval: Duration) -> Self {
        Self {
            backoff: Backoff::new(interval),
            limit: (Mode::Full, 0),
            driver: String::new(),
            support: Support::default(),
            mode: Mode::Full,
            took: None,
            fresh: false,
            vfs: Vec::new(),
        }
    }

    /// Asks, if it is time to.
    pub(super) fn read(
        &mut self,
        pf: &Pf,
        route: &mut Route,
        clock: fn() -> Instant,
    ) -> Result<(), ReadError> {
        self.fresh = false;
        self.took = None;
        if self.limit.1 != pf.vfs.len() {
            self.limit = (Mode::Full, pf.vfs.len());
        }
        if self.driver != pf.driver {
            self.driver.clone_from(&pf.driver);
            self.support = Support::default();
        }
        self.mode = Mode::for_vfs(pf.vfs.len()).max(self.limit.0);
        let Some(netdev) = pf.netdev.as_ref().filter(|_| !pf.vfs.is_empty()) else {
            self.vfs.clear();
            return Ok(());
        };
        if self.mode == Mode::Sysfs {
            self.vfs.clear();
            return Ok(());
        }
        if !self.backoff.due() {
            return Ok(());
        }
        while let Some(mask) = self.mode.mask() {
            let mut answer = None;
            let before = clock();
            let asked = route.link(netdev.index, mask, &mut |link| {
                answer = Some(vf_info::parse(link.attributes));
            });
            let took = clock().saturating_duration_since(before);
            self.took = Some(self.took.unwrap_or_default() + took);
            self.backoff.took(took);
            match (asked, answer) {
                (Ok(()), Some(link)) if !link.damaged => return self.learn(pf, link),
                (Err(error), _) if !error.is_too_large() => {
                    let name = pf.name.clone();
                    return Err(ReadError::Netlink { name, source: error });
                }
                // Too large for a message, or for the list in it.
                _ => {
                    self.mode = self.mode.less();
                    self.limit.0 = self.mode;
                    tracing::info!(
                        pf = pf.name,
                        mode = self.mode.name(),
                        "virtual functions do not fit into an answer, less is asked for"
                    );
                }
            }
        }
        self.vfs.clear();
        Ok(())
    }

    fn learn(&mut self, pf: &Pf, link: Link) -> Result<(), ReadError> {
        let other = match link.parent {
            Some(parent) if parent != pf.pci => Some(parent),
            None if link.name != pf.name => Some(link.name.clone()),
            _ => None,
        };
        if let Some(other) = other {
            self.vfs.clear();
            return Err(ReadError::Other { name: pf.name.clone(), other });
        }
        let link = Link { parent: None, ..link };
        self.support.observe(&link);
        self.vfs = link.vfs;
        self.fresh = true;
        Ok(())
    }

    /// What was last told of a virtual function.
    pub(super) fn vf(&self, number: u32) -> Option<&VfInfo> {
        self.vfs.iter().find(|vf| vf.number == number)
    }

    /// How many were last told of.
    pub(super) fn count(&self) -> usize {
        self.vfs.len()
    }

    /// Whether it was told at this tick.
    pub(super) const fn is_fresh(&self) -> bool {
        self.fresh
    }

    /// How long the kernel took at this tick; `None` if it was not asked.
    pub(super) const fn took(&self) -> Option<Duration> {
        self.took
    }

    /// The time between two questions now.
    pub(super) fn interval(&self) -> Duration {
        self.backoff.interval()
    }

    /// What is asked for now.
    pub(super) const fn mode(&self) -> Mode {
        self.mode
    }

    /// Whether the driver counts per virtual function; `None` until it is known.
    pub(super) const fn counts(&self) -> Option<bool> {
        self.support.known
    }
}
