//! NVLink and the fabric.

use std::ffi::{c_uint, c_ulonglong};

use nvml_wrapper_sys::bindings::{
    nvmlDevice_t, nvmlEnableState_t, nvmlGpuFabricInfo_t, nvmlGpuFabricInfo_v2_t,
    nvmlGpuFabricInfo_v3_t, nvmlGpuFabricInfoV_t, nvmlGpuP2PCapsIndex_t, nvmlGpuP2PStatus_t,
    nvmlIntNvLinkDeviceType_t, nvmlNvLinkErrorCounter_t, nvmlPciInfo_t,
};

use super::discovery::fill;
use super::{device_functions, put, version_word};
use crate::call::{Device, has};
use crate::code::Code;
use crate::gpu::Gpu;
use crate::handle::{self, Handle};
use crate::profiles::NvLink;
use crate::scenario::Fabric;

/// Bus ids of the NVSwitches that links end at, as HGX boards have them.
const SWITCHES: [u32; 4] = [0x03, 0x04, 0x05, 0x06];
/// `NVML_NVLINK_DEVICE_TYPE_SWITCH`.
const SWITCH: nvmlIntNvLinkDeviceType_t = 2;
const GPU: nvmlIntNvLinkDeviceType_t = 0;
const P2P_OK: nvmlGpuP2PStatus_t = 0;
const P2P_NOT_SUPPORTED: nvmlGpuP2PStatus_t = 5;
/// The cluster that all GPUs of the fake are of.
const CLUSTER: [u8; 16] = *b"fake-nvml-fabric";

/// The link, which has to be one that the GPU has.
fn link<'a>(device: &Device<'a>, link: c_uint) -> Result<(&'a NvLink, usize), Code> {
    device.whole()?;
    let nvlink = device.gpu.profile.nvlink.as_ref().ok_or(Code::NOT_SUPPORTED)?;
    let link = usize::try_from(link).map_err(|_| Code::INVALID_ARGUMENT)?;
    if link < nvlink.links { Ok((nvlink, link)) } else { Err(Code::INVALID_ARGUMENT) }
}

fn up(device: &Device<'_>, link: usize) -> bool {
    !device.gpu.effects.conditions.nvlink_down.contains(&link)
}

fn fabric(device: &Device<'_>) -> Result<Fabric, Code> {
    device.whole()?;
    has(device.gpu.profile.has.fabric)?;
    Ok(device.gpu.effects.conditions.fabric.clone().unwrap_or_default())
}

device_functions! {
    nvmlDeviceGetNvLinkState(at: c_uint, to: *mut nvmlEnableState_t) |device| {
        let (_, at) = link(device, at)?;
        put(to, u32::from(up(device, at)))
    }

    nvmlDeviceGetNvLinkVersion(at: c_uint, to: *mut c_uint) |device| {
        let (nvlink, _) = link(device, at)?;
        put(to, nvlink.version)
    }

    nvmlDeviceGetNvLinkRemotePciInfo_v2(at: c_uint, to: *mut nvmlPciInfo_t) |device| {
        let (nvlink, at) = link(device, at)?;
        if !up(device, at) {
            return Err(Code::NOT_SUPPORTED);
        }
        has(nvlink.switched)?;
        let bus = SWITCHES[at % SWITCHES.len()];
        let mut info = nvmlPciInfo_t {
            busIdLegacy: [0; 16],
            domain: 0,
            bus,
            device: 0,
            pciDeviceId: 0x22a3_10de,
            pciSubSystemId: 0,
            busId: [0; 32],
        };
        fill(&mut info.busId, &format!("00000000:{bus:02X}:00.0"));
        fill(&mut info.busIdLegacy, &format!("0000:{bus:02X}:00.0"));
        put(to, info)
    }

    nvmlDeviceGetNvLinkRemoteDeviceType(at: c_uint, to: *mut nvmlIntNvLinkDeviceType_t) |device| {
        let (nvlink, at) = link(device, at)?;
        if !up(device, at) {
            return Err(Code::NOT_SUPPORTED);
        }
        put(to, if nvlink.switched { SWITCH } else { GPU })
    }

    nvmlDeviceGetNvLinkErrorCounter(
        at: c_uint, counter: nvmlNvLinkErrorCounter_t, to: *mut c_ulonglong
    ) |device| {
        let (_, at) = link(device, at)?;
        has(!device.gpu.profile.has.nvlink5)?;
        // The tally has them in the order of the fields: CRC flit, CRC data, replay, recovery, ECC.
        let place = match counter {
            0 => 2,
            1 => 3,
            2 => 0,
            3 => 1,
            4 => 4,
            _ => return Err(Code::INVALID_ARGUMENT),
        };
        put(to, device.state().tally.links[at][place])
    }

    nvmlDeviceGetP2PStatus(
        peer: nvmlDevice_t, capability: nvmlGpuP2PCapsIndex_t, to: *mut nvmlGpuP2PStatus_t
    ) |device| {
        device.whole()?;
        let world = device.world;
        let slot = match handle::of(world.generation, peer) {
            Some(Handle::Gpu { slot }) if slot < world.gpus.len() => slot,
            _ => return Err(Code::INVALID_ARGUMENT),
        };
        if slot == device.slot {
            return Err(Code::INVALID_ARGUMENT);
        }
        let other = &world.gpus[slot];
        if let Some(code) = other.broken() {
            return Err(code);
        }
        let status = |gpu: &Gpu| gpu.effects.conditions.p2p_status;
        if let Some(status) = status(device.gpu).or(status(other)) {
            return put(to, status);
        }
        let links = |gpu: &Gpu| gpu.profile.nvlink.as_ref().map_or(0, |nvlink| nvlink.links);
        let up = |gpu: &Gpu| (0..links(gpu)).any(|at| !gpu.effects.conditions.nvlink_down.contains(&at));
        let linked = up(device.gpu) && up(other);
        put(to, match capability {
            // Over PCIe alone GPUs read and write, and do no atomics.
            0 | 1 | 4 => P2P_OK,
            2 | 3 if linked => P2P_OK,
            2 | 3 => P2P_NOT_SUPPORTED,
            _ => return Err(Code::INVALID_ARGUMENT),
        })
    }

    nvmlDeviceGetGpuFabricInfo(to: *mut nvmlGpuFabricInfo_t) |device| {
        let Fabric { state, status, clique, .. } = fabric(device)?;
        put(to, nvmlGpuFabricInfo_t { clusterUuid: CLUSTER, status: status.0, cliqueId: clique, state })
    }

    nvmlDeviceGetGpuFabricInfoV(to: *mut nvmlGpuFabricInfoV_t) |device| {
        if to.is_null() {
            return Err(Code::INVALID_ARGUMENT);
        }
        let version = to.cast::<u32>().read();
        let Fabric { state, status, clique, health, summary } = fabric(device)?;
        if version == version_word::<nvmlGpuFabricInfo_v2_t>(2) {
            put(to.cast(), nvmlGpuFabricInfo_v2_t {
                version, clusterUuid: CLUSTER, status: status.0, cliqueId: clique, state, healthMask: health,
            })
        } else if version == version_word::<nvmlGpuFabricInfo_v3_t>(3) && device.world.driver_version.0 >= 550 {
            put(to, nvmlGpuFabricInfo_v3_t {
                version, clusterUuid: CLUSTER, status: status.0, cliqueId: clique, state,
                healthMask: health, healthSummary: summary,
            })
        } else {
            Err(Code::ARGUMENT_VERSION_MISMATCH)
        }
    }
}
