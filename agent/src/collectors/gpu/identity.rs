//! Who a GPU is: read once at first sight, kept when it is lost.

use std::path::Path;
use std::sync::Arc;

use super::nvml::{Code, Handle, Library};

/// NVML brands whose GPUs answer questions about remapped rows with nonsense.
const CONSUMER_BRANDS: [u32; 4] = [5, 6, 15, 16];

/// Parts of the InfoROM (`nvmlInforomObject_t`).
const INFOROM_OEM: u32 = 0;
const INFOROM_ECC: u32 = 1;
const INFOROM_POWER: u32 = 2;

/// What is known of a GPU apart from its values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Identity {
    pub(super) uuid: Arc<str>,
    /// "0000:3b:00.0".
    pub(super) pci: Arc<str>,
    /// The labels of `gpu_info`.
    pub(super) labels: Vec<(&'static str, String)>,
    /// The names that a device plugin may use in place of the UUID.
    pub(super) aliases: Vec<String>,
    pub(super) consumer: bool,
    pub(super) fans: u32,
}

/// What is known of a MIG device apart from its values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct MigIdentity {
    pub(super) uuid: Arc<str>,
    pub(super) gpu_instance: u32,
    /// The labels of `gpu_mig_info`.
    pub(super) labels: Vec<(&'static str, String)>,
    pub(super) aliases: Vec<String>,
    pub(super) multiprocessors: Option<u32>,
}

impl Identity {
    /// Reads it. Only the UUID must be had; what else a GPU does not tell has no label.
    pub(super) fn read(
        library: &Library,
        device: Handle,
        uuid: String,
        sys: &Path,
    ) -> Result<Self, Code> {
        let pci = library.pci(device)?;
        let index = library.index(device).ok().map(|n| n.to_string());
        let minor = library.minor_number(device).ok().map(|n| n.to_string());
        let brand = library.brand(device).ok();
        let number = |told: Result<u32, Code>| told.ok().map(|n| n.to_string());
        let known = [
            ("gpu", index.clone()),
            ("pci_bus_id", Some(pci.clone())),
            ("model", library.name(device).ok()),
            ("serial", library.serial(device).ok()),
            ("board_part_number", library.board_part_number(device).ok()),
            ("vbios_version", library.vbios_version(device).ok()),
            ("inforom_version", library.inforom_version(device).ok()),
            ("inforom_oem_version", library.inforom_object_version(device, INFOROM_OEM).ok()),
            ("inforom_ecc_version", library.inforom_object_version(device, INFOROM_ECC).ok()),
            ("inforom_power_version", library.inforom_object_version(device, INFOROM_POWER).ok()),
            ("brand", brand.map(brand_name)),
            ("architecture", library.architecture(device).ok().map(architecture_name)),
            ("compute_capability", library.compute_capability(device).ok()),
            ("minor_number", minor.clone()),
            ("numa_node", numa_node(sys, &pci).or_else(|| number(library.numa_node(device)))),
            ("module_id", number(library.module_id(device))),
            ("gsp_firmware_version", library.gsp_firmware_version(device).ok()),
        ];
        let told = known.into_iter().filter_map(|(name, value)| Some((name, value?)));
        // Device plugins name a GPU by its device file, which has the minor number.
        let aliases = minor.or(index).map(|number| format!("nvidia{number}"));
        Ok(Self {
            uuid: uuid.into(),
            pci: pci.into(),
            labels: told.filter(|(_, value)| !value.is_empty()).collect(),
            aliases: aliases.into_iter().collect(),
            consumer: brand.is_some_and(|brand| CONSUMER_BRANDS.contains(&brand)),
            fans: library.fans(device).unwrap_or(0),
        })
    }

    /// A label of `gpu_info`.
    pub(super) fn label(&self, name: &str) -> Option<&str> {
        self.labels.iter().find(|(known, _)| *known == name).map(|(_, value)| value.as_str())
    }
}

impl MigIdentity {
    /// Reads it. Only the UUID must be had.
    pub(super) fn read(library: &Library, device: Handle, uuid: String, gpu: &Identity) -> Self {
        let attributes = library.mig_attributes(device).ok();
        let gpu_instance = library.gpu_instance(device).ok();
        let compute_instance = library.compute_instance(device).ok();
        let name = library.name(device).ok();
        let profile = name
            .as_deref()
            .and_then(|name| Some(name.split_once(" MIG ")?.1.to_owned()))
            .or_else(|| attributes.map(|a| profile(a.gpu_slices, a.compute_slices, a.memory_mib)));
        let known = [
            ("gpu", gpu.label("gpu").map(str::to_owned)),
            ("gpu_uuid", Some(gpu.uuid.to_string())),
            ("gpu_instance", gpu_instance.map(|id| id.to_string())),
            ("compute_instance", compute_instance.map(|id| id.to_string())),
            ("profile", profile),
        ];
        let mut aliases = Vec::new();
        if let Some(gi) = gpu_instance {
            aliases.extend(gpu.aliases.iter().map(|gpu| format!("{gpu}/gi{gi}")));
            let ci = compute_instance.unwrap_or(0);
            aliases.push(format!("MIG-{}/{gi}/{ci}", gpu.uuid));
        }
        Self {
            uuid: uuid.into(),
            gpu_instance: gpu_instance.unwrap_or(super::nvml::NO_INSTANCE),
            labels: known.into_iter().filter_map(|(name, value)| Some((name, value?))).collect(),
            aliases,
            multiprocessors: attributes.map(|a| a.multiprocessors),
        }
    }
}

/// "1g.10gb", "1c.3g.40gb": as `nvidia-smi` names a MIG device's profile.
fn profile(gpu_slices: u32, compute_slices: u32, memory_mib: u64) -> String {
    let memory = memory_mib.div_ceil(1024);
    if compute_slices < gpu_slices {
        format!("{compute_slices}c.{gpu_slices}g.{memory}gb")
    } else {
        format!("{gpu_slices}g.{memory}gb")
    }
}

/// The NUMA node of the slot, which the kernel knows; none on nodes that have one only.
fn numa_node(sys: &Path, pci: &str) -> Option<String> {
    let path = sys.join("bus/pci/devices").join(pci).join("numa_node");
    let text = std::fs::read_to_string(path).ok()?;
    text.trim().parse::<u32>().ok().map(|node| node.to_string())
}

fn brand_name(brand: u32) -> String {
    let known = match brand {
        1 => "quadro",
        2 => "tesla",
        3 => "nvs",
        4 => "grid",
        5 => "geforce",
        6 => "titan",
        7 => "vapps",
        8 => "vpc",
        9 => "vcs",
        10 => "vws",
        11 => "cloud_gaming",
        12 => "quadro_rtx",
        13 => "nvidia_rtx",
        14 => "nvidia",
        15 => "geforce_rtx",
        16 => "titan_rtx",
        _ => return brand.to_string(),
    };
    known.to_owned()
}

fn architecture_name(architecture: u32) -> String {
    let known = match architecture {
        2 => "kepler",
        3 => "maxwell",
        4 => "pascal",
        5 => "volta",
        6 => "turing",
        7 => "ampere",
        8 => "ada",
        9 => "hopper",
        10 => "blackwell",
        _ => return architecture.to_string(),
    };
    known.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn profiles_are_named_as_nvidia_smi_does() {
        assert_eq!(profile(1, 1, 4864), "1g.5gb");
        assert_eq!(profile(1, 1, 9856), "1g.10gb");
        assert_eq!(profile(3, 1, 40_192), "1c.3g.40gb");
    }
}
