//! NVLinks one by one, for what has no field, and whether GPUs can reach each other.

#![allow(unsafe_code, reason = "NVML is a C library")]

use super::library::{call, until_nul};
use super::{Code, Handle, Library};

impl Library {
    /// Whether a link is active.
    ///
    /// # Errors
    /// NVML's code; invalid argument beyond the last link.
    pub(in crate::collectors::gpu) fn link_is_up(
        &self,
        device: Handle,
        link: u32,
    ) -> Result<bool, Code> {
        let mut active = 0;
        call!(self, nvmlDeviceGetNvLinkState(self.device(device), link, &raw mut active))?;
        Ok(active != 0)
    }

    /// NVLink's version, as `nvml.h` numbers it.
    ///
    /// # Errors
    /// NVML's code.
    pub(in crate::collectors::gpu) fn link_version(
        &self,
        device: Handle,
        link: u32,
    ) -> Result<u32, Code> {
        let mut version = 0;
        call!(self, nvmlDeviceGetNvLinkVersion(self.device(device), link, &raw mut version))?;
        Ok(version)
    }

    /// PCI address of what is at the other end.
    ///
    /// # Errors
    /// NVML's code.
    pub(in crate::collectors::gpu) fn link_remote(
        &self,
        device: Handle,
        link: u32,
    ) -> Result<String, Code> {
        // SAFETY: plain numbers and text, for which all zeroes is a value.
        let mut pci: nvml_wrapper_sys::bindings::nvmlPciInfo_t = unsafe { std::mem::zeroed() };
        call!(self, nvmlDeviceGetNvLinkRemotePciInfo_v2(self.device(device), link, &raw mut pci))?;
        Ok(super::identity::pci_address(&until_nul(&pci.busId.map(i8::cast_unsigned))))
    }

    /// Whether a GPU can reach another one (`nvmlGpuP2PStatus_t`), in one way
    /// (`nvmlGpuP2PCapsIndex_t`).
    ///
    /// # Errors
    /// NVML's code, which may be about either of them.
    pub(in crate::collectors::gpu) fn p2p_status(
        &self,
        device: Handle,
        peer: Handle,
        capability: u32,
    ) -> Result<u32, Code> {
        let mut status = 0;
        let (device, peer) = (self.device(device), self.device(peer));
        call!(self, nvmlDeviceGetP2PStatus(device, peer, capability, &raw mut status))?;
        Ok(status)
    }

    /// What is at the other end: "gpu", "switch", "npu".
    ///
    /// # Errors
    /// NVML's code.
    pub(in crate::collectors::gpu) fn link_remote_type(
        &self,
        device: Handle,
        link: u32,
    ) -> Result<&'static str, Code> {
        let mut kind = 0;
        call!(self, nvmlDeviceGetNvLinkRemoteDeviceType(self.device(device), link, &raw mut kind))?;
        Ok(match kind {
            0 => "gpu",
            1 => "npu",
            2 => "switch",
            _ => "unknown",
        })
    }
}
