//! The two calls that only libc has: adjtimex(2), read-only, and the local time zone.

use std::io;

use super::syscalls::Timex;

/// Reads the state of the system clock; changes nothing and needs no privilege.
#[expect(unsafe_code, reason = "adjtimex has no safe binding")]
#[cfg_attr(
    target_pointer_width = "64",
    expect(clippy::useless_conversion, reason = "c_long is narrower on other targets")
)]
pub(super) fn adjtimex() -> io::Result<Timex> {
    // SAFETY: timex is plain integers, for which all zeroes is a value; `modes` 0 asks to read.
    let mut timex: libc::timex = unsafe { std::mem::zeroed() };
    // SAFETY: the pointer is to a timex of ours that lives until the call returns.
    let state = unsafe { libc::adjtimex(&raw mut timex) };
    if state < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(Timex {
        state,
        offset: timex.offset.into(),
        freq: timex.freq.into(),
        maxerror: timex.maxerror.into(),
        esterror: timex.esterror.into(),
        status: timex.status,
        constant: timex.constant.into(),
        tick: timex.tick.into(),
        ppsfreq: timex.ppsfreq.into(),
        jitter: timex.jitter.into(),
        shift: timex.shift,
        stabil: timex.stabil.into(),
        jitcnt: timex.jitcnt.into(),
        calcnt: timex.calcnt.into(),
        errcnt: timex.errcnt.into(),
        stbcnt: timex.stbcnt.into(),
        tai: timex.tai,
    })
}

/// The local time zone's name and its offset from UTC, now.
#[expect(unsafe_code, reason = "the zone is known to libc alone")]
pub(super) fn zone() -> (String, f64) {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Realtime).tv_sec;
    // SAFETY: tm is plain integers and a pointer, for which all zeroes is a value.
    let mut tm: libc::tm = unsafe { std::mem::zeroed() };
    // SAFETY: both pointers are to values of ours that live until the call returns.
    if unsafe { libc::localtime_r(&raw const now, &raw mut tm) }.is_null() || tm.tm_zone.is_null() {
        return ("UTC".into(), 0.0);
    }
    // SAFETY: libc sets tm_zone to a string of its own that is never freed.
    let name = unsafe { std::ffi::CStr::from_ptr(tm.tm_zone) };
    (name.to_string_lossy().into_owned(), tm.tm_gmtoff as f64)
}
