//! How the kernel disciplines the clock, from adjtimex(2). Becoming synchronized or not is an
//! event.

use sextant_proto::v1::Severity;

use super::Source;
use super::buffer::Buffer;
use super::metrics::clock as m;
use super::syscalls::{Syscalls, Timex};
use crate::collectors::CollectError;
use crate::sample::{Batch, node_event};

/// What adjtimex(2) returns when the clock is not synchronized.
const TIME_ERROR: i32 = 5;

/// Set in `status` when offsets are in nanoseconds, not microseconds.
const STA_NANO: i32 = 0x2000;

/// Frequencies are in millionths, with 16 bits after the point.
const PPM_16: f64 = 1_000_000.0 * 65_536.0;

pub(super) struct Discipline {
    adjtimex: fn() -> std::io::Result<Timex>,
    synchronized: Option<bool>,
}

impl Discipline {
    pub(super) fn new(syscalls: &Syscalls) -> Self {
        Self { adjtimex: syscalls.adjtimex, synchronized: None }
    }
}

impl Source for Discipline {
    fn read(&mut self, batch: &mut Batch, _: &mut Buffer) -> Result<(), CollectError> {
        let timex = (self.adjtimex)()
            .map_err(|source| CollectError::Read { what: "adjtimex".into(), source })?;
        let synchronized = timex.state != TIME_ERROR;
        if self.synchronized.is_some_and(|before| before != synchronized) {
            batch.event(if synchronized {
                let message = "the clock is synchronized".into();
                node_event("host.clock_synchronized", Severity::Info, message)
            } else {
                let message = "the clock is not synchronized any more".into();
                node_event("host.clock_unsynchronized", Severity::Warning, message)
            });
        }
        self.synchronized = Some(synchronized);
        let mut node = batch.node();
        for (field, value) in m::TIMEX.iter().zip(values(&timex, synchronized)) {
            node.set(&field.metric, value);
        }
        Ok(())
    }
}

/// The values in the order of [`m::TIMEX`].
fn values(t: &Timex, synchronized: bool) -> [f64; 17] {
    let divisor = if t.status & STA_NANO == 0 { 1e6 } else { 1e9 };
    [
        f64::from(u8::from(synchronized)),
        t.offset as f64 / divisor,
        1.0 + t.freq as f64 / PPM_16,
        t.maxerror as f64 / 1e6,
        t.esterror as f64 / 1e6,
        f64::from(t.status),
        t.constant as f64,
        t.tick as f64 / 1e6,
        t.ppsfreq as f64 / PPM_16,
        t.jitter as f64 / divisor,
        f64::from(t.shift),
        t.stabil as f64 / PPM_16,
        t.jitcnt as f64,
        t.calcnt as f64,
        t.errcnt as f64,
        t.stbcnt as f64,
        f64::from(t.tai),
    ]
}

#[cfg(test)]
mod tests {
    use super::super::test_text::tick;
    use super::*;

    #[test]
    fn change_of_synchronization_is_an_event_but_the_first_reading_is_not() {
        fn state(state: i32) -> std::io::Result<Timex> {
            Ok(Timex { state, ..Timex::default() })
        }
        let mut source = Discipline::new(&Syscalls::live());
        let mut kinds = |adjtimex| {
            source.adjtimex = adjtimex;
            tick(&mut source).2.into_iter().map(|e| e.r#type).collect::<Vec<_>>()
        };
        assert!(kinds(|| state(5)).is_empty());
        assert_eq!(kinds(|| state(0)), ["host.clock_synchronized"]);
        assert!(kinds(|| state(1)).is_empty());
        assert!(kinds(|| Err(std::io::ErrorKind::PermissionDenied.into())).is_empty());
        assert_eq!(kinds(|| state(5)), ["host.clock_unsynchronized"]);
    }

    #[test]
    fn offsets_are_in_the_unit_that_the_status_says() {
        let timex = Timex { offset: 1500, jitter: 3, ..Timex::default() };
        assert_eq!(values(&timex, true)[1], 0.0015);
        assert_eq!(values(&Timex { status: STA_NANO, ..timex }, true)[1], 0.000_001_5);
    }
}
