//! What a PTP clock shows against the system clock: the best of a few samples, taken in the best
//! way that its driver has.
//!
//! A sample is the clock's time between two readings of the system's; the narrower the window,
//! the surer it is. Drivers differ: some can tell both at one instant, most read the system's
//! clock right at the register access, and with the rest the window holds the whole bus access.

use std::io;
use std::os::fd::BorrowedFd;

use rustix::time::{ClockId, clock_gettime};

use super::super::sys::{self, Time};

/// A wider window says more about the scheduler than about the clock.
const WIDEST_NS: f64 = 5_000.0;
/// A way that fails so often in a row with an error that may pass is given up.
const MOST_FAILURES: u32 = 3;
/// The system's two clocks may go apart by so much in one reading (500 ppm of slewing, doubled,
/// and the time that reading takes), else the system clock was set meanwhile.
const SLEW: f64 = 0.001;
const SLEW_NS: f64 = 1_000.0;

/// How a clock is read, best first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Method {
    Precise,
    Extended,
    Basic,
}

impl Method {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Precise => "precise",
            Self::Extended => "extended",
            Self::Basic => "basic",
        }
    }

    const fn next(self) -> Option<Self> {
        match self {
            Self::Precise => Some(Self::Extended),
            Self::Extended => Some(Self::Basic),
            Self::Basic => None,
        }
    }
}

/// One reading of a clock.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Sample {
    pub(super) clock_ns: i128,
    pub(super) system_ns: i128,
    /// How long it took; 0 where the hardware takes both times at one instant.
    pub(super) window_ns: f64,
    /// The raw monotonic clock at the same instant; `None` if the system clock was set meanwhile.
    pub(super) raw_ns: Option<i128>,
}

impl Sample {
    /// The clock minus the system's.
    pub(super) fn offset_ns(&self) -> f64 {
        (self.clock_ns - self.system_ns) as f64
    }
}

/// Why there is no reading.
#[derive(Debug, thiserror::Error)]
pub(super) enum SampleError {
    #[error("the driver tells no time against the system's")]
    Unsupported,
    #[error("the reading took longer than 5 us")]
    Window,
    #[error("read the clock")]
    Read(#[source] io::Error),
}

/// Finds out how a clock can be read, and keeps to it.
#[derive(Debug, Default)]
pub(super) struct Ladder {
    /// The way to try first; `None` before the first reading.
    method: Option<Method>,
    failures: u32,
}

impl Ladder {
    /// Reads the clock behind a descriptor.
    pub(super) fn read(&mut self, fd: BorrowedFd<'_>) -> Result<(Method, Sample), SampleError> {
        let before = SystemPair::now();
        self.climb(|method| match method {
            Method::Precise => sys::precise(fd).map(|p| Some(from_precise(&p))),
            Method::Extended => sys::extended(fd).map(best),
            Method::Basic => sys::plain(fd).map(|times| best(triples(&times))),
        })
        .map(|(method, mut sample)| {
            if sample.raw_ns.is_none() {
                sample.raw_ns = SystemPair::now().raw_at(sample.system_ns, &before);
            }
            (method, sample)
        })
    }

    /// Tries `measure` with the ways that are left until one works.
    fn climb(
        &mut self,
        mut measure: impl FnMut(Method) -> io::Result<Option<Sample>>,
    ) -> Result<(Method, Sample), SampleError> {
        let mut method = self.method.unwrap_or(Method::Precise);
        loop {
            match measure(method) {
                Ok(sample) => {
                    (self.method, self.failures) = (Some(method), 0);
                    let good = sample.filter(|sample| sample.window_ns <= WIDEST_NS);
                    return good.map(|sample| (method, sample)).ok_or(SampleError::Window);
                }
                Err(error) if is_unsupported(&error) => {
                    let Some(next) = method.next() else { return Err(SampleError::Unsupported) };
                    method = next;
                }
                Err(error) => {
                    self.failures += 1;
                    if self.failures >= MOST_FAILURES
                        && let Some(next) = method.next()
                    {
                        (self.method, self.failures) = (Some(next), 0);
                    }
                    return Err(SampleError::Read(error));
                }
            }
        }
    }
}

/// The call or what it asks for is not there: it never will be.
fn is_unsupported(error: &io::Error) -> bool {
    let numbers = [libc::EOPNOTSUPP, libc::ENOTTY, libc::EINVAL];
    error.raw_os_error().is_some_and(|number| numbers.contains(&number))
}

fn from_precise(precise: &sys::Precise) -> Sample {
    Sample {
        clock_ns: precise.device.ns(),
        system_ns: precise.realtime.ns(),
        window_ns: 0.0,
        raw_ns: Some(precise.monotonic_raw.ns()),
    }
}

/// The sample with the narrowest window. One whose window is negative was taken while the system
/// clock was set back; `None` if there is no other.
fn best(triples: impl IntoIterator<Item = [Time; 3]>) -> Option<Sample> {
    let windows = triples.into_iter().map(|[before, clock, after]| {
        let window = after.ns() - before.ns();
        (window, before.ns() + window / 2, clock.ns())
    });
    let (window, system_ns, clock_ns) = windows.filter(|w| w.0 >= 0).min_by_key(|w| w.0)?;
    Some(Sample { clock_ns, system_ns, window_ns: window as f64, raw_ns: None })
}

/// System, clock, system, clock, …, system as overlapping triples.
fn triples(times: &[Time]) -> impl Iterator<Item = [Time; 3]> {
    times.windows(3).step_by(2).map(|w| [w[0], w[1], w[2]])
}

/// The system's wall clock and its raw monotonic clock at one instant.
#[derive(Debug, Clone, Copy)]
struct SystemPair {
    wall_ns: i128,
    raw_ns: i128,
}

impl SystemPair {
    /// The best of three, since the thread may be interrupted between the clocks.
    fn now() -> Self {
        let read = |clock| {
            let time = clock_gettime(clock);
            i128::from(time.tv_sec) * 1_000_000_000 + i128::from(time.tv_nsec)
        };
        let pairs = std::array::from_fn::<_, 3, _>(|_| {
            let before = read(ClockId::MonotonicRaw);
            let wall_ns = read(ClockId::Realtime);
            let window = read(ClockId::MonotonicRaw) - before;
            (window, Self { wall_ns, raw_ns: before + window / 2 })
        });
        pairs[0..].iter().min_by_key(|pair| pair.0).map_or(pairs[0].1, |pair| pair.1)
    }

    /// The raw clock when the wall clock showed `wall_ns`, a moment ago but after `before`.
    fn raw_at(self, wall_ns: i128, before: &Self) -> Option<i128> {
        let raw = self.raw_ns - before.raw_ns;
        let apart = (self.wall_ns - before.wall_ns) - raw;
        let allowed = raw as f64 * SLEW + SLEW_NS;
        (apart.unsigned_abs() as f64 <= allowed).then(|| self.raw_ns + (wall_ns - self.wall_ns))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ns: i64) -> Time {
        let nsec = u32::try_from(ns.rem_euclid(1_000_000_000)).unwrap();
        Time { sec: ns.div_euclid(1_000_000_000), nsec, reserved: 0 }
    }

    fn sample(window_ns: f64) -> Sample {
        Sample { clock_ns: 1, system_ns: 0, window_ns, raw_ns: None }
    }

    fn error(number: i32) -> io::Error {
        io::Error::from_raw_os_error(number)
    }

    #[test]
    fn narrowest_window_counts_and_the_system_is_read_in_its_middle() {
        let samples = [
            [at(1_000), at(37_000_001_700), at(2_000)],
            [at(3_000), at(37_000_003_300), at(3_400)],
            [at(9_000), at(37_000_003_300), at(8_000)],
        ];
        let best = best(samples).unwrap();
        assert_eq!((best.window_ns, best.system_ns), (400.0, 3_200));
        assert_eq!(best.offset_ns(), 37_000_000_100.0);
    }

    #[test]
    fn samples_while_the_system_clock_was_set_back_are_none() {
        assert_eq!(best([[at(9_000), at(1), at(8_000)]]), None);
        assert_eq!(best([]), None);
    }

    #[test]
    fn times_by_turns_share_the_system_time_between() {
        let times = [at(0), at(100), at(10), at(200), at(12)];
        let all: Vec<_> = triples(&times).collect();
        assert_eq!(all, [[at(0), at(100), at(10)], [at(10), at(200), at(12)]]);
        assert_eq!(best(all).unwrap().clock_ns, 200);
    }

    #[test]
    fn times_before_the_epoch_and_in_far_years_do_not_overflow() {
        let far = Time { sec: i64::MAX, nsec: u32::MAX, reserved: 0 };
        let past = Time { sec: i64::MIN, nsec: 0, reserved: 0 };
        let sample = best([[past, far, past]]).unwrap();
        assert!(sample.offset_ns() > 1e27);
    }

    #[test]
    fn what_the_driver_lacks_is_tried_once() {
        let mut ladder = Ladder::default();
        let mut asked = Vec::new();
        for _ in 0..2 {
            let read = ladder.climb(|method| {
                asked.push(method);
                match method {
                    Method::Precise => Err(error(libc::EOPNOTSUPP)),
                    Method::Extended => Err(error(libc::ENOTTY)),
                    Method::Basic => Ok(Some(sample(900.0))),
                }
            });
            assert_eq!(read.unwrap(), (Method::Basic, sample(900.0)));
        }
        assert_eq!(asked, [Method::Precise, Method::Extended, Method::Basic, Method::Basic]);
    }

    #[test]
    fn way_that_keeps_failing_is_given_up_for_the_next() {
        let mut ladder = Ladder::default();
        for _ in 0..MOST_FAILURES {
            let read = ladder.climb(|method| {
                assert_eq!(method, Method::Precise);
                Err(error(libc::ETIMEDOUT))
            });
            assert!(matches!(read, Err(SampleError::Read(_))));
        }
        let read = ladder.climb(|method| Ok((method == Method::Extended).then(|| sample(1.0))));
        assert_eq!(read.unwrap().0, Method::Extended);
    }

    #[test]
    fn wide_windows_and_clocks_that_cannot_be_read_are_told_apart() {
        let mut ladder = Ladder::default();
        let wide = ladder.climb(|_| Ok(Some(sample(WIDEST_NS + 1.0))));
        assert!(matches!(wide, Err(SampleError::Window)), "{wide:?}");
        let none = ladder.climb(|_| Err(error(libc::EINVAL)));
        assert!(matches!(none, Err(SampleError::Unsupported)), "{none:?}");
    }

    #[test]
    fn raw_clock_is_unknown_when_the_system_clock_was_set_meanwhile() {
        let before = SystemPair { wall_ns: 1_000_000, raw_ns: 5_000_000 };
        let after = SystemPair { wall_ns: 1_020_000, raw_ns: 5_020_010 };
        assert_eq!(after.raw_at(1_010_000, &before), Some(5_010_010));
        let set = SystemPair { wall_ns: 1_025_000, ..after };
        assert_eq!(set.raw_at(1_010_000, &before), None);
        let now = SystemPair::now();
        assert!(SystemPair::now().raw_at(now.wall_ns, &now).is_some());
    }
}
