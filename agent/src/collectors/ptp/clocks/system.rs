//! The system clock: what disciplines it, how far it is off, and whether the kernel takes it for
//! synchronized.
//!
//! phc2sys tells nobody what it does, so its offset is the PHC's, less the UTC offset. chronyd
//! tells. Whoever else there is (ntpd, systemd-timesyncd) is known by what it told the kernel.

use std::io;

use super::sys::Steering;
use super::{OsClock, OsClockSource};
use crate::collectors::ptp::metrics as m;
use crate::sample::Batch;

/// What clock_adjtime(2) returns for a clock that is not synchronized.
const TIME_ERROR: i32 = 5;
/// The kernel's own loop corrects the offset: it means something.
const STA_PLL: i32 = 0x1;
const STA_UNSYNC: i32 = 0x40;
/// Offsets are in nanoseconds, not microseconds.
const STA_NANO: i32 = 0x2000;
/// `timex.freq`: millionths with 16 bits after the point.
const PPM_16: f64 = 65_536.0 * 1e6;

impl OsClockSource {
    const fn name(self) -> &'static str {
        match self {
            Self::Phc2sys => "phc2sys",
            Self::Chrony => "chrony",
            Self::Ntp => "ntp",
        }
    }
}

/// What is known of the system clock besides what the kernel tells.
pub(super) struct Known {
    /// phc2sys runs; by how much the system is ahead of its PHC, if that is known.
    pub(super) phc2sys: Option<Option<f64>>,
    /// chronyd answers; by how much the system is ahead, if chronyd is synchronized.
    pub(super) chrony: Option<Option<f64>>,
}

/// The system clock at its last reading.
#[derive(Default)]
pub(super) struct System {
    clock: Option<OsClock>,
    frequency: f64,
}

impl System {
    pub(super) fn clock(&self) -> Option<OsClock> {
        self.clock
    }

    /// Takes a reading.
    pub(super) fn update(
        &mut self,
        batch: &mut Batch,
        known: &Known,
        steering: io::Result<Steering>,
    ) {
        self.clock = match steering {
            Ok(steering) => {
                self.frequency = steering.frequency as f64 / PPM_16;
                Some(clock(known, &steering))
            }
            Err(error) => {
                batch.fail("adjtimex", &error);
                None
            }
        };
    }

    /// Sets the last reading.
    pub(super) fn set(&self, batch: &mut Batch) {
        let Some(clock) = self.clock else { return };
        let mut node = batch.node();
        if let Some(offset_ns) = clock.offset_ns {
            let labels = [("source", clock.source.name())];
            node.set_with(&m::SYSTEM_OFFSET, &labels, offset_ns / 1e9);
        }
        node.set(&m::SYSTEM_FREQUENCY, self.frequency);
        node.set(&m::SYSTEM_SYNCED, f64::from(u8::from(clock.synced)));
    }
}

fn clock(known: &Known, steering: &Steering) -> OsClock {
    let synced = steering.state != TIME_ERROR && steering.status & STA_UNSYNC == 0;
    let (source, offset_ns) = if let Some(offset_ns) = known.phc2sys {
        (OsClockSource::Phc2sys, offset_ns)
    } else if let Some(offset_ns) = known.chrony {
        (OsClockSource::Chrony, offset_ns)
    } else {
        let unit = if steering.status & STA_NANO == 0 { 1_000.0 } else { 1.0 };
        let is_told = synced && steering.status & STA_PLL != 0;
        // The kernel's offset is what has to be added.
        (OsClockSource::Ntp, is_told.then(|| -(steering.offset as f64) * unit))
    };
    OsClock { offset_ns, source, synced }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SYNCED: Steering =
        Steering { state: 0, status: STA_PLL | STA_NANO, frequency: 0, offset: 250 };

    fn known(phc2sys: Option<Option<f64>>, chrony: Option<Option<f64>>) -> Known {
        Known { phc2sys, chrony }
    }

    #[test]
    fn phc2sys_comes_before_chrony_and_chrony_before_the_kernel() {
        let f = |known: &Known, source, offset_ns| {
            let clock = clock(known, &SYNCED);
            assert_eq!((clock.source, clock.offset_ns), (source, offset_ns));
        };
        let (p, c) = (Some(Some(7.0)), Some(Some(9.0)));
        f(&known(p, c), OsClockSource::Phc2sys, Some(7.0));
        f(&known(Some(None), c), OsClockSource::Phc2sys, None);
        f(&known(None, c), OsClockSource::Chrony, Some(9.0));
        f(&known(None, Some(None)), OsClockSource::Chrony, None);
        f(&known(None, None), OsClockSource::Ntp, Some(-250.0));
    }

    #[test]
    fn kernels_offset_counts_only_while_its_loop_runs_and_is_synchronized() {
        let f = |change: fn(&mut Steering), offset_ns, synced| {
            let mut steering = SYNCED;
            change(&mut steering);
            let clock = clock(&known(None, None), &steering);
            assert_eq!((clock.offset_ns, clock.synced), (offset_ns, synced), "{steering:?}");
        };
        f(|s| s.status = STA_PLL, Some(-250_000.0), true);
        f(|s| s.status = STA_NANO, None, true);
        f(|s| s.status |= STA_UNSYNC, None, false);
        f(|s| s.state = TIME_ERROR, None, false);
    }

    #[test]
    fn reading_is_set_until_the_kernel_tells_no_more() {
        let mut system = System::default();
        let mut batch = Batch::default();
        batch.begin();
        let steering = Steering { frequency: 65_536_000, ..SYNCED };
        system.update(&mut batch, &known(None, Some(Some(1_000.0))), Ok(steering));
        system.set(&mut batch);
        assert_eq!(batch.finish("ptp", 1).values, [1e-6, 1e-3, 1.0]);
        batch.begin();
        system.update(&mut batch, &known(None, None), Err(io::ErrorKind::PermissionDenied.into()));
        system.set(&mut batch);
        assert_eq!((batch.failures().len(), system.clock()), (1, None));
        assert!(batch.is_empty());
    }
}
