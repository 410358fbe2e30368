//! The sizes that the driver expects of what is passed to it, on 64-bit Linux. A binding that
//! was generated differently must not compile.

use std::mem::size_of;

use nvml_wrapper_sys::bindings as sys;

const _: () = {
    assert!(size_of::<sys::nvmlFieldValue_t>() == 40);
    assert!(size_of::<sys::nvmlMemory_t>() == 24);
    assert!(size_of::<sys::nvmlMemory_v2_t>() == 40);
    assert!(size_of::<sys::nvmlBAR1Memory_t>() == 24);
    assert!(size_of::<sys::nvmlProcessInfo_v2_t>() == 24);
    assert!(size_of::<sys::nvmlProcessUtilizationSample_t>() == 32);
    assert!(size_of::<sys::nvmlEventData_t>() == 32);
    assert!(size_of::<sys::nvmlPciInfo_t>() == 68);
    assert!(size_of::<sys::nvmlGpmMetric_t>() == 40);
    assert!(size_of::<sys::nvmlGpmMetricsGet_t>() == 8424);
    assert!(size_of::<sys::nvmlGpmSupport_t>() == 8);
    assert!(size_of::<sys::nvmlGpuFabricInfo_v2_t>() == 36);
    assert!(size_of::<sys::nvmlGpuFabricInfo_v3_t>() == 40);
    assert!(size_of::<sys::nvmlEccSramErrorStatus_v1_t>() == 104);
    assert!(size_of::<sys::nvmlDeviceAttributes_t>() == 40);
    assert!(size_of::<sys::nvmlUtilization_t>() == 8);
    assert!(size_of::<sys::nvmlMarginTemperature_v1_t>() == 8);
    assert!(size_of::<sys::nvmlRowRemapperHistogramValues_t>() == 20);
    assert!(size_of::<sys::nvmlFanSpeedInfo_t>() == 12);
};

/// The version word of a structure: its size and its version.
pub(super) const fn version<T>(number: u32) -> u32 {
    #[expect(clippy::cast_possible_truncation, reason = "structures of a few kilobytes")]
    let size = size_of::<T>() as u32;
    size | number << 24
}
