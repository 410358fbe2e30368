//! GPU performance monitoring (Hopper and later): what ran between two samples.
//!
//! Two samples are allocated once and take turns; the 8 KiB structure that the metrics are asked
//! with is kept, too. A metric that a GPU does not have says so in its own code.

#![allow(unsafe_code, reason = "NVML is a C library")]

use std::sync::Arc;

use nvml_wrapper_sys::bindings as sys;

use super::library::call;
use super::{Code, Handle, Library};

/// What is sampled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::collectors::gpu) enum Instance {
    /// The whole GPU.
    Gpu,
    /// A GPU instance of it.
    Mig(u32),
}

/// Two samples of one GPU or GPU instance, and the metrics between them.
pub(in crate::collectors::gpu) struct Gpm {
    library: Arc<Library>,
    /// The older one first, once both are taken.
    samples: [sys::nvmlGpmSample_t; 2],
    taken: usize,
    request: Box<sys::nvmlGpmMetricsGet_t>,
}

// SAFETY: the samples are the library's memory, used by one thread at a time; the pointers in
// the request are only read by NVML, and set before each call.
unsafe impl Send for Gpm {}

impl Library {
    /// Whether a GPU has GPM.
    ///
    /// # Errors
    /// NVML's code.
    pub(in crate::collectors::gpu) fn has_gpm(&self, device: Handle) -> Result<bool, Code> {
        // The version is a plain 1 here, without the structure's size (`nvml.h`).
        let mut support = sys::nvmlGpmSupport_t { version: 1, isSupportedDevice: 0 };
        call!(self, nvmlGpmQueryDeviceSupport(self.device(device), &raw mut support))?;
        Ok(support.isSupportedDevice != 0)
    }
}

impl Gpm {
    /// Allocates the samples; none is taken yet.
    ///
    /// # Errors
    /// NVML's code.
    pub(in crate::collectors::gpu) fn new(library: &Arc<Library>) -> Result<Self, Code> {
        // SAFETY: numbers and pointers, for which all zeroes is a value.
        let request: sys::nvmlGpmMetricsGet_t = unsafe { std::mem::zeroed() };
        let mut gpm = Self {
            library: Arc::clone(library),
            samples: [std::ptr::null_mut(); 2],
            taken: 0,
            request: Box::new(request),
        };
        for sample in &mut gpm.samples {
            // What was allocated before is freed by the drop.
            call!(library, nvmlGpmSampleAlloc(&raw mut *sample))?;
        }
        Ok(gpm)
    }

    /// Forgets the samples: what comes next is not compared with what was before.
    pub(in crate::collectors::gpu) fn restart(&mut self) {
        self.taken = 0;
    }

    /// Takes a sample; true when there are two to compare.
    ///
    /// # Errors
    /// NVML's code; [`Code::NO_PERMISSION`] where monitoring is for root only.
    pub(in crate::collectors::gpu) fn sample(
        &mut self,
        device: Handle,
        instance: Instance,
    ) -> Result<bool, Code> {
        let (library, device) = (&self.library, self.library.device(device));
        let into = self.samples[0];
        match instance {
            Instance::Gpu => call!(library, nvmlGpmSampleGet(device, into)),
            Instance::Mig(id) => call!(library, nvmlGpmMigSampleGet(device, id, into)),
        }?;
        self.samples.swap(0, 1);
        self.taken = (self.taken + 1).min(2);
        Ok(self.taken == 2)
    }

    /// The metrics between the last two samples, for [`Gpm::get`].
    ///
    /// # Errors
    /// NVML's code.
    pub(in crate::collectors::gpu) fn compare(&mut self, metrics: &[u32]) -> Result<(), Code> {
        if self.taken < 2 {
            return Err(Code::NOT_FOUND);
        }
        let request = &mut *self.request;
        request.version = 1;
        request.numMetrics = u32::try_from(metrics.len()).unwrap_or(0);
        [request.sample1, request.sample2] = self.samples;
        for (slot, id) in request.metrics.iter_mut().zip(metrics) {
            slot.metricId = *id;
            slot.nvmlReturn = Code(999).0;
            slot.value = f64::NAN;
        }
        call!(self.library, nvmlGpmMetricsGet(&raw mut *request))
    }

    /// The metric at this position of what [`Gpm::compare`] was asked for.
    ///
    /// # Errors
    /// The metric's own code.
    pub(in crate::collectors::gpu) fn get(&self, index: usize) -> Result<f64, Code> {
        let metric = self.request.metrics.get(index).ok_or(Code::INVALID_ARGUMENT)?;
        Code::check(metric.nvmlReturn)?;
        Ok(metric.value)
    }
}

impl Drop for Gpm {
    fn drop(&mut self) {
        for sample in self.samples.iter().filter(|sample| !sample.is_null()) {
            if let Err(code) = call!(self.library, nvmlGpmSampleFree(*sample)) {
                tracing::debug!(%code, "GPM sample was not freed");
            }
        }
    }
}
