//! The driver's own counters of losses (`ethtool -S`), as far as `counters` knows them.
//!
//! The kernel takes the lock of all networking, and some drivers ask their firmware, so this is
//! read with a back-off. Names are asked for again when their number changes.

pub(super) mod counters;
mod ioctl;

use std::io;
use std::time::{Duration, Instant};

use super::backoff::Backoff;
use super::metrics as m;
use crate::sample::EntityValues;

/// Length of a name, `ETH_GSTRING_LEN`.
pub const NAME_BYTES: usize = 32;
/// More counters than any driver has: 128 channels with a hundred each.
pub const MOST_COUNTERS: usize = 1 << 16;

/// The calls, which a test replaces. Each takes the network device's name.
#[derive(Clone, Copy)]
pub struct Ethtool {
    /// How many counters the driver has.
    pub count: fn(&str) -> io::Result<usize>,
    /// Their names, [`NAME_BYTES`] each.
    pub names: fn(&str, usize) -> io::Result<Vec<u8>>,
    /// Their values.
    pub values: fn(&str, usize) -> io::Result<Vec<u64>>,
    /// The firmware's version.
    pub firmware: fn(&str) -> io::Result<String>,
}

impl Ethtool {
    /// The node's own.
    #[must_use]
    pub const fn live() -> Self {
        Self {
            count: ioctl::count,
            names: ioctl::names,
            values: ioctl::values,
            firmware: ioctl::firmware,
        }
    }
}

/// The counters of one network device.
#[derive(Debug)]
pub(super) struct DriverCounters {
    backoff: Backoff,
    netdev: String,
    /// How many the driver has in all, when the names were read.
    count: usize,
    known: Vec<(usize, &'static str)>,
    values: Vec<Option<u64>>,
}

impl DriverCounters {
    /// Nothing read yet; ticks come once an `interval`.
    pub(super) const fn new(interval: Duration) -> Self {
        Self {
            backoff: Backoff::new(interval),
            netdev: String::new(),
            count: 0,
            known: Vec::new(),
            values: Vec::new(),
        }
    }

    /// Reads them, if it is time to. A driver without any is no error.
    pub(super) fn read(
        &mut self,
        netdev: &str,
        driver: &str,
        calls: &Ethtool,
        clock: fn() -> Instant,
    ) -> io::Result<()> {
        self.values.fill(None);
        let wanted = counters::of(driver);
        if wanted.is_empty() || !self.backoff.due() {
            return Ok(());
        }
        let before = clock();
        let read = self.refresh(netdev, wanted, calls);
        self.backoff.took(clock().saturating_duration_since(before));
        match read {
            Err(e) if matches!(e.raw_os_error(), Some(libc::EOPNOTSUPP | libc::ENODEV)) => Ok(()),
            other => other,
        }
    }

    fn refresh(
        &mut self,
        netdev: &str,
        wanted: &'static [&'static str],
        calls: &Ethtool,
    ) -> io::Result<()> {
        let count = (calls.count)(netdev)?;
        if count != self.count || netdev != self.netdev {
            let names = (calls.names)(netdev, count)?;
            let known = names.chunks_exact(NAME_BYTES).enumerate().filter_map(|(at, name)| {
                let end = name.iter().position(|byte| *byte == 0).unwrap_or(NAME_BYTES);
                // Some drivers pad their names.
                let name = name[..end].trim_ascii();
                Some((at, *wanted.iter().find(|wanted| wanted.as_bytes() == name)?))
            });
            self.known = known.collect();
            self.count = count;
            netdev.clone_into(&mut self.netdev);
        }
        let values = (calls.values)(netdev, count)?;
        self.values = self.known.iter().map(|(at, _)| values.get(*at).copied()).collect();
        Ok(())
    }

    /// Sets those that the driver has.
    pub(super) fn set(&self, entity: &mut EntityValues<'_>) {
        for ((_, name), value) in self.known.iter().zip(&self.values) {
            let value = value.map_or(sextant_proto::frame::ABSENT, |value| value as f64);
            entity.set_with(&m::PF_ETHTOOL, &[("counter", name)], value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ICE: Ethtool = Ethtool {
        count: |_| Ok(3),
        names: |_, _| {
            let mut names = vec![0; 3 * NAME_BYTES];
            names[..10].copy_from_slice(b"rx_unicast");
            names[NAME_BYTES..NAME_BYTES + 14].copy_from_slice(b"rx_dropped.nic");
            names[2 * NAME_BYTES..2 * NAME_BYTES + 17].copy_from_slice(b"rx_crc_errors.nic");
            Ok(names)
        },
        values: |_, _| Ok(vec![7, 8]),
        firmware: |_| Ok("4.20".into()),
    };

    fn read(driver: &str, calls: Ethtool) -> (io::Result<()>, Vec<(usize, &'static str)>) {
        let mut counters = DriverCounters::new(Duration::from_secs(15));
        let read = counters.read("eth0", driver, &calls, Instant::now);
        (read, counters.known)
    }

    #[test]
    fn known_losses_are_picked_by_name_and_a_value_too_few_is_absent() {
        let mut counters = DriverCounters::new(Duration::from_secs(15));
        counters.read("eth0", "ice", &ICE, Instant::now).unwrap();
        assert_eq!(counters.known, [(1, "rx_dropped.nic"), (2, "rx_crc_errors.nic")]);
        assert_eq!(counters.values, [Some(8), None]);
    }

    #[test]
    fn driver_without_known_counters_is_not_asked_and_one_without_any_is_no_error() {
        let never = Ethtool { count: |_| panic!("asked"), ..ICE };
        assert!(read("igc", never).1.is_empty());
        let refuses: fn(&str) -> io::Result<usize> =
            |_| Err(io::Error::from_raw_os_error(libc::EOPNOTSUPP));
        assert!(read("ice", Ethtool { count: refuses, ..ICE }).0.is_ok());
        let fails: fn(&str) -> io::Result<usize> =
            |_| Err(io::Error::from_raw_os_error(libc::EPERM));
        assert!(read("ice", Ethtool { count: fails, ..ICE }).0.is_err());
    }

    #[test]
    fn live_calls_answer_for_the_loopback() {
        let live = Ethtool::live();
        let refused = |error: io::Error| error.raw_os_error();
        assert_eq!((live.count)("lo").map_err(refused), Err(Some(libc::EOPNOTSUPP)));
        assert_eq!((live.firmware)("lo").map_err(refused), Err(Some(libc::EOPNOTSUPP)));
        assert!((live.count)("sextant-none").is_err());
        assert!((live.count)(&"x".repeat(16)).is_err());
    }
}
