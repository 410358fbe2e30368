//! The GPUs that a scenario can have, each with what its kind really supports: a field that the
//! product does not have is `NOT_SUPPORTED` here, too.
//!
//! Numbers are data sheets' and what `nvidia-smi -q` shows of such boards.

const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;

/// One kind of GPU.
#[derive(Debug)]
pub(crate) struct Profile {
    pub key: &'static str,
    pub name: &'static str,
    pub board_part: &'static str,
    pub vbios: &'static str,
    pub inforom: &'static str,
    /// Versions of its parts: OEM, ECC, power.
    pub inforom_objects: [Option<&'static str>; 3],
    /// `NVML_DEVICE_ARCH_*`.
    pub architecture: u32,
    pub compute_capability: (i32, i32),
    /// Device and vendor, subsystem and its vendor.
    pub pci_ids: (u32, u32),
    pub memory: u64,
    pub reserved: u64,
    pub bar1: u64,
    /// Watts.
    pub power: Power,
    pub clocks: Clocks,
    pub heat: Heat,
    pub pcie: (u32, u32),
    /// Absent: no NVLink.
    pub nvlink: Option<NvLink>,
    pub multiprocessors: u32,
    /// MIG can be switched on, with this many instances.
    pub mig_instances: u32,
    pub has: Has,
    /// Events that can be registered for.
    pub events: u64,
}

#[derive(Debug)]
pub(crate) struct Power {
    pub idle: f64,
    pub limit: f64,
    pub min_limit: f64,
    pub max_limit: f64,
}

/// MHz.
#[derive(Debug)]
pub(crate) struct Clocks {
    pub sm_max: u32,
    pub sm_idle: u32,
    pub memory_max: u32,
    pub memory_idle: u32,
    pub video_max: u32,
    pub video_idle: u32,
    /// Applications' default.
    pub sm_application: u32,
}

/// °C, and °C per watt.
#[derive(Debug)]
pub(crate) struct Heat {
    pub ambient: f64,
    pub per_watt: f64,
    pub shutdown: u32,
    pub slowdown: u32,
    pub memory_max: u32,
    pub gpu_max: u32,
    /// T.Limit offsets: shutdown, slowdown, memory max, GPU max.
    pub margins: [i32; 4],
}

#[derive(Debug)]
pub(crate) struct NvLink {
    pub links: usize,
    pub version: u32,
    /// Each way, bytes a second and link.
    pub bandwidth: f64,
    /// Mb/s as the speed fields say.
    pub speed: u32,
    /// Links end at NVSwitches.
    pub switched: bool,
}

/// What the product has.
#[derive(Debug)]
pub(crate) struct Has {
    pub memory_temperature: bool,
    /// `GetTemperatureThreshold` in degrees.
    pub thresholds: bool,
    /// `GetMarginTemperature` and fields 193 to 196.
    pub margins: bool,
    /// Field 185: everything from Ampere on but GA100.
    pub power_average: bool,
    /// Fields 186 to 192.
    pub power_fields: bool,
    pub gpm: bool,
    pub row_remap: bool,
    pub page_retirement: bool,
    pub sram_status: bool,
    /// Fields 173 to 183.
    pub pcie_errors: bool,
    /// Fields 197 and 198.
    pub pcie_bytes: bool,
    pub module_id: bool,
    pub fabric: bool,
    pub jpeg: bool,
    pub optical_flow: bool,
    /// Fields 251 to 253, and 230.
    pub event_times: bool,
    /// NVLink 5 counters, fields 201 to 222 and 235 to 250.
    pub nvlink5: bool,
}

/// Single, double, Xid, clock, MIG configuration.
const EVENTS_AMPERE: u64 = 0x1 | 0x2 | 0x8 | 0x10 | 0x100;
/// Those, storms, retirements, poison, unavailable, recovery action.
const EVENTS_HOPPER: u64 = EVENTS_AMPERE | 0xfe00;

const HOPPER: Has = Has {
    memory_temperature: true,
    thresholds: false,
    margins: true,
    power_average: true,
    power_fields: true,
    gpm: true,
    row_remap: true,
    page_retirement: false,
    sram_status: true,
    pcie_errors: true,
    pcie_bytes: true,
    module_id: true,
    fabric: true,
    jpeg: true,
    optical_flow: true,
    event_times: true,
    nvlink5: false,
};

static PROFILES: [Profile; 5] = [
    Profile {
        key: "h100-sxm",
        name: "NVIDIA H100 80GB HBM3",
        board_part: "692-2G520-0200-000",
        vbios: "96.00.A5.00.01",
        inforom: "G520.0200.00.05",
        inforom_objects: [Some("2.1"), Some("7.16"), None],
        architecture: 9,
        compute_capability: (9, 0),
        pci_ids: (0x2330_10de, 0x16c1_10de),
        memory: 81_559 * MIB,
        reserved: 551 * MIB,
        bar1: 128 * GIB,
        power: Power { idle: 72.0, limit: 700.0, min_limit: 200.0, max_limit: 700.0 },
        clocks: Clocks {
            sm_max: 1980,
            sm_idle: 345,
            memory_max: 2619,
            memory_idle: 2619,
            video_max: 1545,
            video_idle: 765,
            sm_application: 1980,
        },
        heat: Heat {
            ambient: 26.0,
            per_watt: 0.058,
            shutdown: 95,
            slowdown: 89,
            memory_max: 95,
            gpu_max: 87,
            margins: [-8, -2, 0, 0],
        },
        pcie: (5, 16),
        nvlink: Some(NvLink {
            links: 18,
            version: 6,
            bandwidth: 25e9,
            speed: 26_562,
            switched: true,
        }),
        multiprocessors: 132,
        mig_instances: 7,
        has: HOPPER,
        events: EVENTS_HOPPER,
    },
    Profile {
        key: "b200",
        name: "NVIDIA B200",
        board_part: "692-2G525-0220-000",
        vbios: "97.00.88.00.0F",
        inforom: "G525.0220.00.03",
        inforom_objects: [Some("2.1"), Some("7.16"), None],
        architecture: 10,
        compute_capability: (10, 0),
        pci_ids: (0x2901_10de, 0x1999_10de),
        memory: 183_359 * MIB,
        reserved: 753 * MIB,
        bar1: 256 * GIB,
        power: Power { idle: 140.0, limit: 1000.0, min_limit: 200.0, max_limit: 1000.0 },
        clocks: Clocks {
            sm_max: 1965,
            sm_idle: 120,
            memory_max: 3996,
            memory_idle: 3996,
            video_max: 1530,
            video_idle: 480,
            sm_application: 1965,
        },
        heat: Heat {
            ambient: 26.0,
            per_watt: 0.042,
            shutdown: 95,
            slowdown: 90,
            memory_max: 100,
            gpu_max: 87,
            margins: [-8, -3, 0, 0],
        },
        pcie: (6, 16),
        nvlink: Some(NvLink {
            links: 18,
            version: 7,
            bandwidth: 50e9,
            speed: 53_125,
            switched: true,
        }),
        multiprocessors: 148,
        mig_instances: 7,
        has: Has { nvlink5: true, ..HOPPER },
        events: EVENTS_HOPPER,
    },
    Profile {
        key: "a100",
        name: "NVIDIA A100-SXM4-80GB",
        board_part: "692-2G506-0212-002",
        vbios: "92.00.45.00.03",
        inforom: "G506.0212.00.02",
        inforom_objects: [Some("2.0"), Some("6.16"), None],
        architecture: 7,
        compute_capability: (8, 0),
        pci_ids: (0x20b2_10de, 0x147f_10de),
        memory: 81_920 * MIB,
        reserved: 633 * MIB,
        bar1: 128 * GIB,
        power: Power { idle: 62.0, limit: 400.0, min_limit: 100.0, max_limit: 400.0 },
        clocks: Clocks {
            sm_max: 1410,
            sm_idle: 210,
            memory_max: 1593,
            memory_idle: 1593,
            video_max: 1290,
            video_idle: 795,
            sm_application: 1275,
        },
        heat: Heat {
            ambient: 25.0,
            per_watt: 0.1,
            shutdown: 92,
            slowdown: 89,
            memory_max: 95,
            gpu_max: 85,
            margins: [0; 4],
        },
        pcie: (4, 16),
        nvlink: Some(NvLink {
            links: 12,
            version: 4,
            bandwidth: 25e9,
            speed: 25_781,
            switched: true,
        }),
        multiprocessors: 108,
        mig_instances: 7,
        has: Has {
            thresholds: true,
            margins: false,
            power_average: false,
            gpm: false,
            pcie_bytes: false,
            fabric: false,
            ..HOPPER
        },
        events: EVENTS_AMPERE,
    },
    Profile {
        key: "l4",
        name: "NVIDIA L4",
        board_part: "900-2G193-0000-000",
        vbios: "95.04.29.00.06",
        inforom: "G193.0200.00.01",
        inforom_objects: [Some("2.1"), Some("6.16"), None],
        architecture: 8,
        compute_capability: (8, 9),
        pci_ids: (0x27b8_10de, 0x16ca_10de),
        memory: 23_034 * MIB,
        reserved: 513 * MIB,
        bar1: 32 * GIB,
        power: Power { idle: 13.0, limit: 72.0, min_limit: 40.0, max_limit: 72.0 },
        clocks: Clocks {
            sm_max: 2040,
            sm_idle: 210,
            memory_max: 6251,
            memory_idle: 405,
            video_max: 1770,
            video_idle: 1185,
            sm_application: 2040,
        },
        heat: Heat {
            ambient: 30.0,
            per_watt: 0.6,
            shutdown: 94,
            slowdown: 91,
            memory_max: 105,
            gpu_max: 86,
            margins: [-5, -2, 0, 0],
        },
        pcie: (4, 16),
        nvlink: None,
        multiprocessors: 58,
        mig_instances: 0,
        has: Has {
            memory_temperature: false,
            gpm: false,
            module_id: false,
            fabric: false,
            ..HOPPER
        },
        events: EVENTS_AMPERE & !0x100,
    },
    Profile {
        key: "t4",
        name: "Tesla T4",
        board_part: "900-2G183-0000-001",
        vbios: "90.04.96.00.02",
        inforom: "G183.0200.00.02",
        inforom_objects: [Some("1.1"), Some("5.0"), None],
        architecture: 6,
        compute_capability: (7, 5),
        pci_ids: (0x1eb8_10de, 0x12a2_10de),
        memory: 15_360 * MIB,
        reserved: 450 * MIB,
        bar1: 256 * MIB,
        power: Power { idle: 9.0, limit: 70.0, min_limit: 60.0, max_limit: 70.0 },
        clocks: Clocks {
            sm_max: 1590,
            sm_idle: 300,
            memory_max: 5001,
            memory_idle: 405,
            video_max: 1470,
            video_idle: 540,
            sm_application: 585,
        },
        heat: Heat {
            ambient: 30.0,
            per_watt: 0.65,
            shutdown: 96,
            slowdown: 93,
            memory_max: 0,
            gpu_max: 85,
            margins: [0; 4],
        },
        pcie: (3, 16),
        nvlink: None,
        multiprocessors: 40,
        mig_instances: 0,
        has: Has {
            memory_temperature: false,
            thresholds: true,
            margins: false,
            power_average: false,
            power_fields: false,
            gpm: false,
            row_remap: false,
            page_retirement: true,
            sram_status: false,
            pcie_errors: false,
            pcie_bytes: false,
            module_id: false,
            fabric: false,
            jpeg: false,
            optical_flow: false,
            event_times: false,
            nvlink5: false,
        },
        events: 0x1 | 0x2 | 0x4 | 0x8 | 0x10,
    },
];

/// The profile of that name.
pub(crate) fn named(key: &str) -> Option<&'static Profile> {
    PROFILES.iter().find(|profile| profile.key == key)
}

/// All names.
#[must_use]
pub fn profiles() -> Vec<&'static str> {
    PROFILES.iter().map(|profile| profile.key).collect()
}
