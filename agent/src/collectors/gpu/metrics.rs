//! What is known of GPUs, in base units. Fields that a GPU does not support have no series.
//!
//! Entities: `gpu` with the label `uuid`; `mig` with `uuid` (of the MIG device); `pci` with
//! `pci_bus_id` for a GPU that the bus shows and NVML never did.

metrics! {
    // What it is. 60 s and on change.
    INFO = gauge("gpu_info", "", "Identity: gpu (NVML index), pci_bus_id, model, serial, board_part_number, vbios_version, inforom_version, inforom_oem_version, inforom_ecc_version, inforom_power_version, brand, architecture, compute_capability, minor_number, numa_node, module_id, gsp_firmware_version; always 1.");
    MIG_INFO = gauge("gpu_mig_info", "", "Identity of a MIG device: gpu, gpu_uuid, gpu_instance, compute_instance, profile; always 1.");
    DRIVER_INFO = gauge("gpu_driver_info", "", "driver_version, nvml_version, cuda_version of the node; always 1.");
    DRIVER_UP = gauge("gpu_driver_up", "", "1 if NVML can be used; 0 with a reason: no_library, no_driver, version_mismatch, wedged, released, failed.");
    STATE = gauge("gpu_state", "", "1 for the state that it is in, 0 for the others: ok, lost, reset_required, wedged, missing, released.");
    DEVICES_EXPECTED = gauge("gpu_devices_expected", "1", "GPUs that the PCI bus shows or that were seen before.");
    DEVICES = gauge("gpu_devices", "1", "GPUs that answer.");
    MISSING = gauge("gpu_missing", "", "1 for a GPU that the PCI bus shows and NVML does not; sextant_unavailable says why, where NVML tells.");
    MIG_MODE = gauge("gpu_mig_mode", "", "1 if MIG is on.");
    POD_INFO = gauge("gpu_pod_info", "", "A pod that the GPU is allocated to: namespace, pod, container, resource, shared (true when others may use it, too); always 1.");
    MIG_POD_INFO = gauge("gpu_mig_pod_info", "", "A pod that the MIG device is allocated to, as gpu_pod_info; always 1.");

    // Fast.
    UTILIZATION = gauge("gpu_utilization_ratio", "1", "Share of time in which a kernel ran.");
    MEMORY_COPY_UTILIZATION = gauge("gpu_memory_copy_utilization_ratio", "1", "Share of time in which memory was read or written.");
    TEMPERATURE = gauge("gpu_temperature_celsius", "Cel", "Core temperature.");
    MEMORY_TEMPERATURE = gauge("gpu_memory_temperature_celsius", "Cel", "Memory temperature.");
    POWER = gauge("gpu_power_watts", "W", "Power drawn, the mean of the last second where the GPU averages.");
    POWER_INSTANT = gauge("gpu_power_instant_watts", "W", "Power drawn at this instant.");
    ENERGY = counter("gpu_energy_joules_total", "J", "Energy used since the driver was loaded.");
    CLOCK = gauge("gpu_clock_hertz", "Hz", "Clock; label clock: sm (fast), memory (medium), graphics, video (slow).");
    CLOCKS_EVENT = gauge("gpu_clocks_event_active", "", "1 while the clock is held for the reason: idle, applications_clocks, sw_power_cap, hw_slowdown, sync_boost, sw_thermal, hw_thermal, hw_power_brake, display_clocks.");
    THROTTLE = counter("gpu_throttle_seconds_total", "s", "Time in which clocks were held, by reason: power, thermal, sync_boost, board_limit, low_utilization, reliability, sw_thermal, hw_thermal, hw_power_brake.");

    // Medium.
    MEMORY_TOTAL = gauge("gpu_memory_total_bytes", "By", "Memory.");
    MEMORY_USED = gauge("gpu_memory_used_bytes", "By", "Memory in use, without what the driver reserves.");
    MEMORY_FREE = gauge("gpu_memory_free_bytes", "By", "Memory that can be had.");
    MEMORY_RESERVED = gauge("gpu_memory_reserved_bytes", "By", "Memory that driver and firmware keep.");
    ENCODER_UTILIZATION = gauge("gpu_encoder_utilization_ratio", "1", "Share of time in which the encoder ran.");
    DECODER_UTILIZATION = gauge("gpu_decoder_utilization_ratio", "1", "Share of time in which the decoder ran.");
    PERFORMANCE_STATE = gauge("gpu_performance_state", "1", "P-state, 0 (fastest) to 15.");
    PCIE_LINK_GENERATION = gauge("gpu_pcie_link_generation", "1", "PCIe generation now; falls when idle.");
    PCIE_LINK_GENERATION_MAX = gauge("gpu_pcie_link_generation_max", "1", "PCIe generation that GPU and slot can do.");
    PCIE_LINK_WIDTH = gauge("gpu_pcie_link_width", "1", "PCIe lanes in use.");
    PCIE_LINK_WIDTH_MAX = gauge("gpu_pcie_link_width_max", "1", "PCIe lanes that GPU and slot have.");
    PCIE_REPLAY = counter("gpu_pcie_replay_total", "1", "PCIe packets sent again.");
    PCIE_REPLAY_ROLLOVER = counter("gpu_pcie_replay_rollover_total", "1", "Rollovers of the PCIe replay number.");
    PCIE_TRANSMIT = counter("gpu_pcie_transmit_bytes_total", "By", "Bytes sent over PCIe.");
    PCIE_RECEIVE = counter("gpu_pcie_receive_bytes_total", "By", "Bytes received over PCIe.");
    ECC_ERRORS = counter("gpu_ecc_errors_total", "1", "ECC errors; labels error: corrected, uncorrected; counter: volatile (since driver load), aggregate (life).");
    REMAPPED_ROWS = counter("gpu_remapped_rows_total", "1", "Memory rows remapped; label cause: correctable, uncorrectable.");
    ROW_REMAP_PENDING = gauge("gpu_row_remap_pending", "", "1 if a row is remapped at the next reset.");
    ROW_REMAP_FAILED = gauge("gpu_row_remap_failed", "", "1 if a row could not be remapped.");
    RECOVERY_ACTION = gauge("gpu_recovery_action", "1", "What the driver asks for: 0 none, 1 reset, 2 reboot, 3 drain peers, 4 drain and reset, 5 IMEX recovery.");
    THERMAL_MARGIN = gauge("gpu_thermal_margin_celsius", "Cel", "Degrees left before the clock is lowered; negative beyond.");
    FABRIC_STATE = gauge("gpu_fabric_state", "1", "Fabric registration: 0 not supported, 1 not started, 2 in progress, 3 completed.");
    FABRIC_STATUS = gauge("gpu_fabric_status", "1", "Outcome of the registration as NVML return code; 0 is success.");
    FABRIC_HEALTH = gauge("gpu_fabric_health", "", "1 if the fabric reports the condition, 0 if not: degraded_bandwidth, route_recovery, route_unhealthy, access_timeout_recovery, incorrect_configuration.");
    NVLINK_UP = gauge("gpu_nvlink_up", "", "1 if the link is active; label link.");
    NVLINK_LINKS = gauge("gpu_nvlink_links", "1", "NVLinks that the GPU has.");
    NVLINK_TRANSMIT = counter("gpu_nvlink_transmit_bytes_total", "By", "Payload sent over all NVLinks.");
    NVLINK_RECEIVE = counter("gpu_nvlink_receive_bytes_total", "By", "Payload received over all NVLinks.");
    NVLINK_RAW_TRANSMIT = counter("gpu_nvlink_raw_transmit_bytes_total", "By", "Bytes with protocol overhead sent over all NVLinks.");
    NVLINK_RAW_RECEIVE = counter("gpu_nvlink_raw_receive_bytes_total", "By", "Bytes with protocol overhead received over all NVLinks.");
    NVLINK_ERRORS = counter("gpu_nvlink_errors_total", "1", "NVLink errors of all links; label error: crc_flit, crc_data, replay, recovery, ecc.");
    // GPM, Hopper and later.
    GRAPHICS_ACTIVE = gauge("gpu_graphics_engine_active_ratio", "1", "Share of time in which the graphics or compute engine was busy.");
    SM_ACTIVE = gauge("gpu_sm_active_ratio", "1", "Mean share of multiprocessors with work.");
    SM_OCCUPANCY = gauge("gpu_sm_occupancy_ratio", "1", "Warps resident as a share of what fits.");
    TENSOR_ACTIVE = gauge("gpu_tensor_active_ratio", "1", "Share of cycles in which tensor pipes ran.");
    TENSOR_DFMA_ACTIVE = gauge("gpu_tensor_dfma_active_ratio", "1", "Share of cycles in which tensor pipes ran double-precision work.");
    TENSOR_HMMA_ACTIVE = gauge("gpu_tensor_hmma_active_ratio", "1", "Share of cycles in which tensor pipes ran half-precision work.");
    TENSOR_IMMA_ACTIVE = gauge("gpu_tensor_imma_active_ratio", "1", "Share of cycles in which tensor pipes ran integer work.");
    DRAM_ACTIVE = gauge("gpu_dram_active_ratio", "1", "Share of memory bandwidth in use.");
    INTEGER_ACTIVE = gauge("gpu_integer_active_ratio", "1", "Share of cycles in which integer pipes ran.");
    FP64_ACTIVE = gauge("gpu_fp64_active_ratio", "1", "Share of cycles in which FP64 pipes ran.");
    FP32_ACTIVE = gauge("gpu_fp32_active_ratio", "1", "Share of cycles in which FP32 pipes ran.");
    FP16_ACTIVE = gauge("gpu_fp16_active_ratio", "1", "Share of cycles in which FP16 pipes ran.");
    PCIE_TRANSMIT_RATE = gauge("gpu_pcie_transmit_bytes_per_second", "By/s", "PCIe traffic out, as the GPU measures it.");
    PCIE_RECEIVE_RATE = gauge("gpu_pcie_receive_bytes_per_second", "By/s", "PCIe traffic in, as the GPU measures it.");
    NVLINK_TRANSMIT_RATE = gauge("gpu_nvlink_transmit_bytes_per_second", "By/s", "NVLink traffic out, as the GPU measures it.");
    NVLINK_RECEIVE_RATE = gauge("gpu_nvlink_receive_bytes_per_second", "By/s", "NVLink traffic in, as the GPU measures it.");
    C2C_TRANSMIT_RATE = gauge("gpu_c2c_transmit_bytes_per_second", "By/s", "Traffic out over the chip-to-chip link, as the GPU measures it.");
    C2C_RECEIVE_RATE = gauge("gpu_c2c_receive_bytes_per_second", "By/s", "Traffic in over the chip-to-chip link, as the GPU measures it.");

    // Slow.
    BAR1_TOTAL = gauge("gpu_bar1_total_bytes", "By", "BAR1 window.");
    BAR1_USED = gauge("gpu_bar1_used_bytes", "By", "BAR1 in use.");
    BAR1_FREE = gauge("gpu_bar1_free_bytes", "By", "BAR1 that can be had.");
    FAN_SPEED = gauge("gpu_fan_speed_ratio", "1", "Fan speed as a share of its maximum; label fan.");
    FAN_RPM = gauge("gpu_fan_rpm", "1/min", "Fan speed; label fan.");
    POWER_LIMIT = gauge("gpu_power_limit_watts", "W", "Power limit; label limit: enforced, requested, default, min, max.");
    CLOCK_MAX = gauge("gpu_clock_max_hertz", "Hz", "Highest clock; label clock.");
    CLOCK_APPLICATION = gauge("gpu_clock_application_hertz", "Hz", "Clock that applications get; label clock: sm, memory.");
    TEMPERATURE_LIMIT = gauge("gpu_temperature_limit_celsius", "Cel", "Threshold; label limit: shutdown, slowdown, memory_max, gpu_max.");
    TEMPERATURE_MARGIN_LIMIT = gauge("gpu_temperature_margin_limit_celsius", "Cel", "Threshold as a margin (T.Limit), Ada and later; label limit as gpu_temperature_limit_celsius.");
    JPEG_UTILIZATION = gauge("gpu_jpeg_utilization_ratio", "1", "Share of time in which the JPEG engine ran.");
    OFA_UTILIZATION = gauge("gpu_ofa_utilization_ratio", "1", "Share of time in which the optical flow engine ran.");
    ECC_MODE = gauge("gpu_ecc_mode", "", "1 if ECC is on.");
    ECC_LOCATION_ERRORS = counter("gpu_ecc_location_errors_total", "1", "ECC errors by place; labels error, counter, location: l1, l2, dram, register_file, texture (with shared memory), cbu, sram.");
    SRAM_ERRORS = counter("gpu_sram_ecc_errors_total", "1", "SRAM ECC errors; labels error: corrected, uncorrected_parity, uncorrected_secded; counter.");
    SRAM_THRESHOLD_EXCEEDED = gauge("gpu_sram_threshold_exceeded", "", "1 if SRAM errors are beyond what the vendor accepts.");
    REMAP_BANKS = gauge("gpu_remap_banks", "1", "Memory banks by spare rows left; label availability: max, high, partial, low, none.");
    RETIRED_PAGES = counter("gpu_retired_pages_total", "1", "Pages retired (before Ampere); label cause: single_bit, double_bit.");
    RETIRED_PAGES_PENDING = gauge("gpu_retired_pages_pending", "", "1 if pages are retired at the next driver load.");
    PCIE_ERRORS = counter("gpu_pcie_errors_total", "1", "PCIe errors; label error: correctable, naks_received, receiver, bad_tlp, naks_sent, bad_dllp, non_fatal, fatal, unsupported_request, lcrc, lane.");
    NVLINK_LINK_ERRORS = counter("gpu_nvlink_link_errors_total", "1", "NVLink errors of one link; labels link, error: crc_flit, crc_data, replay, recovery, ecc, malformed_packet, buffer_overrun, received, received_remote, local_link_integrity, link_recovery, effective, symbol.");
    NVLINK_LINK_TRANSMIT = counter("gpu_nvlink_link_transmit_bytes_total", "By", "Payload sent over one link.");
    NVLINK_LINK_RECEIVE = counter("gpu_nvlink_link_receive_bytes_total", "By", "Payload received over one link.");
    NVLINK_BER = gauge("gpu_nvlink_bit_error_ratio", "1", "Bit errors per bit of one link; labels link, ber: effective, symbol.");
    NVLINK_INFO = gauge("gpu_nvlink_info", "", "link, version, remote_pci_bus_id, remote_type; always 1.");
    P2P_STATUS = gauge("gpu_p2p_status", "1", "Whether the GPU can reach another one of the node: 0 yes, 1 chipset not supported, 2 GPU not supported, 3 topology not supported, 4 disabled by registry key, 5 not supported, 6 unknown; labels peer_uuid, capability: read, write, nvlink, atomics, pci.");
    PERSISTENCE_MODE = gauge("gpu_persistence_mode", "", "1 if the driver stays loaded without users.");
    INFOROM_VALID = gauge("gpu_inforom_valid", "", "1 if the InfoROM's checksum is right.");
    VGPU_LICENSED = gauge("gpu_vgpu_licensed", "", "1 if the vGPU licence is held.");
    PROCESSES = gauge("gpu_processes", "1", "Processes that have a context; label type: compute, graphics, mps.");
    PROCESS_MEMORY = gauge("gpu_process_memory_bytes", "By", "Memory of one process; labels pid, name, type, namespace, pod, container.");
    PROCESS_UTILIZATION = gauge("gpu_process_utilization_ratio", "1", "Share of time in which a kernel of the process ran; labels pid, name, namespace, pod, container.");
    MEMORY_UNACCOUNTED = gauge("gpu_memory_unaccounted_bytes", "By", "Memory in use that no process accounts for, where processes tell theirs.");

    // MIG devices.
    MIG_MEMORY_TOTAL = gauge("gpu_mig_memory_total_bytes", "By", "Memory of the MIG device.");
    MIG_MEMORY_USED = gauge("gpu_mig_memory_used_bytes", "By", "Memory in use of the MIG device.");
    MIG_MEMORY_FREE = gauge("gpu_mig_memory_free_bytes", "By", "Memory that can be had on the MIG device.");
    MIG_MEMORY_RESERVED = gauge("gpu_mig_memory_reserved_bytes", "By", "Memory of the MIG device that driver and firmware keep.");
    MIG_MULTIPROCESSORS = gauge("gpu_mig_multiprocessors", "1", "Multiprocessors of the MIG device.");
    MIG_GRAPHICS_ACTIVE = gauge("gpu_mig_graphics_engine_active_ratio", "1", "As gpu_graphics_engine_active_ratio, of the GPU instance.");
    MIG_SM_ACTIVE = gauge("gpu_mig_sm_active_ratio", "1", "As gpu_sm_active_ratio, of the GPU instance.");
    MIG_SM_OCCUPANCY = gauge("gpu_mig_sm_occupancy_ratio", "1", "As gpu_sm_occupancy_ratio, of the GPU instance.");
    MIG_TENSOR_ACTIVE = gauge("gpu_mig_tensor_active_ratio", "1", "As gpu_tensor_active_ratio, of the GPU instance.");
    MIG_DRAM_ACTIVE = gauge("gpu_mig_dram_active_ratio", "1", "As gpu_dram_active_ratio, of the GPU instance.");
    MIG_FP64_ACTIVE = gauge("gpu_mig_fp64_active_ratio", "1", "As gpu_fp64_active_ratio, of the GPU instance.");
    MIG_FP32_ACTIVE = gauge("gpu_mig_fp32_active_ratio", "1", "As gpu_fp32_active_ratio, of the GPU instance.");
    MIG_FP16_ACTIVE = gauge("gpu_mig_fp16_active_ratio", "1", "As gpu_fp16_active_ratio, of the GPU instance.");

    // Events as numbers. Fast.
    XID_ERRORS = counter("gpu_xid_errors_total", "1", "Xids since the agent started; label xid.");
    XID_LAST_TIME = gauge("gpu_xid_last_timestamp_seconds", "s", "When the Xid was last seen; label xid.");
    XID_LAST = gauge("gpu_xid_last", "1", "The last Xid; 0 if there was none.");
    EVENTS = counter("gpu_events_total", "1", "Events of the driver other than Xids; label event: single_bit_ecc, double_bit_ecc, ecc_storm, dram_retirement, dram_retirement_failure, poison_nonfatal, poison_fatal, unavailable, recovery_action, clock, power_source, mig_config, unknown.");

    // How the reading goes. Medium.
    CALL_SECONDS = gauge("sextant_gpu_call_seconds", "s", "Longest time of the NVML call in the last interval; labels call.");
    CALLS = counter("sextant_gpu_calls_total", "1", "NVML calls made for the GPU.");
    CALL_ERRORS = counter("sextant_gpu_call_errors_total", "1", "NVML calls that failed; labels call, code.");
    DEMOTED = gauge("sextant_gpu_call_demoted", "", "1 while a call is made more rarely because it is slow; label call.");
    LAST_SUCCESS = gauge("sextant_gpu_last_success_timestamp_seconds", "s", "When the GPU last answered.");
    KMSG_DROPPED = counter("sextant_gpu_kmsg_dropped_total", "1", "Kernel messages that were not read: overwritten, or too many.");
    EVENTS_DROPPED = counter("sextant_gpu_events_dropped_total", "1", "Events beyond the queue's bound.");
    REJECTED_VALUES = counter("sextant_gpu_rejected_values_total", "1", "Values that NVML gave and that cannot be: sentinels, impossible temperatures.");
}
