//! MIG devices of a GPU: which there are, and their memory and performance.
//!
//! They are looked for every minute, when MIG is turned on or off, and when one of them is
//! suddenly not known any more.

use std::sync::Arc;

use super::gpm::Performance;
use super::{Output, Reader, set_bytes};
use crate::collectors::gpu::identity::MigIdentity;
use crate::collectors::gpu::meter::{Call, Told};
use crate::collectors::gpu::metrics as m;
use crate::collectors::gpu::nvml::{Code, Handle, Instance};
use crate::collectors::gpu::rows::Rows;

/// The devices, and whether MIG is on.
#[derive(Default)]
pub(in crate::collectors::gpu) struct Mig {
    /// `None` where the GPU has no MIG, or before it was asked.
    on: Option<bool>,
    devices: Vec<Device>,
    /// Look again now.
    stale: bool,
    /// Grows with every change of what there is.
    pub(in crate::collectors::gpu) generation: u64,
}

struct Device {
    identity: Arc<MigIdentity>,
    handle: Handle,
    performance: Performance,
}

impl Mig {
    /// Looks which devices there are at the next chance.
    pub(super) fn look_again(&mut self) {
        self.stale = true;
    }

    /// What there is.
    pub(in crate::collectors::gpu) fn identities(&self) -> impl Iterator<Item = &Arc<MigIdentity>> {
        self.devices.iter().map(|device| &device.identity)
    }
}

impl Reader {
    /// The medium tier's part.
    pub(super) fn read_mig(&mut self, out: &mut Output) {
        let Self { meter, library, device, mig, .. } = self;
        let told = meter.call(Call::MigMode, || library.mig_mode(*device));
        if let Some(on) = told.series(|on| on) {
            let value = on.map(|on| f64::from(u8::from(on)));
            out.rows.set(&m::MIG_MODE, &[], value);
            if let Some(on) = on
                && mig.on != Some(on)
            {
                let first = mig.on.replace(on).is_none();
                mig.stale = true;
                if !first {
                    // What a GPU supports depends on the mode.
                    self.relearn();
                }
            }
        }
        if self.mig.stale {
            self.scan_mig();
        }
        self.read_mig_devices(out);
    }

    /// Looks which devices there are.
    pub(super) fn scan_mig(&mut self) {
        let Self { meter, library, device, mig, identity, .. } = self;
        mig.stale = false;
        if mig.on != Some(true) {
            mig.generation += u64::from(!mig.devices.is_empty());
            mig.devices.clear();
            return;
        }
        let parent = *device;
        let found = meter.call(Call::MigScan, || {
            let mut found = Vec::new();
            for index in 0..library.max_mig_devices(parent)? {
                let Some(handle) = library.mig_device(parent, index)? else { continue };
                // It may go while we look at it.
                if let Ok(uuid) = library.uuid(handle) {
                    found.push((handle, uuid));
                }
            }
            Ok(found)
        });
        let Told::Value(found) = found else { return };
        let is_known = |device: &Device, (handle, uuid): &(Handle, String)| {
            device.handle == *handle && *device.identity.uuid == **uuid
        };
        let same = mig.devices.len() == found.len()
            && mig.devices.iter().zip(&found).all(|(device, found)| is_known(device, found));
        if same {
            return;
        }
        mig.generation += 1;
        let mut before = std::mem::take(&mut mig.devices);
        for found in found {
            let known = before.iter().position(|device| is_known(device, &found));
            mig.devices.push(match known {
                Some(at) => before.swap_remove(at),
                None => Device {
                    identity: Arc::new(MigIdentity::read(library, found.0, found.1, identity)),
                    handle: found.0,
                    performance: Performance::default(),
                },
            });
        }
    }

    fn read_mig_devices(&mut self, out: &mut Output) {
        let Self { meter, library, device: parent, mig, .. } = self;
        out.mig.truncate(mig.devices.len());
        let mut churn = false;
        for (at, device) in mig.devices.iter_mut().enumerate() {
            match out.mig.get_mut(at) {
                Some((identity, _)) if Arc::ptr_eq(identity, &device.identity) => {}
                Some(slot) => *slot = (Arc::clone(&device.identity), Rows::default()),
                None => out.mig.push((Arc::clone(&device.identity), Rows::default())),
            }
            let (_, rows) = &mut out.mig[at];
            let handle = device.handle;
            let memory = meter.call(Call::MigMemory, || {
                library.memory(handle).map_err(|code| gone(code, &mut churn))
            });
            if let Some(memory) = memory.series(|memory| memory) {
                set_bytes(rows, &m::MIG_MEMORY_TOTAL, memory.map(|m| m.total));
                set_bytes(rows, &m::MIG_MEMORY_USED, memory.map(|m| m.used));
                set_bytes(rows, &m::MIG_MEMORY_FREE, memory.map(|m| m.free));
                if let Some(reserved) = memory.and_then(|m| m.reserved) {
                    set_bytes(rows, &m::MIG_MEMORY_RESERVED, Some(reserved));
                }
            }
            if let Some(count) = device.identity.multiprocessors {
                rows.set(&m::MIG_MULTIPROCESSORS, &[], Some(f64::from(count)));
            }
            let instance = Instance::Mig(device.identity.gpu_instance);
            device.performance.read(meter, library, *parent, instance, rows);
        }
        if churn {
            mig.stale = true;
            self.scan_mig();
            out.mig.retain(|(identity, _)| {
                self.mig.identities().any(|known| Arc::ptr_eq(known, identity))
            });
        }
    }
}

/// A MIG device that NVML no longer knows has been destroyed: nothing is wrong with the GPU.
fn gone(code: Code, churn: &mut bool) -> Code {
    let is_gone = matches!(
        code,
        Code::NOT_FOUND | Code::INVALID_ARGUMENT | Code::GPU_NOT_FOUND | Code::NOT_SUPPORTED
    );
    *churn |= is_gone;
    if is_gone { Code::NOT_FOUND } else { code }
}
