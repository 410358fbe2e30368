//! That this library is what clients take it for: sizes as of NVML's header on x86-64, and every
//! function's type against the bindings.

use nvml_wrapper_sys::bindings as nvml;
use nvml_wrapper_sys::bindings::NvmlLib;

use super::{discovery, ecc, events, fast, fields, gpm, lifecycle, links, medium, mig, slow};

const _: () = {
    assert!(size_of::<nvml::nvmlFieldValue_t>() == 40);
    assert!(size_of::<nvml::nvmlMemory_v2_t>() == 40);
    assert!(size_of::<nvml::nvmlProcessInfo_v2_t>() == 24);
    assert!(size_of::<nvml::nvmlEventData_t>() == 32);
    assert!(size_of::<nvml::nvmlPciInfo_t>() == 68);
    assert!(size_of::<nvml::nvmlGpmMetric_t>() == 40);
    assert!(size_of::<nvml::nvmlGpmMetricsGet_t>() == 24 + 210 * 40);
    assert!(size_of::<nvml::nvmlGpuFabricInfo_v3_t>() == 40);
    assert!(size_of::<nvml::nvmlEccSramErrorStatus_t>() == 104);
    assert!(size_of::<nvml::nvmlDeviceAttributes_t>() == 40);
    assert!(size_of::<nvml::nvmlUtilization_t>() == 8);
};

/// Assigns each function to the slot that the bindings have for it: another type does not compile.
/// (Older versions of the process lists have none, and the type of the newer.)
macro_rules! same_types {
    ($($module:ident: $($name:ident)*;)*) => {
        const _: fn(&mut NvmlLib) = |library| {
            $($(library.$name = Ok($module::$name);)*)*
        };
    };
}

same_types! {
    discovery: nvmlDeviceGetCount_v2 nvmlDeviceGetHandleByIndex_v2 nvmlDeviceGetHandleByUUID
        nvmlDeviceGetHandleBySerial nvmlDeviceGetHandleByPciBusId_v2 nvmlDeviceGetIndex
        nvmlDeviceGetName nvmlDeviceGetUUID nvmlDeviceGetSerial nvmlDeviceGetBoardPartNumber
        nvmlDeviceGetVbiosVersion nvmlDeviceGetInforomImageVersion nvmlDeviceGetInforomVersion nvmlDeviceValidateInforom
        nvmlDeviceGetPciInfo_v3 nvmlDeviceGetMinorNumber nvmlDeviceGetBrand
        nvmlDeviceGetArchitecture nvmlDeviceGetCudaComputeCapability nvmlDeviceGetNumaNodeId
        nvmlDeviceGetModuleId nvmlDeviceGetGspFirmwareVersion nvmlDeviceGetGspFirmwareMode
        nvmlDeviceGetPersistenceMode nvmlDeviceGetVirtualizationMode;
    ecc: nvmlDeviceGetTotalEccErrors nvmlDeviceGetMemoryErrorCounter nvmlDeviceGetEccMode
        nvmlDeviceGetRemappedRows nvmlDeviceGetRowRemapperHistogram
        nvmlDeviceGetSramEccErrorStatus nvmlDeviceGetRetiredPages nvmlDeviceGetRetiredPages_v2
        nvmlDeviceGetRetiredPagesPendingStatus;
    events: nvmlEventSetCreate nvmlDeviceGetSupportedEventTypes nvmlDeviceRegisterEvents
        nvmlEventSetWait_v2 nvmlEventSetFree;
    fast: nvmlDeviceGetUtilizationRates nvmlDeviceGetClockInfo nvmlDeviceGetMaxClockInfo
        nvmlDeviceGetApplicationsClock nvmlDeviceGetDefaultApplicationsClock
        nvmlDeviceGetTemperature nvmlDeviceGetTemperatureV
        nvmlDeviceGetCurrentClocksThrottleReasons nvmlDeviceGetCurrentClocksEventReasons
        nvmlDeviceGetSupportedClocksThrottleReasons nvmlDeviceGetSupportedClocksEventReasons
        nvmlDeviceGetPerformanceState nvmlDeviceGetPowerUsage nvmlDeviceGetTotalEnergyConsumption
        nvmlDeviceGetViolationStatus;
    fields: nvmlDeviceGetFieldValues;
    gpm: nvmlGpmQueryDeviceSupport nvmlGpmSampleAlloc nvmlGpmSampleGet nvmlGpmMigSampleGet
        nvmlGpmMetricsGet nvmlGpmSampleFree;
    lifecycle: nvmlInit_v2 nvmlInitWithFlags nvmlShutdown nvmlErrorString
        nvmlSystemGetDriverVersion nvmlSystemGetNVMLVersion nvmlSystemGetCudaDriverVersion
        nvmlSystemGetCudaDriverVersion_v2 nvmlSystemGetProcessName;
    links: nvmlDeviceGetNvLinkState nvmlDeviceGetNvLinkVersion nvmlDeviceGetNvLinkRemotePciInfo_v2
        nvmlDeviceGetNvLinkRemoteDeviceType nvmlDeviceGetNvLinkErrorCounter
        nvmlDeviceGetGpuFabricInfo nvmlDeviceGetGpuFabricInfoV nvmlDeviceGetP2PStatus;
    medium: nvmlDeviceGetMemoryInfo nvmlDeviceGetMemoryInfo_v2 nvmlDeviceGetBAR1MemoryInfo
        nvmlDeviceGetEncoderUtilization nvmlDeviceGetDecoderUtilization
        nvmlDeviceGetJpgUtilization nvmlDeviceGetOfaUtilization nvmlDeviceGetTemperatureThreshold
        nvmlDeviceGetMarginTemperature nvmlDeviceGetEnforcedPowerLimit
        nvmlDeviceGetPowerManagementLimit nvmlDeviceGetPowerManagementDefaultLimit
        nvmlDeviceGetPowerManagementLimitConstraints nvmlDeviceGetCurrPcieLinkGeneration
        nvmlDeviceGetCurrPcieLinkWidth nvmlDeviceGetMaxPcieLinkGeneration
        nvmlDeviceGetGpuMaxPcieLinkGeneration nvmlDeviceGetMaxPcieLinkWidth
        nvmlDeviceGetPcieReplayCounter nvmlDeviceGetPcieThroughput;
    mig: nvmlDeviceGetMigMode nvmlDeviceGetMaxMigDeviceCount nvmlDeviceGetMigDeviceHandleByIndex
        nvmlDeviceIsMigDeviceHandle nvmlDeviceGetDeviceHandleFromMigDeviceHandle
        nvmlDeviceGetGpuInstanceId nvmlDeviceGetComputeInstanceId nvmlDeviceGetAttributes_v2;
    slow: nvmlDeviceGetComputeRunningProcesses_v3 nvmlDeviceGetGraphicsRunningProcesses_v3
        nvmlDeviceGetMPSComputeRunningProcesses_v3 nvmlDeviceGetProcessUtilization
        nvmlDeviceGetNumFans nvmlDeviceGetFanSpeed nvmlDeviceGetFanSpeed_v2
        nvmlDeviceGetFanSpeedRPM;
}
