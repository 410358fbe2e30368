//! What NVML does not have: choosing the scenario and reading the statistics.

use std::ffi::{OsStr, c_char, c_int};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use crate::runtime;
use crate::stats;

/// Begins anew with the scenario of a file; 0, or -1 if there is something wrong with it.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn fake_nvml_set_scenario(path: *const c_char) -> c_int {
    if path.is_null() {
        return -1;
    }
    // SAFETY: not null, and the caller vouches for the text's end.
    let path = unsafe { std::ffi::CStr::from_ptr(path) };
    done(runtime::set_scenario(Path::new(OsStr::from_bytes(path.to_bytes()))))
}

/// Reads the scenario's file now, instead of when it is looked at next.
#[unsafe(no_mangle)]
pub(crate) extern "C" fn fake_nvml_reload() -> c_int {
    done(runtime::reload())
}

fn done(result: Result<(), String>) -> c_int {
    if result.is_ok() { 0 } else { -1 }
}

/// Writes the statistics as JSON, without a final zero, as far as there is room, and says how
/// long they are.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn fake_nvml_stats(buffer: *mut c_char, length: usize) -> usize {
    let json = serde_json::to_vec(&runtime::statistics()).unwrap_or_default();
    if !buffer.is_null() {
        let fits = json.len().min(length);
        // SAFETY: the caller vouches for `length` bytes, of which no more are written.
        unsafe { std::ptr::copy_nonoverlapping(json.as_ptr().cast(), buffer, fits) };
    }
    json.len()
}

#[unsafe(no_mangle)]
pub(crate) extern "C" fn fake_nvml_reset_stats() {
    stats::reset();
}
