//! GPUs that the PCI bus shows, whatever NVML says of them.
//!
//! A GPU that the driver could not start is here and not in NVML. Virtual functions are left out,
//! since NVML never shows those; nor does it show what another driver has (passed through to a
//! machine, or not NVIDIA's), which the driver's name tells.

use std::fs;
use std::path::Path;

/// PCI vendor of NVIDIA.
const NVIDIA: &str = "0x10de";
/// Classes of GPUs: VGA, 3D and other display controllers.
const CLASSES: [&str; 3] = ["0x0300", "0x0302", "0x0380"];
/// GPUs listed; more than a node has.
const MOST: usize = 256;

/// A GPU that the PCI bus shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::collectors::gpu) struct PciGpu {
    /// As the kernel writes it: "0000:3b:00.0".
    pub(in crate::collectors::gpu) bus_id: String,
    /// PCI device id: "0x2330".
    pub(in crate::collectors::gpu) device: String,
    /// The bound driver's name, if any.
    pub(in crate::collectors::gpu) driver: Option<String>,
    /// The NUMA node; none where the firmware does not tell.
    pub(in crate::collectors::gpu) numa_node: Option<u32>,
    pub(in crate::collectors::gpu) link: PciLink,
}

/// A PCIe link as sysfs shows it; what cannot be read is none.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::collectors::gpu) struct PciLink {
    /// As the kernel writes it: "16.0 GT/s PCIe".
    pub(in crate::collectors::gpu) speed: Option<String>,
    pub(in crate::collectors::gpu) speed_max: Option<String>,
    pub(in crate::collectors::gpu) width: Option<u32>,
    pub(in crate::collectors::gpu) width_max: Option<u32>,
}

impl PciGpu {
    /// Whether NVML should show it: NVIDIA's driver has it, or none has.
    pub(in crate::collectors::gpu) fn is_for_nvml(&self) -> bool {
        self.driver.as_deref().is_none_or(|driver| driver == "nvidia")
    }
}

/// The GPUs below `sys`, by address. A device that goes away meanwhile is left out.
pub(super) fn gpus(sys: &Path) -> Vec<PciGpu> {
    let Ok(devices) = fs::read_dir(sys.join("bus/pci/devices")) else { return Vec::new() };
    let devices =
        devices.flatten().filter_map(|device| gpu(&device.path(), device.file_name().to_str()?));
    let mut gpus: Vec<_> = devices.take(MOST).collect();
    gpus.sort_unstable_by(|a, b| a.bus_id.cmp(&b.bus_id));
    gpus
}

fn gpu(device: &Path, bus_id: &str) -> Option<PciGpu> {
    let text = |name: &str| {
        let text = fs::read_to_string(device.join(name)).ok()?;
        Some(text.trim().to_owned())
    };
    let number = |name| text(name)?.parse().ok();
    let known_speed =
        |name| text(name).filter(|speed| speed.starts_with(|c: char| c.is_ascii_digit()));
    if text("vendor")? != NVIDIA {
        return None;
    }
    let class = text("class")?;
    let is_virtual = device.join("physfn").exists();
    if is_virtual || !CLASSES.iter().any(|known| class.starts_with(known)) {
        return None;
    }
    let driver = fs::read_link(device.join("driver")).ok();
    Some(PciGpu {
        bus_id: bus_id.to_owned(),
        device: text("device")?,
        driver: driver.and_then(|path| Some(path.file_name()?.to_str()?.to_owned())),
        numa_node: number("numa_node"),
        link: PciLink {
            speed: known_speed("current_link_speed"),
            speed_max: known_speed("max_link_speed"),
            width: number("current_link_width").filter(|width| *width > 0),
            width_max: number("max_link_width").filter(|width| (1..=32).contains(width)),
        },
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn device(sys: &Path, bus_id: &str, files: &[(&str, &str)], driver: Option<&str>) {
        let path = sys.join("bus/pci/devices").join(bus_id);
        fs::create_dir_all(&path).unwrap();
        for (name, text) in files {
            fs::write(path.join(name), format!("{text}\n")).unwrap();
        }
        if let Some(driver) = driver {
            symlink(format!("../../../bus/pci/drivers/{driver}"), path.join("driver")).unwrap();
        }
    }

    #[test]
    fn gpus_are_told_from_what_else_is_on_the_bus() {
        let sys = tempfile::tempdir().unwrap();
        assert_eq!(gpus(sys.path()), []);
        let h100 = [
            ("vendor", "0x10de"),
            ("class", "0x030200"),
            ("device", "0x2330"),
            ("numa_node", "1"),
            ("current_link_speed", "16.0 GT/s PCIe"),
            ("max_link_speed", "32.0 GT/s PCIe"),
            ("current_link_width", "8"),
            ("max_link_width", "16"),
        ];
        device(sys.path(), "0000:3b:00.0", &h100, Some("nvidia"));
        let lost = [
            ("vendor", "0x10de"),
            ("class", "0x030000"),
            ("device", "0x2330"),
            ("numa_node", "-1"),
            ("current_link_speed", "Unknown"),
            ("current_link_width", "0"),
        ];
        device(sys.path(), "0000:1b:00.0", &lost, None);
        device(sys.path(), "0000:5e:00.0", &h100[..3], Some("vfio-pci"));
        let switch = [("vendor", "0x10de"), ("class", "0x068000"), ("device", "0x22a3")];
        device(sys.path(), "0000:c1:00.0", &switch, Some("nvidia-nvswitch"));
        let nic = [("vendor", "0x15b3"), ("class", "0x020000"), ("device", "0x101d")];
        device(sys.path(), "0000:5d:00.0", &nic, Some("mlx5_core"));
        device(sys.path(), "0000:3b:00.4", &h100, None);
        let virtual_function = sys.path().join("bus/pci/devices/0000:3b:00.4");
        symlink("../0000:3b:00.0", virtual_function.join("physfn")).unwrap();

        let found = gpus(sys.path());
        let buses: Vec<_> =
            found.iter().map(|gpu| (gpu.bus_id.as_str(), gpu.driver.as_deref())).collect();
        let want = [None, Some("nvidia"), Some("vfio-pci")];
        assert_eq!(
            buses,
            ["0000:1b:00.0", "0000:3b:00.0", "0000:5e:00.0"]
                .into_iter()
                .zip(want)
                .collect::<Vec<_>>()
        );
        let for_nvml: Vec<_> = found.iter().map(PciGpu::is_for_nvml).collect();
        assert_eq!(for_nvml, [true, true, false]);
        assert_eq!((found[0].numa_node, &found[0].link), (None, &PciLink::default()));
        assert_eq!((found[1].numa_node, found[1].device.as_str()), (Some(1), "0x2330"));
        assert_eq!((found[1].link.width, found[1].link.width_max), (Some(8), Some(16)));
        assert_eq!(found[1].link.speed.as_deref(), Some("16.0 GT/s PCIe"));
    }
}
