//! What device plugins and DRA drivers call a device, and what it is called here.
//!
//! Canonical are `GPU-<uuid>`, `MIG-<uuid>` (before driver 470 `MIG-GPU-<uuid>/<gi>/<ci>`) and
//! PCI addresses as sysfs writes them. A *nickname* (`nvidia0/gi1`, a DRA name such as `gpu-0`)
//! is made canonical by whoever knows the device. Everything else stays as it is: to Kubernetes
//! an id means nothing.

/// The driver whose device names the GPU collector knows.
const NVIDIA_DRA_DRIVER: &str = "gpu.nvidia.com";
/// The most that a label's value can hold.
const LONGEST_ID: usize = sextant_proto::limits::MAX_LABEL_VALUE_BYTES;

/// What an id is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// Canonical: another collector tells of the device. An alias still goes before it.
    Canonical,
    /// Another collector may know it by an alias.
    Nickname,
    /// Only its plugin knows.
    Plain,
    /// It claims to be a GPU's and does not look like one.
    Odd,
}

/// A device that was given to a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Device {
    pub(super) id: String,
    pub(super) form: Form,
    /// The id says that it is a share: time slicing, MPS, a share of a DRA device.
    pub(super) shared: bool,
}

impl Device {
    /// A device plugin's id; `None` if it cannot be a label's value.
    pub(super) fn plugin(id: &str) -> Option<Self> {
        if id.is_empty() || id.len() > LONGEST_ID || id.chars().any(char::is_control) {
            return None;
        }
        // The NVIDIA plugin's replicas: "GPU-<uuid>::3".
        if let Some((whole, replica)) = id.rsplit_once("::")
            && is_number(replica)
        {
            let device = Self::whole(whole);
            if matches!(device.form, Form::Canonical | Form::Nickname) {
                return Some(Self { shared: true, ..device });
            }
        }
        Some(Self::whole(id))
    }

    /// A device of a DRA claim; `None` if its name cannot be a label's value.
    pub(super) fn claimed(driver: &str, name: &str, shared: bool) -> Option<Self> {
        let device = Self::plugin(name)?;
        let shared = shared || device.shared;
        if device.form != Form::Plain {
            return Some(Self { shared, ..device });
        }
        if driver == NVIDIA_DRA_DRIVER {
            return Some(Self { form: Form::Nickname, shared, ..device });
        }
        Some(match dashed_pci(name) {
            Some(id) => Self { id, form: Form::Canonical, shared },
            None => Self { shared, ..device },
        })
    }

    fn whole(id: &str) -> Self {
        let (id, form, shared) = if let Some(address) = pci(id) {
            (address, Form::Canonical, false)
        } else if let Some(rest) = id.strip_prefix("GPU-") {
            (id.to_owned(), if is_uuid(rest) { Form::Canonical } else { Form::Odd }, false)
        } else if let Some(rest) = id.strip_prefix("MIG-") {
            (id.to_owned(), if is_mig(rest) { Form::Canonical } else { Form::Odd }, false)
        } else if is_uuid(id) {
            (id.to_owned(), Form::Nickname, false)
        } else if let Some((whole, shared)) = gke(id) {
            (whole.to_owned(), Form::Nickname, shared)
        } else {
            (id.to_owned(), Form::Plain, false)
        };
        Self { id, form, shared }
    }
}

/// A PCI address as sysfs writes it: lower case, a domain of at least four digits.
fn pci(id: &str) -> Option<String> {
    let (domain, rest) = id.split_once(':')?;
    let (bus, rest) = rest.split_once(':')?;
    let (slot, function) = rest.split_once('.')?;
    let fits = (4..=8).contains(&domain.len())
        && [bus, slot].iter().all(|part| part.len() == 2)
        && [domain, bus, slot].iter().all(|part| is_hex(part))
        && matches!(function.as_bytes(), [b'0'..=b'7']);
    // NVML pads the domain to eight digits.
    let padding = domain.len() - domain.trim_start_matches('0').len();
    let domain = fits.then(|| &domain[padding.min(domain.len() - 4)..])?;
    Some(format!("{domain}:{bus}:{slot}.{function}").to_ascii_lowercase())
}

/// The PCI address in a DRA driver's device name, which cannot have colons: SR-IOV
/// "0000-3b-02-1", networks "pci-0000-3b-00-0", Intel GPUs "0000-03-00-0-0x56a0".
fn dashed_pci(name: &str) -> Option<String> {
    let mut parts = name.strip_prefix("pci-").unwrap_or(name).split('-');
    let [domain, bus, slot, function] = std::array::from_fn(|_| parts.next().unwrap_or(""));
    match (parts.next().map(|id| id.strip_prefix("0x")), parts.next()) {
        (None, None) => {}
        (Some(Some(id)), None) if id.len() <= 4 && is_hex(id) => {}
        _ => return None,
    }
    pci(&format!("{domain}:{bus}:{slot}.{function}"))
}

/// GKE's plugin: `nvidiaN`, `nvidiaN/giM`, and both with `/vgpuK` for a share; without the share.
fn gke(id: &str) -> Option<(&str, bool)> {
    let (whole, shared) = match id.rsplit_once("/vgpu") {
        Some((whole, share)) => (is_number(share).then_some(whole)?, true),
        None => (id, false),
    };
    let numbers = whole.strip_prefix("nvidia")?;
    let fits = match numbers.split_once("/gi") {
        Some((gpu, instance)) => is_number(gpu) && is_number(instance),
        None => is_number(numbers),
    };
    fits.then_some((whole, shared))
}

/// What follows `MIG-`: a UUID, or that of a GPU with the numbers of the instances.
fn is_mig(rest: &str) -> bool {
    let Some(of_gpu) = rest.strip_prefix("GPU-") else { return is_uuid(rest) };
    let mut parts = of_gpu.split('/');
    parts.next().is_some_and(is_uuid)
        && parts.next().is_some_and(is_number)
        && parts.next().is_some_and(is_number)
        && parts.next().is_none()
}

/// Whether the text is a UUID with its dashes.
pub(super) fn is_uuid(text: &str) -> bool {
    text.len() == 36
        && text.bytes().enumerate().all(|(at, byte)| match at {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        })
}

/// Whether the text is hexadecimal digits.
pub(super) fn is_hex(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::Form::{Canonical, Nickname, Odd, Plain};
    use super::*;

    const UUID: &str = "8f2c1d90-3e5a-4b1c-9d2e-0a1b2c3d4e5f";

    #[test]
    fn every_form_of_id_is_told_apart() {
        let cases = [
            ("GPU-@", "GPU-@", Canonical, false),
            ("GPU-@::0", "GPU-@", Canonical, true),
            ("GPU-@::12", "GPU-@", Canonical, true),
            ("MIG-@", "MIG-@", Canonical, false),
            ("MIG-@::1", "MIG-@", Canonical, true),
            ("MIG-GPU-@/7/0", "MIG-GPU-@/7/0", Canonical, false),
            ("@", "@", Nickname, false),
            ("@::3", "@", Nickname, true),
            ("nvidia0", "nvidia0", Nickname, false),
            ("nvidia12/gi3", "nvidia12/gi3", Nickname, false),
            ("nvidia0/vgpu1", "nvidia0", Nickname, true),
            ("nvidia0/gi2/vgpu10", "nvidia0/gi2", Nickname, true),
            ("0000:3b:02.1", "0000:3b:02.1", Canonical, false),
            ("00000000:3B:00.0", "0000:3b:00.0", Canonical, false),
            ("10000:01:00.7", "10000:01:00.7", Canonical, false),
            ("GPU-0", "GPU-0", Odd, false),
            ("GPU-@::", "GPU-@::", Odd, false),
            ("GPU-@-3", "GPU-@-3", Odd, false),
            ("MIG-GPU-@/7", "MIG-GPU-@/7", Odd, false),
            ("MIG-GPU-@/7/0/1", "MIG-GPU-@/7/0/1", Odd, false),
            ("nvidia", "nvidia", Plain, false),
            ("nvidiactl", "nvidiactl", Plain, false),
            ("nvidia0/gi", "nvidia0/gi", Plain, false),
            ("nvidia0/vgpu", "nvidia0/vgpu", Plain, false),
            ("kvm::1", "kvm::1", Plain, false),
            ("3b:02.1", "3b:02.1", Plain, false),
            ("0000:3b:02.8", "0000:3b:02.8", Plain, false),
            ("0000:3b:2.1", "0000:3b:2.1", Plain, false),
            ("fuse-é", "fuse-é", Plain, false),
        ];
        for (id, canonical, form, shared) in cases {
            let device = Device::plugin(&id.replace('@', UUID)).unwrap();
            let expected = Device { id: canonical.replace('@', UUID), form, shared };
            assert_eq!(device, expected, "{id}");
        }
        for id in ["", "a\nb", &"x".repeat(LONGEST_ID + 1)] {
            assert_eq!(Device::plugin(id), None, "{id}");
        }
    }

    #[test]
    fn claimed_devices_are_known_by_uuid_address_or_alias() {
        let cases = [
            ("gpu.nvidia.com", "gpu-0", "gpu-0", Nickname),
            ("gpu.nvidia.com", "gpu-0-mig-1g10gb-19-0", "gpu-0-mig-1g10gb-19-0", Nickname),
            ("gpu.amd.com", "gpu-0", "gpu-0", Plain),
            ("sriovnetwork.k8snetworkplumbingwg.io", "0000-3b-02-1", "0000:3b:02.1", Canonical),
            ("dra.net", "pci-0000-3b-00-0", "0000:3b:00.0", Canonical),
            ("gpu.intel.com", "0000-03-00-0-0x56a0", "0000:03:00.0", Canonical),
            ("gpu.intel.com", "0000-03-00-0-vf1", "0000-03-00-0-vf1", Plain),
            ("cpu.dra", "cpudev001", "cpudev001", Plain),
        ];
        for (driver, name, id, form) in cases {
            for shared in [false, true] {
                let expected = Device { id: id.into(), form, shared };
                assert_eq!(Device::claimed(driver, name, shared), Some(expected), "{name}");
            }
        }
    }
}
