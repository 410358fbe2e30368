//! DCGM's fields: names before and since 4.6, types as dcgm-exporter's counter files have them,
//! and where our values come from.
//!
//! Units are DCGM's. Its integers are rounded to integers here: 0.57 as a ratio is 57 %, not
//! 56.999... Memory is cut to whole MiB, as DCGM divides.

use super::super::Kind::{self, Counter, Gauge};

/// A field of DCGM.
#[derive(Debug)]
pub(super) struct Field {
    pub(super) name: &'static str,
    /// Its name since DCGM 4.6, where that is another.
    pub(super) renamed: Option<&'static str>,
    pub(super) kind: Kind,
    pub(super) help: &'static str,
    pub(super) source: Source,
}

/// Which series of a metric.
pub(super) type Labels = &'static [(&'static str, &'static str)];

/// Where a field's value comes from.
#[derive(Debug)]
pub(super) enum Source {
    /// A metric of the GPU.
    Gpu(&'static str, Labels, Unit),
    /// A metric of the GPU, and one of a MIG device.
    Mig(&'static str, &'static str, Unit),
    /// The growth per second of the sum of some counters of the GPU.
    Rate(&'static [&'static str], Labels, Unit),
    /// A metric of each NVLink, written with the labels of a link.
    Link(&'static str, Labels),
    ClockReasons,
    MemoryUsedShare,
    Fan,
    FabricManager,
    XidLast,
    XidTotal,
    XidCount,
    ClockEventCount,
    Health,
    P2p,
}

/// From base units to DCGM's.
#[derive(Debug, Clone, Copy)]
pub(super) enum Unit {
    /// As it is.
    One,
    /// A count, a temperature: whole.
    Whole,
    Percent,
    Megahertz,
    Millijoule,
    Mebibyte,
    Nanosecond,
    /// Bytes per second as KB/s.
    Kilobyte,
    /// Bytes per second as dcgm-exporter shows NVLink: KiB/s divided by 1000.
    NvLink,
}

impl Unit {
    /// The value in DCGM's unit.
    pub(super) fn of(self, value: f64) -> f64 {
        match self {
            Self::One => value,
            Self::Whole => value.round(),
            Self::Percent => (value * 100.0).round(),
            Self::Megahertz => (value / 1e6).round(),
            Self::Millijoule => (value * 1e3).round(),
            Self::Mebibyte => (value / 1_048_576.0).floor(),
            Self::Nanosecond => (value * 1e9).round(),
            Self::Kilobyte => (value / 1e3).round(),
            Self::NvLink => (value / 1024.0 / 1e3).round(),
        }
    }
}

use Source::{Gpu, Link, Mig, Rate};
use Unit::{Kilobyte, Mebibyte, Megahertz, Millijoule, Nanosecond, NvLink, One, Percent, Whole};

macro_rules! fields {
    ($($name:literal $(=> $renamed:literal)?, $kind:ident, $source:expr, $help:literal;)*) => {
        &[$(Field {
            name: concat!("DCGM_", $name),
            renamed: fields!(@renamed $($renamed)?),
            kind: $kind,
            help: $help,
            source: $source,
        }),*]
    };
    (@renamed) => { None };
    (@renamed $renamed:literal) => { Some(concat!("DCGM_", $renamed)) };
}

/// ECC errors by place: DCGM's suffix and our `location`.
macro_rules! ecc {
    ($($suffix:literal $place:literal),*) => {
        &[$(
            ecc!(@ "SBE_VOL", "corrected", "volatile", $suffix, $place),
            ecc!(@ "DBE_VOL", "uncorrected", "volatile", $suffix, $place),
            ecc!(@ "SBE_AGG", "corrected", "aggregate", $suffix, $place),
            ecc!(@ "DBE_AGG", "uncorrected", "aggregate", $suffix, $place)
        ),*]
    };
    (@ $which:literal, $error:literal, $counter:literal, $suffix:literal, $place:literal) => {
        Field {
            name: concat!("DCGM_FI_DEV_ECC_", $which, "_", $suffix),
            renamed: None,
            kind: Counter,
            help: concat!("ECC errors: ", $error, ", ", $counter, ", ", $place, "."),
            source: Gpu(
                "gpu_ecc_location_errors_total",
                &[("error", $error), ("counter", $counter), ("location", $place)],
                Whole,
            ),
        }
    };
}

/// All fields.
pub(super) fn all() -> impl Iterator<Item = &'static Field> {
    FIELDS.iter().chain(ECC_PLACES)
}

static ECC_PLACES: &[Field] = ecc!(
    "L1" "l1", "L2" "l2", "DEV" "dram", "REG" "register_file", "TEX" "texture", "CBU" "cbu",
    "SRM" "sram"
);

#[rustfmt::skip]
static FIELDS: &[Field] = fields! {
    "FI_DEV_SM_CLOCK", Gauge, Gpu("gpu_clock_hertz", &[("clock", "sm")], Megahertz), "SM clock in MHz.";
    "FI_DEV_MEM_CLOCK", Gauge, Gpu("gpu_clock_hertz", &[("clock", "memory")], Megahertz), "Memory clock in MHz.";
    "FI_DEV_VIDEO_CLOCK", Gauge, Gpu("gpu_clock_hertz", &[("clock", "video")], Megahertz), "Video clock in MHz.";
    "FI_DEV_APP_SM_CLOCK", Gauge, Gpu("gpu_clock_application_hertz", &[("clock", "sm")], Megahertz), "SM clock that applications get in MHz.";
    "FI_DEV_APP_MEM_CLOCK", Gauge, Gpu("gpu_clock_application_hertz", &[("clock", "memory")], Megahertz), "Memory clock that applications get in MHz.";
    "FI_DEV_MAX_SM_CLOCK", Gauge, Gpu("gpu_clock_max_hertz", &[("clock", "sm")], Megahertz), "Highest SM clock in MHz.";
    "FI_DEV_MAX_MEM_CLOCK", Gauge, Gpu("gpu_clock_max_hertz", &[("clock", "memory")], Megahertz), "Highest memory clock in MHz.";
    "FI_DEV_MAX_VIDEO_CLOCK", Gauge, Gpu("gpu_clock_max_hertz", &[("clock", "video")], Megahertz), "Highest video clock in MHz.";
    "FI_DEV_CLOCKS_EVENT_REASONS", Gauge, Source::ClockReasons, "Why the clock is held, as NVML's bits.";
    "FI_DEV_CLOCK_THROTTLE_REASONS" => "FI_DEV_CLOCKS_EVENT_REASONS", Gauge, Source::ClockReasons, "Why the clock is held, as NVML's bits.";
    "FI_DEV_PSTATE" => "FI_DEV_GPU_PSTATE", Gauge, Gpu("gpu_performance_state", &[], Whole), "P-state, 0 (fastest) to 15.";

    "FI_DEV_GPU_TEMP" => "FI_DEV_GPU_TEMP_CELSIUS", Gauge, Gpu("gpu_temperature_celsius", &[], Whole), "Core temperature in degrees Celsius.";
    "FI_DEV_MEMORY_TEMP" => "FI_DEV_MEMORY_TEMP_CELSIUS", Gauge, Gpu("gpu_memory_temperature_celsius", &[], Whole), "Memory temperature in degrees Celsius.";
    "FI_DEV_GPU_MAX_OP_TEMP" => "FI_DEV_GPU_MAX_OP_TEMP_CELSIUS", Gauge, Gpu("gpu_temperature_limit_celsius", &[("limit", "gpu_max")], Whole), "Highest operating temperature of the GPU.";
    "FI_DEV_MEM_MAX_OP_TEMP" => "FI_DEV_MEMORY_MAX_OP_TEMP_CELSIUS", Gauge, Gpu("gpu_temperature_limit_celsius", &[("limit", "memory_max")], Whole), "Highest operating temperature of the memory.";
    "FI_DEV_SLOWDOWN_TEMP" => "FI_DEV_GPU_TEMP_SLOWDOWN_CELSIUS", Gauge, Gpu("gpu_temperature_limit_celsius", &[("limit", "slowdown")], Whole), "Temperature at which the clock is lowered.";
    "FI_DEV_SHUTDOWN_TEMP" => "FI_DEV_GPU_TEMP_SHUTDOWN_CELSIUS", Gauge, Gpu("gpu_temperature_limit_celsius", &[("limit", "shutdown")], Whole), "Temperature at which the GPU is switched off.";
    "FI_DEV_GPU_TEMP_LIMIT" => "FI_DEV_GPU_TEMP_MARGIN_CELSIUS", Gauge, Gpu("gpu_thermal_margin_celsius", &[], Whole), "Degrees left before the clock is lowered.";
    "FI_DEV_FAN_SPEED", Gauge, Source::Fan, "Fan speed in percent of its maximum.";

    "FI_DEV_POWER_USAGE" => "FI_DEV_BOARD_POWER_WATTS", Gauge, Gpu("gpu_power_watts", &[], One), "Power drawn in watts.";
    "FI_DEV_POWER_USAGE_INSTANT" => "FI_DEV_BOARD_POWER_RAW_WATTS", Gauge, Gpu("gpu_power_instant_watts", &[], One), "Power drawn at this instant in watts.";
    "FI_DEV_TOTAL_ENERGY_CONSUMPTION", Counter, Gpu("gpu_energy_joules_total", &[], Millijoule), "Energy used since the driver was loaded in millijoules.";
    "FI_DEV_POWER_MGMT_LIMIT" => "FI_DEV_BOARD_POWER_LIMIT_REQUESTED_WATTS", Gauge, Gpu("gpu_power_limit_watts", &[("limit", "requested")], One), "Power limit that was asked for in watts.";
    "FI_DEV_POWER_MGMT_LIMIT_MIN" => "FI_DEV_BOARD_POWER_LIMIT_MIN_WATTS", Gauge, Gpu("gpu_power_limit_watts", &[("limit", "min")], One), "Lowest power limit in watts.";
    "FI_DEV_POWER_MGMT_LIMIT_MAX" => "FI_DEV_BOARD_POWER_LIMIT_MAX_WATTS", Gauge, Gpu("gpu_power_limit_watts", &[("limit", "max")], One), "Highest power limit in watts.";
    "FI_DEV_POWER_MGMT_LIMIT_DEF" => "FI_DEV_BOARD_POWER_LIMIT_DEFAULT_WATTS", Gauge, Gpu("gpu_power_limit_watts", &[("limit", "default")], One), "Default power limit in watts.";
    "FI_DEV_ENFORCED_POWER_LIMIT" => "FI_DEV_BOARD_POWER_LIMIT_ENFORCED_WATTS", Gauge, Gpu("gpu_power_limit_watts", &[("limit", "enforced")], One), "Power limit in force in watts.";

    "FI_DEV_PCIE_TX_THROUGHPUT", Counter, Rate(&["gpu_pcie_transmit_bytes_total"], &[], Kilobyte), "PCIe traffic out in KB/s; a rate, whatever its type says.";
    "FI_DEV_PCIE_RX_THROUGHPUT", Counter, Rate(&["gpu_pcie_receive_bytes_total"], &[], Kilobyte), "PCIe traffic in in KB/s; a rate, whatever its type says.";
    "FI_DEV_PCIE_REPLAY_COUNTER" => "FI_DEV_PCIE_REPLAY_TOTAL", Counter, Gpu("gpu_pcie_replay_total", &[], Whole), "PCIe packets sent again.";
    "FI_DEV_PCIE_COUNT_CORRECTABLE_ERRORS" => "FI_DEV_PCIE_CORRECTABLE_ERROR_TOTAL", Counter, Gpu("gpu_pcie_errors_total", &[("error", "correctable")], Whole), "PCIe errors that were corrected.";
    "FI_DEV_PCIE_LINK_GEN", Gauge, Gpu("gpu_pcie_link_generation", &[], Whole), "PCIe generation now.";
    "FI_DEV_PCIE_LINK_WIDTH", Gauge, Gpu("gpu_pcie_link_width", &[], Whole), "PCIe lanes now.";
    "FI_DEV_PCIE_MAX_LINK_GEN", Gauge, Gpu("gpu_pcie_link_generation_max", &[], Whole), "PCIe generation that GPU and slot can do.";
    "FI_DEV_PCIE_MAX_LINK_WIDTH", Gauge, Gpu("gpu_pcie_link_width_max", &[], Whole), "PCIe lanes that GPU and slot have.";

    "FI_DEV_GPU_UTIL" => "FI_DEV_GPU_UTIL_RATIO", Gauge, Gpu("gpu_utilization_ratio", &[], Percent), "GPU utilization in percent.";
    "FI_DEV_MEM_COPY_UTIL", Gauge, Gpu("gpu_memory_copy_utilization_ratio", &[], Percent), "Memory utilization in percent.";
    "FI_DEV_ENC_UTIL", Gauge, Gpu("gpu_encoder_utilization_ratio", &[], Percent), "Encoder utilization in percent.";
    "FI_DEV_DEC_UTIL", Gauge, Gpu("gpu_decoder_utilization_ratio", &[], Percent), "Decoder utilization in percent.";

    "FI_DEV_XID_ERRORS" => "FI_DEV_XID_ERROR", Gauge, Source::XidLast, "The last Xid; 0 if there was none.";
    "FI_DEV_POWER_VIOLATION", Counter, Gpu("gpu_throttle_seconds_total", &[("reason", "power")], Nanosecond), "Time for which power held the clock in ns.";
    "FI_DEV_THERMAL_VIOLATION", Counter, Gpu("gpu_throttle_seconds_total", &[("reason", "thermal")], Nanosecond), "Time for which heat held the clock in ns.";
    "FI_DEV_SYNC_BOOST_VIOLATION", Counter, Gpu("gpu_throttle_seconds_total", &[("reason", "sync_boost")], Nanosecond), "Time for which sync boost held the clock in ns.";
    "FI_DEV_BOARD_LIMIT_VIOLATION", Counter, Gpu("gpu_throttle_seconds_total", &[("reason", "board_limit")], Nanosecond), "Time for which the board's limit held the clock in ns.";
    "FI_DEV_LOW_UTIL_VIOLATION", Counter, Gpu("gpu_throttle_seconds_total", &[("reason", "low_utilization")], Nanosecond), "Time for which low utilization held the clock in ns.";
    "FI_DEV_RELIABILITY_VIOLATION", Counter, Gpu("gpu_throttle_seconds_total", &[("reason", "reliability")], Nanosecond), "Time for which reliability held the clock in ns.";
    "FI_DEV_GET_GPU_RECOVERY_ACTION" => "FI_DEV_GPU_RECOVERY_ACTION", Gauge, Gpu("gpu_recovery_action", &[], Whole), "What the driver asks for; 0 is nothing.";
    "FI_DEV_INFOROM_CONFIG_VALID" => "FI_DEV_INFOROM_VALID", Gauge, Gpu("gpu_inforom_valid", &[], Whole), "1 if the InfoROM's checksum is right.";
    "FI_DEV_PERSISTENCE_MODE", Gauge, Gpu("gpu_persistence_mode", &[], Whole), "1 if the driver stays loaded without users.";
    "FI_DEV_MIG_MODE", Gauge, Gpu("gpu_mig_mode", &[], Whole), "1 if MIG is on.";
    "FI_DEV_FABRIC_MANAGER_STATUS", Gauge, Source::FabricManager, "Fabric registration: 0 not supported, 1 not started, 2 in progress, 3 success, 4 failure.";
    "FI_DEV_FABRIC_MANAGER_ERROR_CODE" => "FI_DEV_FABRIC_MANAGER_ERROR", Gauge, Gpu("gpu_fabric_status", &[], Whole), "Why the fabric registration failed; 0 if it did not.";

    "FI_DEV_FB_FREE", Gauge, Mig("gpu_memory_free_bytes", "gpu_mig_memory_free_bytes", Mebibyte), "Framebuffer free in MiB.";
    "FI_DEV_FB_USED", Gauge, Mig("gpu_memory_used_bytes", "gpu_mig_memory_used_bytes", Mebibyte), "Framebuffer used in MiB.";
    "FI_DEV_FB_RESERVED", Gauge, Mig("gpu_memory_reserved_bytes", "gpu_mig_memory_reserved_bytes", Mebibyte), "Framebuffer reserved in MiB.";
    "FI_DEV_FB_TOTAL", Gauge, Mig("gpu_memory_total_bytes", "gpu_mig_memory_total_bytes", Mebibyte), "Framebuffer in MiB.";
    "FI_DEV_FB_USED_PERCENT" => "FI_DEV_FB_USED_RATIO", Gauge, Source::MemoryUsedShare, "Framebuffer used of what is not reserved, 0 to 1.";
    "FI_DEV_BAR1_TOTAL", Gauge, Gpu("gpu_bar1_total_bytes", &[], Mebibyte), "BAR1 in MiB.";
    "FI_DEV_BAR1_USED", Gauge, Gpu("gpu_bar1_used_bytes", &[], Mebibyte), "BAR1 used in MiB.";
    "FI_DEV_BAR1_FREE", Gauge, Gpu("gpu_bar1_free_bytes", &[], Mebibyte), "BAR1 free in MiB.";

    "FI_DEV_ECC_CURRENT" => "FI_DEV_ECC_MODE", Gauge, Gpu("gpu_ecc_mode", &[], Whole), "1 if ECC is on.";
    "FI_DEV_ECC_SBE_VOL_TOTAL", Counter, Gpu("gpu_ecc_errors_total", &[("error", "corrected"), ("counter", "volatile")], Whole), "Single-bit ECC errors since the driver was loaded.";
    "FI_DEV_ECC_DBE_VOL_TOTAL", Counter, Gpu("gpu_ecc_errors_total", &[("error", "uncorrected"), ("counter", "volatile")], Whole), "Double-bit ECC errors since the driver was loaded.";
    "FI_DEV_ECC_SBE_AGG_TOTAL", Counter, Gpu("gpu_ecc_errors_total", &[("error", "corrected"), ("counter", "aggregate")], Whole), "Single-bit ECC errors of the GPU's life.";
    "FI_DEV_ECC_DBE_AGG_TOTAL", Counter, Gpu("gpu_ecc_errors_total", &[("error", "uncorrected"), ("counter", "aggregate")], Whole), "Double-bit ECC errors of the GPU's life.";
    "FI_DEV_THRESHOLD_SRM" => "FI_DEV_SRAM_EXCEEDED", Gauge, Gpu("gpu_sram_threshold_exceeded", &[], Whole), "1 if SRAM errors are beyond what the vendor accepts.";

    "FI_DEV_RETIRED_SBE" => "FI_DEV_PAGE_RETIRED_SBE_TOTAL", Counter, Gpu("gpu_retired_pages_total", &[("cause", "single_bit")], Whole), "Pages retired for single-bit errors.";
    "FI_DEV_RETIRED_DBE" => "FI_DEV_PAGE_RETIRED_DBE_TOTAL", Counter, Gpu("gpu_retired_pages_total", &[("cause", "double_bit")], Whole), "Pages retired for double-bit errors.";
    "FI_DEV_RETIRED_PENDING" => "FI_DEV_PAGE_RETIRED_PENDING", Counter, Gpu("gpu_retired_pages_pending", &[], Whole), "1 if pages are retired at the next driver load.";
    "FI_DEV_UNCORRECTABLE_REMAPPED_ROWS" => "FI_DEV_ROW_REMAP_UNCORRECTABLE_TOTAL", Counter, Gpu("gpu_remapped_rows_total", &[("cause", "uncorrectable")], Whole), "Rows remapped for uncorrectable errors.";
    "FI_DEV_CORRECTABLE_REMAPPED_ROWS" => "FI_DEV_ROW_REMAP_CORRECTABLE_TOTAL", Counter, Gpu("gpu_remapped_rows_total", &[("cause", "correctable")], Whole), "Rows remapped for correctable errors.";
    "FI_DEV_ROW_REMAP_FAILURE" => "FI_DEV_ROW_REMAP_FAILED", Gauge, Gpu("gpu_row_remap_failed", &[], Whole), "1 if a row could not be remapped.";
    "FI_DEV_ROW_REMAP_PENDING", Gauge, Gpu("gpu_row_remap_pending", &[], Whole), "1 if a row is remapped at the next reset.";
    "FI_DEV_BANKS_REMAP_ROWS_AVAIL_MAX" => "FI_DEV_BANK_REMAP_AVAIL_MAX", Gauge, Gpu("gpu_remap_banks", &[("availability", "max")], Whole), "Memory banks with all spare rows.";
    "FI_DEV_BANKS_REMAP_ROWS_AVAIL_HIGH" => "FI_DEV_BANK_REMAP_AVAIL_HIGH", Gauge, Gpu("gpu_remap_banks", &[("availability", "high")], Whole), "Memory banks with many spare rows.";
    "FI_DEV_BANKS_REMAP_ROWS_AVAIL_PARTIAL" => "FI_DEV_BANK_REMAP_AVAIL_PARTIAL", Gauge, Gpu("gpu_remap_banks", &[("availability", "partial")], Whole), "Memory banks with some spare rows.";
    "FI_DEV_BANKS_REMAP_ROWS_AVAIL_LOW" => "FI_DEV_BANK_REMAP_AVAIL_LOW", Gauge, Gpu("gpu_remap_banks", &[("availability", "low")], Whole), "Memory banks with few spare rows.";
    "FI_DEV_BANKS_REMAP_ROWS_AVAIL_NONE" => "FI_DEV_BANK_REMAP_AVAIL_NONE", Gauge, Gpu("gpu_remap_banks", &[("availability", "none")], Whole), "Memory banks without spare rows.";

    "FI_DEV_NVLINK_CRC_FLIT_ERROR_COUNT_TOTAL" => "FI_DEV_NVLINK_CRC_FLIT_ERROR_TOTAL", Counter, Gpu("gpu_nvlink_errors_total", &[("error", "crc_flit")], Whole), "NVLink flow-control CRC errors.";
    "FI_DEV_NVLINK_CRC_DATA_ERROR_COUNT_TOTAL" => "FI_DEV_NVLINK_CRC_DATA_ERROR_TOTAL", Counter, Gpu("gpu_nvlink_errors_total", &[("error", "crc_data")], Whole), "NVLink data CRC errors.";
    "FI_DEV_NVLINK_REPLAY_ERROR_COUNT_TOTAL" => "FI_DEV_NVLINK_REPLAY_ERROR_TOTAL", Counter, Gpu("gpu_nvlink_errors_total", &[("error", "replay")], Whole), "NVLink replays.";
    "FI_DEV_NVLINK_RECOVERY_ERROR_COUNT_TOTAL" => "FI_DEV_NVLINK_RECOVERY_ERROR_TOTAL", Counter, Gpu("gpu_nvlink_errors_total", &[("error", "recovery")], Whole), "NVLink recoveries.";
    "FI_DEV_NVLINK_ECC_DATA_ERROR_COUNT_TOTAL" => "FI_DEV_NVLINK_ECC_ERROR_TOTAL", Counter, Gpu("gpu_nvlink_errors_total", &[("error", "ecc")], Whole), "NVLink ECC errors.";
    "FI_DEV_NVLINK_BANDWIDTH_TOTAL" => "FI_DEV_NVLINK_THROUGHPUT_TOTAL", Gauge, Rate(&["gpu_nvlink_transmit_bytes_total", "gpu_nvlink_receive_bytes_total"], &[], NvLink), "NVLink payload in both directions in MB/s.";
    "FI_DEV_NVLINK_BANDWIDTH_L0" => "FI_DEV_NVLINK_THROUGHPUT_L0", Counter, Rate(&["gpu_nvlink_link_transmit_bytes_total", "gpu_nvlink_link_receive_bytes_total"], &[("link", "0")], NvLink), "Payload of link 0 in both directions in MB/s; a rate, whatever its type says.";
    "FI_DEV_NVLINK_COUNT_TX_BYTES" => "FI_DEV_NVLINK_TX_BYTES_TOTAL", Counter, Link("gpu_nvlink_link_transmit_bytes_total", &[]), "Bytes sent over the link.";
    "FI_DEV_NVLINK_COUNT_RX_BYTES" => "FI_DEV_NVLINK_RX_BYTES_TOTAL", Counter, Link("gpu_nvlink_link_receive_bytes_total", &[]), "Bytes received over the link.";
    "FI_DEV_NVLINK_COUNT_RX_MALFORMED_PACKET_ERRORS" => "FI_DEV_NVLINK_RX_PACKET_MALFORMED_TOTAL", Counter, Link("gpu_nvlink_link_errors_total", &[("error", "malformed_packet")]), "Malformed packets received.";
    "FI_DEV_NVLINK_COUNT_RX_BUFFER_OVERRUN_ERRORS" => "FI_DEV_NVLINK_RX_PACKET_DROPPED_TOTAL", Counter, Link("gpu_nvlink_link_errors_total", &[("error", "buffer_overrun")]), "Packets dropped for want of a buffer.";
    "FI_DEV_NVLINK_COUNT_RX_ERRORS" => "FI_DEV_NVLINK_RX_ERROR_TOTAL", Counter, Link("gpu_nvlink_link_errors_total", &[("error", "received")]), "Packets received with errors.";
    "FI_DEV_NVLINK_COUNT_RX_REMOTE_ERRORS" => "FI_DEV_NVLINK_RX_REMOTE_ERROR_TOTAL", Counter, Link("gpu_nvlink_link_errors_total", &[("error", "received_remote")]), "Packets received that the other side marked as bad.";
    "FI_DEV_NVLINK_COUNT_LOCAL_LINK_INTEGRITY_ERRORS" => "FI_DEV_NVLINK_INTEGRITY_ERROR_TOTAL", Counter, Link("gpu_nvlink_link_errors_total", &[("error", "local_link_integrity")]), "Link integrity errors.";
    "FI_DEV_NVLINK_COUNT_LINK_RECOVERY_EVENTS" => "FI_DEV_NVLINK_RECOVERY_EVENT_TOTAL", Counter, Link("gpu_nvlink_link_errors_total", &[("error", "link_recovery")]), "Recoveries of the link.";
    "FI_DEV_NVLINK_COUNT_EFFECTIVE_ERRORS" => "FI_DEV_NVLINK_EFFECTIVE_ERROR_TOTAL", Counter, Link("gpu_nvlink_link_errors_total", &[("error", "effective")]), "Errors left after correction.";
    "FI_DEV_NVLINK_COUNT_RX_SYMBOL_ERRORS" => "FI_DEV_NVLINK_RX_SYMBOL_ERROR_TOTAL", Counter, Link("gpu_nvlink_link_errors_total", &[("error", "symbol")]), "Symbol errors.";
    "FI_DEV_NVLINK_COUNT_EFFECTIVE_BER_FLOAT" => "FI_DEV_NVLINK_EFFECTIVE_BER_RATIO", Gauge, Link("gpu_nvlink_bit_error_ratio", &[("ber", "effective")]), "Bit errors per bit left after correction.";
    "FI_DEV_NVLINK_COUNT_SYMBOL_BER_FLOAT" => "FI_DEV_NVLINK_SYMBOL_BER_RATIO", Gauge, Link("gpu_nvlink_bit_error_ratio", &[("ber", "symbol")]), "Symbol errors per bit.";

    "FI_DEV_VGPU_LICENSE_STATUS", Gauge, Gpu("gpu_vgpu_licensed", &[], Whole), "1 if the vGPU licence is held.";

    "FI_PROF_GR_ENGINE_ACTIVE" => "FI_PROF_GR_ENGINE_UTIL_RATIO", Gauge, Mig("gpu_graphics_engine_active_ratio", "gpu_mig_graphics_engine_active_ratio", One), "Share of time in which the graphics engine was active.";
    "FI_PROF_SM_ACTIVE" => "FI_PROF_SM_UTIL_RATIO", Gauge, Mig("gpu_sm_active_ratio", "gpu_mig_sm_active_ratio", One), "Mean share of multiprocessors with work.";
    "FI_PROF_SM_OCCUPANCY" => "FI_PROF_SM_OCCUPANCY_RATIO", Gauge, Mig("gpu_sm_occupancy_ratio", "gpu_mig_sm_occupancy_ratio", One), "Warps resident as a share of what fits.";
    "FI_PROF_PIPE_TENSOR_ACTIVE" => "FI_PROF_TENSOR_UTIL_RATIO", Gauge, Mig("gpu_tensor_active_ratio", "gpu_mig_tensor_active_ratio", One), "Share of cycles in which tensor pipes were active.";
    "FI_PROF_DRAM_ACTIVE" => "FI_PROF_DRAM_UTIL_RATIO", Gauge, Mig("gpu_dram_active_ratio", "gpu_mig_dram_active_ratio", One), "Share of cycles in which memory sent or received.";
    "FI_PROF_PIPE_FP64_ACTIVE" => "FI_PROF_FP64_UTIL_RATIO", Gauge, Mig("gpu_fp64_active_ratio", "gpu_mig_fp64_active_ratio", One), "Share of cycles in which FP64 pipes were active.";
    "FI_PROF_PIPE_FP32_ACTIVE" => "FI_PROF_FP32_UTIL_RATIO", Gauge, Mig("gpu_fp32_active_ratio", "gpu_mig_fp32_active_ratio", One), "Share of cycles in which FP32 pipes were active.";
    "FI_PROF_PIPE_FP16_ACTIVE" => "FI_PROF_FP16_UTIL_RATIO", Gauge, Mig("gpu_fp16_active_ratio", "gpu_mig_fp16_active_ratio", One), "Share of cycles in which FP16 pipes were active.";
    "FI_PROF_PIPE_TENSOR_IMMA_ACTIVE" => "FI_PROF_IMMA_UTIL_RATIO", Gauge, Gpu("gpu_tensor_imma_active_ratio", &[], One), "Share of cycles in which tensor pipes did integer work.";
    "FI_PROF_PIPE_TENSOR_HMMA_ACTIVE" => "FI_PROF_HMMA_UTIL_RATIO", Gauge, Gpu("gpu_tensor_hmma_active_ratio", &[], One), "Share of cycles in which tensor pipes did half-precision work.";
    "FI_PROF_PIPE_TENSOR_DFMA_ACTIVE" => "FI_PROF_DFMA_UTIL_RATIO", Gauge, Gpu("gpu_tensor_dfma_active_ratio", &[], One), "Share of cycles in which tensor pipes did double-precision work.";
    "FI_PROF_PIPE_INT_ACTIVE" => "FI_PROF_INT_UTIL_RATIO", Gauge, Gpu("gpu_integer_active_ratio", &[], One), "Share of cycles in which integer pipes ran.";
    "FI_PROF_PCIE_TX_BYTES", Gauge, Gpu("gpu_pcie_transmit_bytes_per_second", &[], Whole), "PCIe traffic out with headers in bytes per second.";
    "FI_PROF_PCIE_RX_BYTES", Gauge, Gpu("gpu_pcie_receive_bytes_per_second", &[], Whole), "PCIe traffic in with headers in bytes per second.";
    "FI_PROF_NVLINK_TX_BYTES", Gauge, Gpu("gpu_nvlink_transmit_bytes_per_second", &[], Whole), "NVLink traffic out in bytes per second.";
    "FI_PROF_NVLINK_RX_BYTES", Gauge, Gpu("gpu_nvlink_receive_bytes_per_second", &[], Whole), "NVLink traffic in in bytes per second.";
    "FI_PROF_C2C_TX_ALL_BYTES", Gauge, Gpu("gpu_c2c_transmit_bytes_per_second", &[], Whole), "Chip-to-chip traffic out in bytes per second.";
    "FI_PROF_C2C_RX_ALL_BYTES", Gauge, Gpu("gpu_c2c_receive_bytes_per_second", &[], Whole), "Chip-to-chip traffic in in bytes per second.";
    "FI_PROF_PCIE_TX_BYTES_TOTAL", Counter, Gpu("gpu_pcie_transmit_bytes_total", &[], Whole), "Bytes sent over PCIe.";
    "FI_PROF_PCIE_RX_BYTES_TOTAL", Counter, Gpu("gpu_pcie_receive_bytes_total", &[], Whole), "Bytes received over PCIe.";

    "EXP_XID_ERRORS_COUNT", Gauge, Source::XidCount, "Xids within the window, by xid.";
    "EXP_XID_ERRORS_TOTAL", Counter, Source::XidTotal, "Xids since the agent started, by xid.";
    "EXP_CLOCK_EVENTS_COUNT", Gauge, Source::ClockEventCount, "Samples within the window in which the clock was held, by reason.";
    "EXP_GPU_HEALTH_STATUS", Gauge, Source::Health, "Health by area: 0 pass, 10 warning, 20 failure.";
    "EXP_P2P_STATUS", Gauge, Source::P2p, "Whether the GPU can reach another one over NVLink: 0 OK, 1 to 6 why not.";
};
