//! The C functions, by theme. Types and names are those of `nvml-wrapper-sys`, which
//! [`abi`](self::abi) checks function by function when this crate is compiled.
#![allow(unsafe_code, reason = "a C interface writes through its callers' pointers")]
#![allow(non_snake_case, reason = "the names are NVML's")]

mod abi;
pub(crate) mod control;
pub(crate) mod discovery;
pub(crate) mod ecc;
pub(crate) mod events;
pub(crate) mod fast;
pub(crate) mod fields;
pub(crate) mod gpm;
pub(crate) mod lifecycle;
pub(crate) mod links;
pub(crate) mod medium;
pub(crate) mod mig;
pub(crate) mod slow;

use std::ffi::{CStr, c_char, c_uint};

use crate::code::Code;

/// A function about a device: its name, its other arguments, what it does.
macro_rules! device_functions {
    ($($name:ident($($argument:ident: $type:ty),* $(,)?) |$device:ident| $body:block)*) => {$(
        #[unsafe(no_mangle)]
        #[allow(unused_unsafe, reason = "not every function has something to write")]
        pub(crate) unsafe extern "C" fn $name(
            device: nvml_wrapper_sys::bindings::nvmlDevice_t,
            $($argument: $type),*
        ) -> nvml_wrapper_sys::bindings::nvmlReturn_t {
            $crate::call::device($crate::symbols::Symbol::$name, device, |$device| {
                // SAFETY: the caller vouches for its pointers, as it does to NVML.
                unsafe { $body }
            })
        }
    )*};
}
pub(crate) use device_functions;

/// Writes an answer.
///
/// # Safety
///
/// `to` is null or may be written to.
pub(crate) unsafe fn put<T>(to: *mut T, value: T) -> Result<(), Code> {
    if to.is_null() {
        return Err(Code::INVALID_ARGUMENT);
    }
    // SAFETY: not null, and the caller vouches for the rest.
    unsafe { to.write(value) };
    Ok(())
}

/// Writes a text and its final zero.
///
/// # Safety
///
/// `to` is null or `size` bytes may be written to it.
pub(crate) unsafe fn put_text(to: *mut c_char, size: c_uint, text: &[u8]) -> Result<(), Code> {
    if to.is_null() {
        return Err(Code::INVALID_ARGUMENT);
    }
    if usize::try_from(size).unwrap_or(0) <= text.len() {
        return Err(Code::INSUFFICIENT_SIZE);
    }
    // SAFETY: not null, there is room for text and zero, and the two cannot overlap.
    unsafe {
        std::ptr::copy_nonoverlapping(text.as_ptr().cast(), to, text.len());
        to.add(text.len()).write(0);
    }
    Ok(())
}

/// Reads a caller's text.
///
/// # Safety
///
/// `from` is null or ends with a zero.
pub(crate) unsafe fn text<'a>(from: *const c_char) -> Result<&'a str, Code> {
    if from.is_null() {
        return Err(Code::INVALID_ARGUMENT);
    }
    // SAFETY: not null, and the caller vouches for the rest.
    unsafe { CStr::from_ptr(from) }.to_str().map_err(|_| Code::INVALID_ARGUMENT)
}

/// Checks the version word at the start of a structure: its size, and the version above.
///
/// # Safety
///
/// `at` is null or may be read.
pub(crate) unsafe fn versioned<T>(at: *const T, version: u32) -> Result<(), Code> {
    if at.is_null() {
        return Err(Code::INVALID_ARGUMENT);
    }
    // SAFETY: not null, and every versioned structure begins with the word.
    let word = unsafe { at.cast::<u32>().read() };
    if word == version_word::<T>(version) { Ok(()) } else { Err(Code::ARGUMENT_VERSION_MISMATCH) }
}

/// NVML_STRUCT_VERSION: the size, and the version in the top byte.
pub(crate) const fn version_word<T>(version: u32) -> u32 {
    #[expect(clippy::cast_possible_truncation, reason = "structures are small")]
    let size = size_of::<T>() as u32;
    size | version << 24
}

/// Has a function called when the process ends.
pub(crate) fn at_exit(last: extern "C" fn()) {
    // SAFETY: any function may be registered. Where there is no room for one more, the last
    // numbers are those of the last second.
    unsafe { libc::atexit(last) };
}
