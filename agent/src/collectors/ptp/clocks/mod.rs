//! Clocks of the node beside ptp4l: PTP hardware clocks, DPLL, GNSS, and what disciplines the
//! system clock.
//!
//! Everything is read in the collector's first tier and keeps its own time: hardware is asked at
//! most once a second however often that tier comes, and looked for every ten. What changes
//! rarely is kept and set again, so that a steady tick allocates nothing.

pub mod config;

mod chrony;
mod dpll;
mod genetlink;
mod gnss;
mod phc;
mod phc2sys;
mod sys;
mod sysfs;
mod system;
mod tsinfo;

use std::time::Instant;

pub use self::config::ClocksConfig;
pub use self::phc2sys::Phc2sysSource;
use self::system::Known;
use super::config::PtpConfig;
use super::metrics as m;
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
    /// Half the window of the measurement; 0 where hardware takes both times at one instant.
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
    /// Its error against its source, positive if it is ahead; `None` where it is not known.
    pub offset_ns: Option<f64>,
    pub source: OsClockSource,
    /// The kernel takes it for synchronized.
    pub synced: bool,
}

/// What runs on the node, as far as it changes what is read and what it means.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Daemons {
    /// A phc2sys that sets the system clock; not one that sets a PHC by the system's.
    pub phc2sys: bool,
    /// The PHC that it copies, if its arguments or ptp4l tell; without, the only one counts.
    pub phc2sys_source: Option<i32>,
    /// While it runs, PHCs of drivers that might lose its time stamps are not read.
    pub ts2phc: bool,
    /// gpsd is connected to only while it runs: a connection might start it.
    pub gpsd: bool,
}

/// Reads the clocks.
pub struct Clocks {
    phcs: phc::Phcs,
    tsinfo: tsinfo::TsInfo,
    dplls: dpll::Dplls,
    gnss: gnss::Gnss,
    chrony: chrony::Chrony,
    /// `None` if it is not looked at.
    system: Option<system::System>,
    daemons: Daemons,
}

impl Clocks {
    #[must_use]
    pub fn new(paths: &Paths, config: &PtpConfig) -> Self {
        let config = &config.clocks;
        Self {
            phcs: phc::Phcs::new(paths, config.phc),
            tsinfo: tsinfo::TsInfo::new(paths),
            dplls: dpll::Dplls::new(),
            gnss: gnss::Gnss::new(config.gpsd_address()),
            chrony: chrony::Chrony::new(config.chrony_address()),
            system: config.system.then(system::System::default),
            daemons: Daemons::default(),
        }
    }

    /// Says what runs, from the next [`Clocks::collect`] on.
    pub fn set_daemons(&mut self, daemons: Daemons) {
        self.daemons = daemons;
    }

    /// Reads what is due in a tier of the collector (0: every tick) and sets it.
    pub fn collect(&mut self, batch: &mut Batch, utc: UtcOffset, tier: usize) {
        if tier == 0 {
            self.collect_at(batch, utc, Instant::now());
        }
    }

    /// Reads what is due at an instant, as a first tier would.
    pub fn collect_at(&mut self, batch: &mut Batch, utc: UtcOffset, now: Instant) {
        let clocks_changed = self.phcs.collect(batch, now, self.daemons.ts2phc);
        self.tsinfo.collect(batch, now, clocks_changed);
        self.dplls.collect(batch, now);
        self.gnss.collect(batch, now, self.daemons.gpsd);
        self.chrony.collect(batch, now);
        let known = Known {
            phc2sys: self.daemons.phc2sys.then(|| self.phc2sys_offset_ns(utc)),
            chrony: self.chrony.system_offset_ns(),
        };
        if let Some(system) = &mut self.system {
            system.update(batch, &known, sys::system_steering());
        }

        self.phcs.set(batch, utc);
        self.tsinfo.set(batch);
        self.dplls.set(batch);
        self.gnss.set(batch);
        self.chrony.set(batch);
        if let Some(system) = &self.system {
            system.set(batch);
        }
        self.set_malformed(batch);
    }

    /// By how much the system is ahead of the PHC that phc2sys copies.
    fn phc2sys_offset_ns(&self, utc: UtcOffset) -> Option<f64> {
        let source = self.daemons.phc2sys_source.or_else(|| self.phcs.only())?;
        Some(f64::from(utc.0?) * 1e9 - self.phc(source)?.offset_ns)
    }

    fn set_malformed(&self, batch: &mut Batch) {
        // Every node has these sources, but few have what they tell of.
        if !self.any() {
            return;
        }
        let counts = [
            ("tsinfo", self.tsinfo.malformed()),
            ("dpll", self.dplls.malformed()),
            ("gpsd", self.gnss.malformed()),
            ("chrony", self.chrony.malformed()),
        ];
        let mut node = batch.node();
        for (source, count) in counts {
            node.set_with(&m::MALFORMED, &[("source", source)], count as f64);
        }
    }

    /// Whether there is a PHC, a DPLL, a GNSS receiver or a chronyd.
    #[must_use]
    pub fn any(&self) -> bool {
        self.phcs.any() || self.dplls.any() || self.gnss.any() || self.chrony.any()
    }

    /// Whether something sets the node's clocks by a reference: without, nobody expects them to
    /// be locked.
    #[must_use]
    pub fn are_steered(&self) -> bool {
        let Daemons { phc2sys, ts2phc, gpsd, .. } = self.daemons;
        phc2sys || ts2phc || gpsd || self.chrony.any()
    }

    /// The last reading of a PHC.
    #[must_use]
    pub fn phc(&self, index: i32) -> Option<PhcReading> {
        self.phcs.reading(index)
    }

    /// The PHC that stamps for a network device. Asked for each port at each tick: from memory.
    #[must_use]
    pub fn phc_of_netdev(&self, netdev: &str) -> Option<i32> {
        self.tsinfo.phc(netdev)
    }

    /// The last reading of the system clock.
    #[must_use]
    pub fn os_clock(&self) -> Option<OsClock> {
        self.system.as_ref()?.clock()
    }
}

#[cfg(test)]
mod tests;
