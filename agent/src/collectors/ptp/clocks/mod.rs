//! Clocks of the node beside ptp4l: PTP hardware clocks, DPLL, GNSS, and what disciplines the
//! system clock.

use super::config::PtpConfig;
use crate::collectors::Paths;
use crate::sample::Batch;

/// TAI minus UTC in seconds as a grandmaster announces it; `None` while nobody does.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct UtcOffset(pub Option<i32>);

/// A PTP hardware clock at its last reading.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PhcReading {
    /// PHC minus system time.
    pub offset_ns: f64,
    /// Half the window of the measurement.
    pub uncertainty_ns: f64,
    /// Frequency adjustment; `None` where the kernel does not tell.
    pub frequency_ppb: Option<f64>,
}

/// What disciplines the system clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OsClockSource {
    Phc2sys,
    Chrony,
    Ntp,
}

/// The system clock at its last reading.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct OsClock {
    /// Its error against its source; `None` where it is not known.
    pub offset_ns: Option<f64>,
    pub source: OsClockSource,
    /// The kernel takes it for synchronized.
    pub synced: bool,
}

/// Reads the clocks.
pub struct Clocks {}

impl Clocks {
    #[must_use]
    pub fn new(_paths: &Paths, _config: &PtpConfig) -> Self {
        Self {}
    }

    /// Reads what is due in a tier of the collector (0: every tick) and sets it.
    pub fn collect(&mut self, _batch: &mut Batch, _utc: UtcOffset, _tier: usize) {}

    /// The last reading of a PHC.
    #[must_use]
    pub fn phc(&self, _index: i32) -> Option<PhcReading> {
        None
    }

    /// The PHC that stamps for a network device. Asked for each port at each tick: from memory.
    #[must_use]
    pub fn phc_of_netdev(&self, _netdev: &str) -> Option<i32> {
        None
    }

    /// The last reading of the system clock.
    #[must_use]
    pub fn os_clock(&self) -> Option<OsClock> {
        None
    }
}
