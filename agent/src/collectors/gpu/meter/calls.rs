//! The tiers, and the calls that are made in them.

use crate::collectors::gpu::metrics;
use crate::sample::Metric;

/// The tiers, by their index in `Collector::tiers`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::collectors::gpu) enum Tier {
    Fast = 0,
    Medium = 1,
    Slow = 2,
}

impl Tier {
    pub(in crate::collectors::gpu) const ALL: [Self; 3] = [Self::Fast, Self::Medium, Self::Slow];

    /// Ticks of this tier in one of the next slower one, with the default intervals; for the
    /// slowest, what seems fair.
    pub(super) const fn ratio(self) -> u32 {
        match self {
            Self::Fast => 10,
            Self::Medium => 6,
            Self::Slow => 5,
        }
    }

    /// Durations that are enough to judge by.
    pub(super) const fn enough(self) -> usize {
        match self {
            Self::Fast => super::WINDOW,
            Self::Medium => 6,
            Self::Slow => 3,
        }
    }
}

macro_rules! calls {
    ($($name:ident = $tier:ident($label:literal, $metric:ident);)*) => {
        /// The calls that are made again and again.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(in crate::collectors::gpu) enum Call { $($name),* }

        impl Call {
            pub(super) const ALL: &[Self] = &[$(Self::$name),*];

            /// The label `call`.
            pub(in crate::collectors::gpu) fn name(self) -> &'static str {
                match self { $(Self::$name => $label),* }
            }

            pub(super) fn tier(self) -> Tier {
                match self { $(Self::$name => Tier::$tier),* }
            }

            /// A metric that comes from it, to say what is missing without permission.
            pub(super) fn metric(self) -> &'static Metric {
                match self { $(Self::$name => &metrics::$metric),* }
            }
        }
    };
}

calls! {
    FieldsFast = Fast("field_values_fast", POWER);
    Utilization = Fast("utilization", UTILIZATION);
    ClockSm = Fast("clock_sm", CLOCK);
    ClockMemory = Medium("clock_memory", CLOCK);
    ClocksEvent = Fast("clocks_event_reasons", CLOCKS_EVENT);
    Temperature = Fast("temperature", TEMPERATURE);
    PowerUsage = Fast("power_usage", POWER);
    FieldsMedium = Medium("field_values_medium", ECC_ERRORS);
    Memory = Medium("memory", MEMORY_USED);
    GpmSample = Medium("gpm_sample", SM_ACTIVE);
    GpmMetrics = Medium("gpm_metrics", SM_ACTIVE);
    Encoder = Medium("encoder", ENCODER_UTILIZATION);
    Decoder = Medium("decoder", DECODER_UTILIZATION);
    PerformanceState = Medium("performance_state", PERFORMANCE_STATE);
    PcieGeneration = Medium("pcie_generation", PCIE_LINK_GENERATION);
    PcieWidth = Medium("pcie_width", PCIE_LINK_WIDTH);
    ThermalMargin = Medium("thermal_margin", THERMAL_MARGIN);
    Fabric = Medium("fabric", FABRIC_STATE);
    MigMode = Medium("mig_mode", MIG_MODE);
    MigMemory = Medium("mig_memory", MIG_MEMORY_USED);
    MigGpmSample = Medium("mig_gpm_sample", MIG_SM_ACTIVE);
    MigGpmMetrics = Medium("mig_gpm_metrics", MIG_SM_ACTIVE);
    FieldsSlow = Slow("field_values_slow", ECC_LOCATION_ERRORS);
    Bar1 = Slow("bar1", BAR1_USED);
    FanSpeed = Slow("fan_speed", FAN_SPEED);
    FanRpm = Slow("fan_rpm", FAN_RPM);
    EnforcedPowerLimit = Slow("enforced_power_limit", POWER_LIMIT);
    ClockGraphics = Slow("clock_graphics", CLOCK);
    ClockVideo = Slow("clock_video", CLOCK);
    ApplicationClockSm = Slow("application_clock_sm", CLOCK_APPLICATION);
    ApplicationClockMemory = Slow("application_clock_memory", CLOCK_APPLICATION);
    Jpeg = Slow("jpeg", JPEG_UTILIZATION);
    OpticalFlow = Slow("optical_flow", OFA_UTILIZATION);
    PersistenceMode = Slow("persistence_mode", PERSISTENCE_MODE);
    Sram = Slow("sram_ecc", SRAM_ERRORS);
    RemapHistogram = Slow("remap_histogram", REMAP_BANKS);
    LinkState = Slow("nvlink_state", NVLINK_UP);
    ComputeProcesses = Slow("compute_processes", PROCESSES);
    MpsProcesses = Slow("mps_processes", PROCESSES);
    GraphicsProcesses = Slow("graphics_processes", PROCESSES);
    ProcessUtilization = Slow("process_utilization", PROCESS_UTILIZATION);
    ProcessMemory = Slow("memory_of_processes", MEMORY_UNACCOUNTED);
    MaxClock = Slow("max_clock", CLOCK_MAX);
    MaxPcieGeneration = Slow("max_pcie_generation", PCIE_LINK_GENERATION_MAX);
    MaxPcieWidth = Slow("max_pcie_width", PCIE_LINK_WIDTH_MAX);
    TemperatureThreshold = Slow("temperature_threshold", TEMPERATURE_LIMIT);
    Inforom = Slow("inforom", INFOROM_VALID);
    License = Slow("license", VGPU_LICENSED);
    LinkInfo = Slow("nvlink_info", NVLINK_INFO);
    P2pStatus = Slow("p2p_status", P2P_STATUS);
    MigScan = Slow("mig_scan", MIG_INFO);
}
