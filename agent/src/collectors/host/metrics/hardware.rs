//! Heat, memory errors and energy.

metrics! {
    ZONE_TEMPERATURE = gauge("node_thermal_zone_temp", "Cel", "Temperature of a thermal zone.");
    COOLING_STATE = gauge("node_cooling_device_cur_state", "1", "How hard a cooling device works; 0 is off.");
    COOLING_MAX_STATE = gauge("node_cooling_device_max_state", "1", "How hard a cooling device can work.");
    EDAC_CORRECTABLE = counter("node_edac_correctable_errors_total", "1", "Memory errors of a controller that were corrected.");
    EDAC_UNCORRECTABLE = counter("node_edac_uncorrectable_errors_total", "1", "Memory errors of a controller that could not be corrected.");
    EDAC_ROW_CORRECTABLE = counter("node_edac_csrow_correctable_errors_total", "1", "Memory errors of a chip-select row that were corrected.");
    EDAC_ROW_UNCORRECTABLE = counter("node_edac_csrow_uncorrectable_errors_total", "1", "Memory errors of a chip-select row that could not be corrected.");
    RAPL_PACKAGE = counter("node_rapl_package_joules_total", "J", "Energy that a processor package has used, until its counter starts again.");
    RAPL_CORE = counter("node_rapl_core_joules_total", "J", "Energy that a package's cores have used, until its counter starts again.");
    RAPL_UNCORE = counter("node_rapl_uncore_joules_total", "J", "Energy that a package has used beside its cores, until its counter starts again.");
    RAPL_DRAM = counter("node_rapl_dram_joules_total", "J", "Energy that memory has used, until its counter starts again.");
    RAPL_PSYS = counter("node_rapl_psys_joules_total", "J", "Energy that the whole platform has used, until its counter starts again.");
    RAPL_OTHER = counter("node_rapl_joules_total", "J", "Energy of a zone with a name of its own, until its counter starts again.");
}
