//! Every NVML function that the fake exports, as a small number: call counts, status overrides,
//! latencies and hangs are arrays over it, so that a hot call looks nothing up by name.

macro_rules! symbols {
    ($($name:ident)*) => {
        /// An exported function, named as in C.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        #[allow(non_camel_case_types, reason = "the names are NVML's")]
        #[repr(usize)]
        pub(crate) enum Symbol { $($name),* }

        /// Their names, in the order of the numbers.
        pub const NAMES: &[&str] = &[$(stringify!($name)),*];
    };
}

symbols! {
    nvmlInit_v2 nvmlInitWithFlags nvmlShutdown nvmlErrorString
    nvmlSystemGetDriverVersion nvmlSystemGetNVMLVersion nvmlSystemGetCudaDriverVersion
    nvmlSystemGetCudaDriverVersion_v2 nvmlSystemGetProcessName
    nvmlDeviceGetCount_v2 nvmlDeviceGetHandleByIndex_v2 nvmlDeviceGetHandleByUUID
    nvmlDeviceGetHandleBySerial nvmlDeviceGetHandleByPciBusId_v2 nvmlDeviceGetIndex nvmlDeviceGetName nvmlDeviceGetUUID
    nvmlDeviceGetSerial nvmlDeviceGetBoardPartNumber nvmlDeviceGetVbiosVersion
    nvmlDeviceGetInforomImageVersion nvmlDeviceGetInforomVersion nvmlDeviceValidateInforom nvmlDeviceGetPciInfo_v3
    nvmlDeviceGetMinorNumber nvmlDeviceGetBrand nvmlDeviceGetArchitecture
    nvmlDeviceGetCudaComputeCapability nvmlDeviceGetNumaNodeId nvmlDeviceGetModuleId
    nvmlDeviceGetGspFirmwareVersion nvmlDeviceGetGspFirmwareMode nvmlDeviceGetPersistenceMode
    nvmlDeviceGetVirtualizationMode
    nvmlDeviceGetFieldValues nvmlDeviceGetUtilizationRates nvmlDeviceGetClockInfo
    nvmlDeviceGetMaxClockInfo nvmlDeviceGetApplicationsClock nvmlDeviceGetDefaultApplicationsClock
    nvmlDeviceGetTemperature nvmlDeviceGetTemperatureV
    nvmlDeviceGetCurrentClocksThrottleReasons nvmlDeviceGetCurrentClocksEventReasons
    nvmlDeviceGetSupportedClocksThrottleReasons nvmlDeviceGetSupportedClocksEventReasons
    nvmlDeviceGetPerformanceState nvmlDeviceGetPowerUsage nvmlDeviceGetTotalEnergyConsumption
    nvmlDeviceGetViolationStatus
    nvmlDeviceGetMemoryInfo nvmlDeviceGetMemoryInfo_v2 nvmlDeviceGetBAR1MemoryInfo
    nvmlDeviceGetEncoderUtilization nvmlDeviceGetDecoderUtilization nvmlDeviceGetJpgUtilization
    nvmlDeviceGetOfaUtilization nvmlDeviceGetTemperatureThreshold nvmlDeviceGetMarginTemperature
    nvmlDeviceGetEnforcedPowerLimit nvmlDeviceGetPowerManagementLimit
    nvmlDeviceGetPowerManagementDefaultLimit nvmlDeviceGetPowerManagementLimitConstraints
    nvmlDeviceGetCurrPcieLinkGeneration nvmlDeviceGetCurrPcieLinkWidth
    nvmlDeviceGetMaxPcieLinkGeneration nvmlDeviceGetGpuMaxPcieLinkGeneration
    nvmlDeviceGetMaxPcieLinkWidth nvmlDeviceGetPcieReplayCounter nvmlDeviceGetPcieThroughput
    nvmlDeviceGetTotalEccErrors nvmlDeviceGetMemoryErrorCounter nvmlDeviceGetEccMode
    nvmlDeviceGetRemappedRows nvmlDeviceGetRowRemapperHistogram nvmlDeviceGetSramEccErrorStatus
    nvmlDeviceGetRetiredPages nvmlDeviceGetRetiredPages_v2 nvmlDeviceGetRetiredPagesPendingStatus
    nvmlDeviceGetNvLinkState nvmlDeviceGetNvLinkVersion nvmlDeviceGetNvLinkRemotePciInfo_v2
    nvmlDeviceGetNvLinkRemoteDeviceType nvmlDeviceGetNvLinkErrorCounter
    nvmlDeviceGetGpuFabricInfo nvmlDeviceGetGpuFabricInfoV nvmlDeviceGetP2PStatus
    nvmlDeviceGetComputeRunningProcesses_v2 nvmlDeviceGetComputeRunningProcesses_v3
    nvmlDeviceGetGraphicsRunningProcesses_v2 nvmlDeviceGetGraphicsRunningProcesses_v3
    nvmlDeviceGetMPSComputeRunningProcesses_v2 nvmlDeviceGetMPSComputeRunningProcesses_v3
    nvmlDeviceGetProcessUtilization nvmlDeviceGetNumFans nvmlDeviceGetFanSpeed
    nvmlDeviceGetFanSpeed_v2 nvmlDeviceGetFanSpeedRPM
    nvmlDeviceGetMigMode nvmlDeviceGetMaxMigDeviceCount nvmlDeviceGetMigDeviceHandleByIndex
    nvmlDeviceIsMigDeviceHandle nvmlDeviceGetDeviceHandleFromMigDeviceHandle
    nvmlDeviceGetGpuInstanceId nvmlDeviceGetComputeInstanceId nvmlDeviceGetAttributes_v2
    nvmlEventSetCreate nvmlDeviceGetSupportedEventTypes nvmlDeviceRegisterEvents
    nvmlEventSetWait_v2 nvmlEventSetFree
    nvmlGpmQueryDeviceSupport nvmlGpmSampleAlloc nvmlGpmSampleGet nvmlGpmMigSampleGet
    nvmlGpmMetricsGet nvmlGpmSampleFree
}

/// How many there are.
pub(crate) const COUNT: usize = NAMES.len();

/// The functions that a scenario's word stands for: a full name, one without `nvml` or
/// `nvmlDevice` in front, `*` for all. None when nothing is called so.
pub(crate) fn matching(word: &str) -> Option<Vec<usize>> {
    let found: Vec<usize> = NAMES
        .iter()
        .enumerate()
        .filter(|(_, name)| {
            word == "*"
                || **name == word
                || name.strip_prefix("nvml") == Some(word)
                || name.strip_prefix("nvmlDevice") == Some(word)
        })
        .map(|(index, _)| index)
        .collect();
    (!found.is_empty()).then_some(found)
}
