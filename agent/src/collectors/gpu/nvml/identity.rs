//! What does not change while a GPU is there.

#![allow(unsafe_code, reason = "NVML is a C library")]

use nvml_wrapper_sys::bindings as sys;

use super::library::{call, text, until_nul};
use super::{Code, Handle, Library};

/// A method for each call of the form `f(device, buffer, length)`.
macro_rules! texts {
    ($($(#[$meta:meta])* $name:ident = $function:ident;)*) => {
        impl Library {
            $($(#[$meta])*
            ///
            /// # Errors
            /// NVML's code.
            pub(in crate::collectors::gpu) fn $name(&self, device: Handle) -> Result<String, Code> {
                text(|buffer, length| {
                    call!(self, $function(self.device(device), buffer, length))
                })
            })*
        }
    };
}

texts! {
    /// "GPU-…" or "MIG-…".
    uuid = nvmlDeviceGetUUID;
    /// The product's name.
    name = nvmlDeviceGetName;
    /// The board's serial number.
    serial = nvmlDeviceGetSerial;
    /// The board's part number.
    board_part_number = nvmlDeviceGetBoardPartNumber;
    /// The VBIOS's version.
    vbios_version = nvmlDeviceGetVbiosVersion;
    /// The InfoROM image's version.
    inforom_version = nvmlDeviceGetInforomImageVersion;
}

impl Library {
    /// The GPU system processor's firmware.
    ///
    /// # Errors
    /// NVML's code.
    pub(in crate::collectors::gpu) fn gsp_firmware_version(
        &self,
        device: Handle,
    ) -> Result<String, Code> {
        text(|buffer, _| call!(self, nvmlDeviceGetGspFirmwareVersion(self.device(device), buffer)))
    }

    /// The version of a part of the InfoROM, as `nvmlInforomObject_t` numbers them.
    ///
    /// # Errors
    /// NVML's code; not supported where the board has no such part.
    pub(in crate::collectors::gpu) fn inforom_object_version(
        &self,
        device: Handle,
        object: u32,
    ) -> Result<String, Code> {
        text(|buffer, length| {
            call!(self, nvmlDeviceGetInforomVersion(self.device(device), object, buffer, length))
        })
    }

    /// The PCI address as the kernel writes it: "0000:3b:00.0".
    ///
    /// # Errors
    /// NVML's code.
    pub(in crate::collectors::gpu) fn pci(&self, device: Handle) -> Result<String, Code> {
        // SAFETY: plain numbers and text, for which all zeroes is a value.
        let mut pci: sys::nvmlPciInfo_t = unsafe { std::mem::zeroed() };
        call!(self, nvmlDeviceGetPciInfo_v3(self.device(device), &raw mut pci))?;
        Ok(pci_address(&until_nul(&pci.busId.map(i8::cast_unsigned))))
    }

    /// "9.0".
    ///
    /// # Errors
    /// NVML's code.
    pub(in crate::collectors::gpu) fn compute_capability(
        &self,
        device: Handle,
    ) -> Result<String, Code> {
        let (mut major, mut minor) = (0, 0);
        let device = self.device(device);
        call!(self, nvmlDeviceGetCudaComputeCapability(device, &raw mut major, &raw mut minor))?;
        Ok(format!("{major}.{minor}"))
    }
}

/// NVML's address ("00000000:3B:00.0") as the kernel writes it ("0000:3b:00.0").
pub(super) fn pci_address(nvml: &str) -> String {
    let address = nvml.to_ascii_lowercase();
    match address.split_once(':') {
        Some((domain, rest)) => {
            let domain = domain.trim_start_matches('0');
            format!("{domain:0>4}:{rest}")
        }
        None => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pci_addresses_are_written_as_the_kernel_does() {
        for (nvml, want) in [
            ("00000000:3B:00.0", "0000:3b:00.0"),
            ("0000:07:00.0", "0000:07:00.0"),
            ("00010000:01:00.0", "10000:01:00.0"),
            ("", ""),
        ] {
            assert_eq!(pci_address(nvml), want);
        }
    }
}
