//! What the kernel tells about a clock by ioctl(2) and clock_adjtime(2), for which there are no
//! safe bindings. Everything here only reads: descriptors may be open for reading alone.
//!
//! Layouts and numbers are those of `linux/ptp_clock.h`; sizes are asserted, since an ioctl's
//! number contains the size and the kernel writes that many bytes.

#![allow(unsafe_code, reason = "ioctl and clock_adjtime have no safe bindings")]

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

use rustix::ioctl::{Opcode, Updater, ioctl, opcode};

/// Measurements of one call. The kernel takes up to 25.
const ASKED: u32 = 5;
const SAMPLES: usize = ASKED as usize;
/// `PTP_MAX_SAMPLES`.
const MAX_SAMPLES: usize = 25;
/// `PTP_CLK_MAGIC`.
const MAGIC: u8 = b'=';

const SYS_OFFSET: Opcode = opcode::write::<Plain>(MAGIC, 5);
const SYS_OFFSET_PRECISE: Opcode = opcode::read_write::<Precise>(MAGIC, 8);
const SYS_OFFSET_EXTENDED: Opcode = opcode::read_write::<Extended>(MAGIC, 9);

/// `struct ptp_clock_time`.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Time {
    pub(super) sec: i64,
    pub(super) nsec: u32,
    pub(super) reserved: u32,
}

impl Time {
    /// Nanoseconds since the clock's epoch. A clock may be set to any year.
    pub(super) fn ns(self) -> i128 {
        i128::from(self.sec) * 1_000_000_000 + i128::from(self.nsec)
    }
}

/// `struct ptp_sys_offset`: times of the system and of the clock by turns.
#[repr(C)]
struct Plain {
    samples: u32,
    reserved: [u32; 3],
    times: [Time; 2 * MAX_SAMPLES + 1],
}

/// `struct ptp_sys_offset_extended`: system, clock, system for each sample.
#[repr(C)]
struct Extended {
    samples: u32,
    /// Reserved before Linux 6.12; 0 is CLOCK_REALTIME.
    clock: i32,
    reserved: [u32; 2],
    times: [[Time; 3]; MAX_SAMPLES],
}

/// `struct ptp_sys_offset_precise`: three clocks at one instant.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Precise {
    pub(super) device: Time,
    pub(super) realtime: Time,
    pub(super) monotonic_raw: Time,
    reserved: [u32; 4],
}

const _: () = assert!(size_of::<Time>() == 16);
const _: () = assert!(size_of::<Plain>() == 832);
const _: () = assert!(size_of::<Extended>() == 1216);
const _: () = assert!(size_of::<Precise>() == 64);

/// The clock and the system at the same instant, which the hardware must be able to tell.
pub(super) fn precise(fd: BorrowedFd<'_>) -> io::Result<Precise> {
    let mut value = Precise::default();
    // SAFETY: the kernel reads and writes one ptp_sys_offset_precise, which `value` is laid out
    // as, and keeps no pointer to it.
    unsafe { ioctl(fd, Updater::<SYS_OFFSET_PRECISE, Precise>::new(&mut value)) }?;
    Ok(value)
}

/// Samples of (system, clock, system), the system read right at the register access.
pub(super) fn extended(fd: BorrowedFd<'_>) -> io::Result<[[Time; 3]; SAMPLES]> {
    let times = [[Time::default(); 3]; MAX_SAMPLES];
    let mut value = Extended { samples: ASKED, clock: 0, reserved: [0; 2], times };
    // SAFETY: the kernel reads and writes one ptp_sys_offset_extended, which `value` is laid out
    // as, and keeps no pointer to it.
    unsafe { ioctl(fd, Updater::<SYS_OFFSET_EXTENDED, Extended>::new(&mut value)) }?;
    Ok(std::array::from_fn(|i| value.times[i]))
}

/// System and clock by turns, starting and ending with the system.
pub(super) fn plain(fd: BorrowedFd<'_>) -> io::Result<[Time; 2 * SAMPLES + 1]> {
    let times = [Time::default(); 2 * MAX_SAMPLES + 1];
    let mut value = Plain { samples: ASKED, reserved: [0; 3], times };
    // SAFETY: although its number says that it is only read, the kernel reads and writes one
    // ptp_sys_offset, which `value` is laid out as, and keeps no pointer to it.
    unsafe { ioctl(fd, Updater::<SYS_OFFSET, Plain>::new(&mut value)) }?;
    Ok(std::array::from_fn(|i| value.times[i]))
}

/// How the kernel steers a clock.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Steering {
    /// What the call returned: 5 (`TIME_ERROR`) for a system clock that is not synchronized.
    pub(super) state: i32,
    pub(super) status: i32,
    /// Millionths with 16 bits after the point.
    pub(super) frequency: i64,
    /// What is left to be corrected, in the unit that `status` says.
    pub(super) offset: i64,
}

/// How the system clock is steered.
pub(super) fn system_steering() -> io::Result<Steering> {
    steering(libc::CLOCK_REALTIME)
}

/// How a PTP clock is steered. Older kernels refuse what is open for reading alone.
pub(super) fn phc_steering(fd: BorrowedFd<'_>) -> io::Result<Steering> {
    // FD_TO_CLOCKID of the kernel's posix-timers.h.
    steering((!fd.as_raw_fd() << 3) | 3)
}

#[cfg_attr(
    target_pointer_width = "64",
    expect(clippy::useless_conversion, reason = "c_long is narrower on other targets")
)]
fn steering(clock: libc::clockid_t) -> io::Result<Steering> {
    // SAFETY: timex is plain integers, for which all zeroes is a value; `modes` 0 asks to read.
    let mut timex: libc::timex = unsafe { std::mem::zeroed() };
    // SAFETY: the pointer is to a timex of ours that lives until the call returns.
    let state = unsafe { libc::clock_adjtime(clock, &raw mut timex) };
    if state < 0 {
        return Err(io::Error::last_os_error());
    }
    let (frequency, offset) = (timex.freq.into(), timex.offset.into());
    Ok(Steering { state, status: timex.status, frequency, offset })
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;

    use super::*;

    #[test]
    #[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
    fn numbers_are_the_kernels() {
        let numbers = [SYS_OFFSET, SYS_OFFSET_PRECISE, SYS_OFFSET_EXTENDED];
        assert_eq!(numbers, [0x4340_3d05, 0xc040_3d08, 0xc4c0_3d09]);
    }

    #[test]
    fn file_that_is_no_clock_is_an_error_of_every_call() {
        let file = tempfile::tempfile().unwrap();
        let number = |error: io::Error| error.raw_os_error();
        assert_eq!(precise(file.as_fd()).map_err(number).unwrap_err(), Some(libc::ENOTTY));
        assert_eq!(extended(file.as_fd()).map_err(number).unwrap_err(), Some(libc::ENOTTY));
        assert_eq!(plain(file.as_fd()).map_err(number).unwrap_err(), Some(libc::ENOTTY));
        assert!(phc_steering(file.as_fd()).is_err());
    }

    #[test]
    fn system_clock_tells_how_it_is_steered() {
        assert!(system_steering().unwrap().state >= 0);
    }
}
