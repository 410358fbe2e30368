//! Which GPUs there are and what they are.

use std::ffi::{c_char, c_int, c_uint};

use nvml_wrapper_sys::bindings::{
    nvmlBrandType_t, nvmlDevice_t, nvmlDeviceArchitecture_t, nvmlEnableState_t,
    nvmlGpuVirtualizationMode_t, nvmlInforomObject_t, nvmlPciInfo_t, nvmlReturn_t,
};

use super::{device_functions, put, put_text, text};
use crate::call::{Device, has, system};
use crate::code::Code;
use crate::gpu::{Gpu, parse_pci};
use crate::handle::{Handle, pointer};
use crate::number::count;
use crate::symbols::Symbol;
use crate::world::World;

/// `NVML_BRAND_NVIDIA`: what data center boards say.
const BRAND: nvmlBrandType_t = 14;

#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn nvmlDeviceGetCount_v2(devices: *mut c_uint) -> nvmlReturn_t {
    system(Symbol::nvmlDeviceGetCount_v2, |world| {
        // SAFETY: the caller vouches for its pointer.
        unsafe { put(devices, count(world.order.len())) }
    })
}

/// Gives out a handle, unless the GPU is lost.
///
/// # Safety
///
/// As [`put`].
unsafe fn give(world: &World, slot: usize, to: *mut nvmlDevice_t) -> Result<(), Code> {
    if let Some(code) = world.gpus[slot].broken() {
        return Err(code);
    }
    // SAFETY: the caller vouches for its pointer.
    unsafe { put(to, pointer(world.generation, Handle::Gpu { slot })) }
}

fn find(world: &World, is: impl Fn(&Gpu) -> bool) -> Result<usize, Code> {
    world.order.iter().copied().find(|slot| is(&world.gpus[*slot])).ok_or(Code::NOT_FOUND)
}

#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn nvmlDeviceGetHandleByIndex_v2(
    index: c_uint,
    device: *mut nvmlDevice_t,
) -> nvmlReturn_t {
    system(Symbol::nvmlDeviceGetHandleByIndex_v2, |world| {
        let slot = world.at_index(index)?;
        // SAFETY: the caller vouches for its pointer.
        unsafe { give(world, slot, device) }
    })
}

#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn nvmlDeviceGetHandleByUUID(
    uuid: *const c_char,
    device: *mut nvmlDevice_t,
) -> nvmlReturn_t {
    system(Symbol::nvmlDeviceGetHandleByUUID, |world| {
        // SAFETY: the caller vouches for its text.
        let uuid = unsafe { text(uuid) }?;
        for slot in world.order.iter().copied() {
            let gpu = &world.gpus[slot];
            let mut devices = gpu.mig.iter().flatten();
            if let Some(index) = devices.position(|mig| mig.uuid == uuid) {
                if let Some(code) = gpu.broken() {
                    return Err(code);
                }
                let handle = Handle::Mig { slot, generation: gpu.mig_generation, index };
                // SAFETY: the caller vouches for its pointer.
                return unsafe { put(device, pointer(world.generation, handle)) };
            }
        }
        let slot = find(world, |gpu| gpu.identity.uuid == uuid)?;
        // SAFETY: the caller vouches for its pointer.
        unsafe { give(world, slot, device) }
    })
}

#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn nvmlDeviceGetHandleBySerial(
    serial: *const c_char,
    device: *mut nvmlDevice_t,
) -> nvmlReturn_t {
    system(Symbol::nvmlDeviceGetHandleBySerial, |world| {
        // SAFETY: the caller vouches for its text.
        let serial = unsafe { text(serial) }?;
        let slot = find(world, |gpu| gpu.identity.serial == serial)?;
        // SAFETY: the caller vouches for its pointer.
        unsafe { give(world, slot, device) }
    })
}

#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn nvmlDeviceGetHandleByPciBusId_v2(
    bus: *const c_char,
    device: *mut nvmlDevice_t,
) -> nvmlReturn_t {
    system(Symbol::nvmlDeviceGetHandleByPciBusId_v2, |world| {
        // SAFETY: the caller vouches for its text.
        let address = parse_pci(unsafe { text(bus) }?).ok_or(Code::INVALID_ARGUMENT)?;
        let slot = find(world, |gpu| gpu.identity.pci_address == address)?;
        // SAFETY: the caller vouches for its pointer.
        unsafe { give(world, slot, device) }
    })
}

/// The name as the scenario wants it, which may be no text.
fn name(device: &Device<'_>) -> Vec<u8> {
    let conditions = &device.gpu.effects.conditions;
    let mut name = match (&conditions.name_hex, &conditions.name) {
        (Some(hex), _) => bytes(hex),
        (None, Some(name)) => name.clone().into_bytes(),
        (None, None) => device.gpu.profile.name.as_bytes().to_vec(),
    };
    if let Some(mig) = device.mig {
        name.extend_from_slice(b" MIG ");
        name.extend_from_slice(mig.profile.as_bytes());
    }
    name
}

fn bytes(hex: &str) -> Vec<u8> {
    let digits: Vec<u8> =
        hex.chars().filter_map(|c| c.to_digit(16)).filter_map(|d| u8::try_from(d).ok()).collect();
    digits.chunks_exact(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}

/// What a GPU's bus address looks like to NVML.
pub(crate) fn pci_info(gpu: &Gpu) -> nvmlPciInfo_t {
    let (domain, bus, device) = gpu.identity.pci_address;
    let mut info = nvmlPciInfo_t {
        busIdLegacy: [0; 16],
        domain,
        bus,
        device,
        pciDeviceId: gpu.profile.pci_ids.0,
        pciSubSystemId: gpu.profile.pci_ids.1,
        busId: [0; 32],
    };
    fill(&mut info.busId, &format!("{domain:08X}:{bus:02X}:{device:02X}.0"));
    fill(&mut info.busIdLegacy, &format!("{domain:04X}:{bus:02X}:{device:02X}.0"));
    info
}

/// Copies a text into a C array, which keeps a zero at its end.
pub(crate) fn fill(to: &mut [c_char], text: &str) {
    let room = to.len().saturating_sub(1);
    for (to, byte) in to.iter_mut().take(room).zip(text.bytes()) {
        *to = c_char::from_ne_bytes([byte]);
    }
}

device_functions! {
    nvmlDeviceGetIndex(index: *mut c_uint) |device| {
        device.whole()?;
        let place = device.world.order.iter().position(|slot| *slot == device.slot);
        put(index, count(place.ok_or(Code::GPU_IS_LOST)?))
    }

    nvmlDeviceGetName(to: *mut c_char, length: c_uint) |device| {
        put_text(to, length, &name(device))
    }

    nvmlDeviceGetUUID(to: *mut c_char, length: c_uint) |device| {
        let uuid = device.mig.map_or(&device.gpu.identity.uuid, |mig| &mig.uuid);
        put_text(to, length, uuid.as_bytes())
    }

    nvmlDeviceGetSerial(to: *mut c_char, length: c_uint) |device| {
        device.whole()?;
        put_text(to, length, device.gpu.identity.serial.as_bytes())
    }

    nvmlDeviceGetBoardPartNumber(to: *mut c_char, length: c_uint) |device| {
        device.whole()?;
        put_text(to, length, device.gpu.profile.board_part.as_bytes())
    }

    nvmlDeviceGetVbiosVersion(to: *mut c_char, length: c_uint) |device| {
        device.whole()?;
        put_text(to, length, device.gpu.profile.vbios.as_bytes())
    }

    nvmlDeviceGetInforomImageVersion(to: *mut c_char, length: c_uint) |device| {
        device.whole()?;
        put_text(to, length, device.gpu.profile.inforom.as_bytes())
    }

    nvmlDeviceGetInforomVersion(
        object: nvmlInforomObject_t, to: *mut c_char, length: c_uint
    ) |device| {
        device.whole()?;
        let versions = &device.gpu.profile.inforom_objects;
        let object = usize::try_from(object).map_err(|_| Code::INVALID_ARGUMENT)?;
        // DEN, the fourth part, is of no board here.
        match versions.get(object) {
            Some(Some(version)) => put_text(to, length, version.as_bytes()),
            Some(None) => Err(Code::NOT_SUPPORTED),
            None if object == versions.len() => Err(Code::NOT_SUPPORTED),
            None => Err(Code::INVALID_ARGUMENT),
        }
    }

    nvmlDeviceValidateInforom() |device| {
        device.whole()?;
        let corrupt = device.gpu.effects.conditions.inforom_corrupt == Some(true);
        if corrupt { Err(Code::CORRUPTED_INFOROM) } else { Ok(()) }
    }

    nvmlDeviceGetPciInfo_v3(pci: *mut nvmlPciInfo_t) |device| {
        device.whole()?;
        put(pci, pci_info(device.gpu))
    }

    nvmlDeviceGetMinorNumber(minor: *mut c_uint) |device| {
        device.whole()?;
        put(minor, device.gpu.identity.minor)
    }

    nvmlDeviceGetBrand(brand: *mut nvmlBrandType_t) |device| {
        device.whole()?;
        put(brand, BRAND)
    }

    nvmlDeviceGetArchitecture(architecture: *mut nvmlDeviceArchitecture_t) |device| {
        put(architecture, device.gpu.profile.architecture)
    }

    nvmlDeviceGetCudaComputeCapability(major: *mut c_int, minor: *mut c_int) |device| {
        let (of, part) = device.gpu.profile.compute_capability;
        put(major, of)?;
        put(minor, part)
    }

    nvmlDeviceGetNumaNodeId(node: *mut c_uint) |device| {
        device.whole()?;
        put(node, device.gpu.identity.numa)
    }

    nvmlDeviceGetModuleId(module: *mut c_uint) |device| {
        device.whole()?;
        has(device.gpu.profile.has.module_id)?;
        put(module, device.gpu.identity.module)
    }

    nvmlDeviceGetGspFirmwareVersion(version: *mut c_char) |device| {
        device.whole()?;
        put_text(version, 64, device.world.driver.as_bytes())
    }

    nvmlDeviceGetGspFirmwareMode(enabled: *mut c_uint, default: *mut c_uint) |device| {
        device.whole()?;
        put(enabled, 1)?;
        put(default, 1)
    }

    nvmlDeviceGetPersistenceMode(mode: *mut nvmlEnableState_t) |device| {
        device.whole()?;
        put(mode, u32::from(device.gpu.effects.conditions.persistence.unwrap_or(true)))
    }

    nvmlDeviceGetVirtualizationMode(mode: *mut nvmlGpuVirtualizationMode_t) |device| {
        device.whole()?;
        put(mode, 0)
    }
}
