//! Who uses a GPU: lists into buffers that are kept.
//!
//! NVML's way is to ask for the count and then for the list; with a buffer that was large enough
//! the last time, one call does.

#![allow(unsafe_code, reason = "NVML is a C library")]

use nvml_wrapper_sys::bindings as sys;

use super::library::call;
use super::{Code, Handle, Library};

/// Room at the start.
const ROOM: usize = 64;
/// Processes of one list that are looked at; more than any GPU has contexts for.
const MOST: usize = 4096;

/// Which list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::collectors::gpu) enum ProcessKind {
    Compute,
    Graphics,
    Mps,
}

/// A process with a context on the GPU.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::collectors::gpu) struct Process {
    pub(in crate::collectors::gpu) pid: u32,
    /// Bytes; `None` where the driver does not tell (MIG, containers).
    pub(in crate::collectors::gpu) memory: Option<u64>,
}

/// A process's share of the GPU's time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::collectors::gpu) struct ProcessUtilization {
    pub(in crate::collectors::gpu) pid: u32,
    /// %.
    pub(in crate::collectors::gpu) sm: u32,
}

/// The buffer of process lists.
#[derive(Default)]
pub(in crate::collectors::gpu) struct ProcessList {
    buffer: Vec<sys::nvmlProcessInfo_v2_t>,
}

impl ProcessList {
    /// The processes of one kind.
    ///
    /// # Errors
    /// NVML's code.
    pub(in crate::collectors::gpu) fn read(
        &mut self,
        library: &Library,
        device: Handle,
        kind: ProcessKind,
    ) -> Result<impl Iterator<Item = Process> + '_, Code> {
        let blank = sys::nvmlProcessInfo_v2_t {
            pid: 0,
            usedGpuMemory: 0,
            gpuInstanceId: 0,
            computeInstanceId: 0,
        };
        let count = with_room(&mut self.buffer, blank, |count, to| {
            let device = library.device(device);
            let older = library.older_processes();
            let (told, older) = match kind {
                ProcessKind::Compute => (
                    call!(library, nvmlDeviceGetComputeRunningProcesses_v3(device, count, to)),
                    older.compute,
                ),
                ProcessKind::Graphics => (
                    call!(library, nvmlDeviceGetGraphicsRunningProcesses_v3(device, count, to)),
                    older.graphics,
                ),
                ProcessKind::Mps => (
                    call!(library, nvmlDeviceGetMPSComputeRunningProcesses_v3(device, count, to)),
                    older.mps,
                ),
            };
            let Some(list) = older.filter(|_| told == Err(Code::FUNCTION_NOT_FOUND)) else {
                return told;
            };
            // SAFETY: as for the new name: the buffer has room for `count` processes.
            Code::check(unsafe { list(device, count, to) })
        })?;
        Ok(self.buffer[..count].iter().map(|raw| Process {
            pid: raw.pid,
            memory: Some(raw.usedGpuMemory)
                .filter(|used| *used != u64::MAX && *used != u64::from(u32::MAX)),
        }))
    }
}

/// The buffer of utilization samples.
#[derive(Default)]
pub(in crate::collectors::gpu) struct UtilizationList {
    buffer: Vec<sys::nvmlProcessUtilizationSample_t>,
    /// The newest sample seen, in NVML's microseconds.
    seen: u64,
}

impl UtilizationList {
    /// The samples since the last call; none when nothing was sampled.
    ///
    /// # Errors
    /// NVML's code.
    pub(in crate::collectors::gpu) fn read(
        &mut self,
        library: &Library,
        device: Handle,
    ) -> Result<impl Iterator<Item = ProcessUtilization> + '_, Code> {
        let blank = sys::nvmlProcessUtilizationSample_t {
            pid: 0,
            timeStamp: 0,
            smUtil: 0,
            memUtil: 0,
            encUtil: 0,
            decUtil: 0,
        };
        let seen = self.seen;
        let told = with_room(&mut self.buffer, blank, |count, to| {
            let device = library.device(device);
            call!(library, nvmlDeviceGetProcessUtilization(device, to, count, seen))
        });
        let count = match told {
            Err(Code::NOT_FOUND) => 0,
            told => told?,
        };
        let samples = &self.buffer[..count];
        self.seen = samples.iter().map(|s| s.timeStamp).max().unwrap_or(0).max(seen);
        let ours = samples.iter().filter(|sample| sample.pid != 0 && sample.smUtil <= 100);
        Ok(ours.map(|raw| ProcessUtilization { pid: raw.pid, sm: raw.smUtil }))
    }
}

/// Fills a buffer, and once more when NVML says that it has more. Returns how many.
fn with_room<T: Clone>(
    buffer: &mut Vec<T>,
    blank: T,
    fill: impl Fn(*mut u32, *mut T) -> Result<(), Code>,
) -> Result<usize, Code> {
    if buffer.is_empty() {
        buffer.resize(ROOM, blank.clone());
    }
    for last in [false, true] {
        let mut count = u32::try_from(buffer.len()).unwrap_or(u32::MAX);
        match fill(&raw mut count, buffer.as_mut_ptr()) {
            Ok(()) => return Ok(usize::try_from(count).unwrap_or(0).min(buffer.len())),
            Err(Code::INSUFFICIENT_SIZE) if !last => {
                // A few more: processes come while we ask again.
                let wanted = usize::try_from(count).unwrap_or(MOST).saturating_add(ROOM);
                let room = wanted.max(buffer.len()).min(MOST);
                buffer.resize(room, blank.clone());
            }
            Err(code) => return Err(code),
        }
    }
    Err(Code::INSUFFICIENT_SIZE)
}
