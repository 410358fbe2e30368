//! The library's life: found, initialised, used through [`call!`], and shut down with its last
//! reference.
//!
//! Reopening after a driver upgrade works because the last reference also unloads the file.

#![allow(unsafe_code, reason = "NVML is a C library")]

use std::ffi::{OsStr, c_char};
use std::mem::ManuallyDrop;
use std::sync::atomic::{AtomicU32, Ordering};

use nvml_wrapper::Nvml;
use nvml_wrapper::error::NvmlError;
use nvml_wrapper_sys::bindings as sys;

use super::{Code, Numbering};

/// Calls a function of the library; one that it does not have is [`Code::FUNCTION_NOT_FOUND`].
macro_rules! call {
    ($library:expr, $name:ident($($argument:expr),* $(,)?)) => {
        match &$library.raw().$name {
            // SAFETY: the symbol has the binding's signature, and every pointer handed over here
            // is to memory of ours that is large enough and outlives the call. A handle that is
            // not of this library is replaced by null, which NVML refuses.
            Ok(function) => $crate::collectors::gpu::nvml::Code::check(unsafe {
                function($($argument),*)
            }),
            Err(_) => Err($crate::collectors::gpu::nvml::Code::FUNCTION_NOT_FOUND),
        }
    };
}
pub(super) use call;

/// Lengths of NVML's text buffers (`nvml.h`).
pub(super) const TEXT: usize = 96;

static OPENED: AtomicU32 = AtomicU32::new(0);

/// NVML, initialised. Dropping the last reference shuts it down, which can block: let go of it
/// only on a thread that may.
pub(in crate::collectors::gpu) struct Library {
    nvml: ManuallyDrop<Nvml>,
    number: u32,
    driver_version: String,
    numbering: Numbering,
    processes: OlderProcesses,
}

/// Process lists as drivers before 510 have them: same structure, older name.
#[derive(Clone, Copy, Default)]
pub(super) struct OlderProcesses {
    pub(super) compute: Option<ListProcesses>,
    pub(super) graphics: Option<ListProcesses>,
    pub(super) mps: Option<ListProcesses>,
}

pub(super) type ListProcesses = unsafe extern "C" fn(
    sys::nvmlDevice_t,
    *mut std::ffi::c_uint,
    *mut sys::nvmlProcessInfo_v2_t,
) -> sys::nvmlReturn_t;

/// Why NVML cannot be used.
#[derive(Debug, thiserror::Error)]
pub(in crate::collectors::gpu) enum OpenError {
    /// There is no such file, or it is not a library.
    #[error("load the library: {0}")]
    NotLoaded(String),
    /// It is a library and not NVML.
    #[error("the library has no {0}")]
    NotNvml(String),
    #[error("initialise: {0}")]
    Refused(Code),
}

impl Library {
    /// Loads and initialises; can block for ever.
    ///
    /// # Errors
    /// [`OpenError`] when there is no NVML or it does not take the driver.
    pub(in crate::collectors::gpu) fn open(path: &OsStr) -> Result<Self, OpenError> {
        let nvml = Nvml::builder().lib_path(path).init().map_err(|error| match error {
            NvmlError::LibloadingError(error) => OpenError::NotLoaded(error.to_string()),
            NvmlError::FailedToLoadSymbol(_) => OpenError::NotNvml("nvmlInit_v2".to_owned()),
            other => OpenError::Refused(code_of(&other)),
        })?;
        let processes = OlderProcesses::of(&nvml);
        let mut library = Self {
            nvml: ManuallyDrop::new(nvml),
            number: OPENED.fetch_add(1, Ordering::Relaxed),
            driver_version: String::new(),
            numbering: Numbering::default(),
            processes,
        };
        library.driver_version = library.system_driver_version().unwrap_or_default();
        library.numbering = Numbering::of_driver(&library.driver_version);
        Ok(library)
    }

    pub(super) fn raw(&self) -> &sys::NvmlLib {
        self.nvml.lib()
    }

    /// How this driver numbers fields.
    pub(in crate::collectors::gpu) fn numbering(&self) -> Numbering {
        self.numbering
    }

    /// As the driver writes it: "580.95.05"; empty when it does not tell.
    pub(in crate::collectors::gpu) fn driver_version(&self) -> &str {
        &self.driver_version
    }

    pub(super) fn older_processes(&self) -> OlderProcesses {
        self.processes
    }

    pub(super) fn own(&self, device: sys::nvmlDevice_t) -> Handle {
        Handle { raw: device, library: self.number }
    }

    /// The driver's handle; null for one of another library.
    pub(super) fn device(&self, handle: Handle) -> sys::nvmlDevice_t {
        if handle.library == self.number { handle.raw } else { std::ptr::null_mut() }
    }

    fn system_driver_version(&self) -> Result<String, Code> {
        text(|buffer, length| call!(self, nvmlSystemGetDriverVersion(buffer, length)))
    }

    /// NVML's own version.
    ///
    /// # Errors
    /// NVML's code.
    pub(in crate::collectors::gpu) fn nvml_version(&self) -> Result<String, Code> {
        text(|buffer, length| call!(self, nvmlSystemGetNVMLVersion(buffer, length)))
    }

    /// The CUDA version that the driver supports: "13.0".
    ///
    /// # Errors
    /// NVML's code.
    pub(in crate::collectors::gpu) fn cuda_version(&self) -> Result<String, Code> {
        let mut number = 0;
        call!(self, nvmlSystemGetCudaDriverVersion_v2(&raw mut number))?;
        Ok(format!("{}.{}", number / 1000, number % 1000 / 10))
    }

    /// How many GPUs NVML knows, those that do not answer included.
    ///
    /// # Errors
    /// NVML's code.
    pub(in crate::collectors::gpu) fn count(&self) -> Result<u32, Code> {
        let mut count = 0;
        call!(self, nvmlDeviceGetCount_v2(&raw mut count))?;
        Ok(count)
    }

    /// The GPU at an index. Initialises it when nobody else has it open.
    ///
    /// # Errors
    /// NVML's code.
    pub(in crate::collectors::gpu) fn handle_by_index(&self, index: u32) -> Result<Handle, Code> {
        let mut device = std::ptr::null_mut();
        call!(self, nvmlDeviceGetHandleByIndex_v2(index, &raw mut device))?;
        Ok(self.own(device))
    }
}

impl Drop for Library {
    fn drop(&mut self) {
        if self.raw().nvmlShutdown.is_err() {
            // Dropping the wrapper would call it and panic: leave the library loaded.
            return;
        }
        // SAFETY: nothing uses the wrapper after this.
        let nvml = unsafe { ManuallyDrop::take(&mut self.nvml) };
        if let Err(error) = nvml.shutdown() {
            tracing::debug!(%error, "NVML did not shut down cleanly");
        }
    }
}

impl OlderProcesses {
    fn of(nvml: &Nvml) -> Self {
        let find = |name: &[u8]| {
            // SAFETY: NVML's functions of these names have this signature (`nvml.h`, 11.0 on).
            let symbol = unsafe { nvml.lib().__library.get::<ListProcesses>(name) };
            symbol.ok().map(|symbol| *symbol)
        };
        Self {
            compute: find(b"nvmlDeviceGetComputeRunningProcesses_v2\0"),
            graphics: find(b"nvmlDeviceGetGraphicsRunningProcesses_v2\0"),
            mps: find(b"nvmlDeviceGetMPSComputeRunningProcesses_v2\0"),
        }
    }
}

/// A GPU or a MIG device, as the library that gave it knows it. Of no use to another library.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::collectors::gpu) struct Handle {
    raw: sys::nvmlDevice_t,
    library: u32,
}

// SAFETY: a handle is an opaque number to us, and NVML may be called from any thread.
unsafe impl Send for Handle {}
// SAFETY: as above.
unsafe impl Sync for Handle {}

/// A text that NVML writes, with what is not UTF-8 replaced.
pub(super) fn text(
    fill: impl FnOnce(*mut c_char, u32) -> Result<(), Code>,
) -> Result<String, Code> {
    let mut buffer = [0u8; TEXT];
    fill(buffer.as_mut_ptr().cast(), u32::try_from(TEXT).unwrap_or(0))?;
    Ok(until_nul(&buffer))
}

/// The text up to the first NUL, or all of it.
pub(super) fn until_nul(bytes: &[u8]) -> String {
    let text = bytes.split(|b| *b == 0).next().unwrap_or_default();
    String::from_utf8_lossy(text).trim().to_owned()
}

fn code_of(error: &NvmlError) -> Code {
    match error {
        NvmlError::Uninitialized => Code::UNINITIALIZED,
        NvmlError::InvalidArg => Code::INVALID_ARGUMENT,
        NvmlError::NotSupported => Code::NOT_SUPPORTED,
        NvmlError::NoPermission => Code::NO_PERMISSION,
        NvmlError::DriverNotLoaded => Code::DRIVER_NOT_LOADED,
        NvmlError::Timeout => Code::TIMEOUT,
        NvmlError::LibraryNotFound => Code::LIBRARY_NOT_FOUND,
        NvmlError::FunctionNotFound => Code::FUNCTION_NOT_FOUND,
        NvmlError::GpuLost => Code::GPU_IS_LOST,
        NvmlError::ResetRequired => Code::RESET_REQUIRED,
        NvmlError::LibRmVersionMismatch => Code::LIB_RM_VERSION_MISMATCH,
        NvmlError::UnexpectedVariant(code) => Code(*code),
        _ => Code(999),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_that_is_not_utf8_or_not_ended_is_text_all_the_same() {
        assert_eq!(until_nul(b"H100\0rest"), "H100");
        assert_eq!(until_nul(b"H\xff100 "), "H\u{fffd}100");
        assert_eq!(until_nul(&[b'x'; 4]), "xxxx");
        assert_eq!(until_nul(b""), "");
    }

    #[test]
    fn library_that_is_not_there_or_not_nvml_says_so() {
        let absent = Library::open(OsStr::new("/nonexistent/libnvidia-ml.so.1"));
        assert!(matches!(absent, Err(OpenError::NotLoaded(_))));
        let other = Library::open(OsStr::new("libc.so.6"));
        assert!(matches!(other, Err(OpenError::NotNvml(_))));
    }
}
