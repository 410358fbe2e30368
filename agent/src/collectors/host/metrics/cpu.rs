//! Processors: time, frequency, throttling, scheduling, interrupts, load and pressure.

metrics! {
    SECONDS = counter("node_cpu_seconds_total", "s", "Time a CPU has spent in a mode; the modes add up to the time that it was online.");
    GUEST_SECONDS = counter("node_cpu_guest_seconds_total", "s", "Time a CPU has run guests' code; it is part of the modes user and nice.");
    CONTEXT_SWITCHES = counter("node_context_switches_total", "1", "Switches from one task to another, all CPUs together.");
    FORKS = counter("node_forks_total", "1", "Processes and threads created since boot.");
    INTERRUPTS_TOTAL = counter("node_intr_total", "1", "Interrupts serviced since boot.");
    PROCS_RUNNING = gauge("node_procs_running", "1", "Tasks that run or could run.");
    PROCS_BLOCKED = gauge("node_procs_blocked", "1", "Tasks that wait for I/O and cannot be interrupted.");
    BOOT_TIME = gauge("node_boot_time_seconds", "s", "When the kernel booted, in seconds since 1970.");
    FREQUENCY = gauge("node_cpu_frequency_hertz", "Hz", "Frequency that the hardware reports for a CPU.");
    FREQUENCY_MIN = gauge("node_cpu_frequency_min_hertz", "Hz", "Lowest frequency that a CPU can run at.");
    FREQUENCY_MAX = gauge("node_cpu_frequency_max_hertz", "Hz", "Highest frequency that a CPU can run at.");
    SCALING_FREQUENCY = gauge("node_cpu_scaling_frequency_hertz", "Hz", "Frequency that the governor has set for a CPU.");
    SCALING_FREQUENCY_MIN = gauge("node_cpu_scaling_frequency_min_hertz", "Hz", "Lowest frequency that the policy allows a CPU.");
    SCALING_FREQUENCY_MAX = gauge("node_cpu_scaling_frequency_max_hertz", "Hz", "Highest frequency that the policy allows a CPU.");
    SCALING_GOVERNOR = gauge("node_cpu_scaling_governor", "", "1 for the frequency governor that a CPU uses, 0 for the others that it could.");
    CORE_THROTTLES = counter("node_cpu_core_throttles_total", "1", "Times that a core was slowed down because it was too hot.");
    PACKAGE_THROTTLES = counter("node_cpu_package_throttles_total", "1", "Times that a whole package was slowed down because it was too hot.");
    SCHED_RUNNING = counter("node_schedstat_running_seconds_total", "s", "Time a CPU has run tasks.");
    SCHED_WAITING = counter("node_schedstat_waiting_seconds_total", "s", "Time that runnable tasks have waited for a CPU.");
    SCHED_TIMESLICES = counter("node_schedstat_timeslices_total", "1", "Time slices that a CPU has run.");
    INTERRUPTS = counter("node_interrupts_total", "1", "Interrupts serviced by a CPU, by line of /proc/interrupts.");
    LOAD1 = gauge("node_load1", "1", "Load average over a minute.");
    LOAD5 = gauge("node_load5", "1", "Load average over five minutes.");
    LOAD15 = gauge("node_load15", "1", "Load average over fifteen minutes.");
}

// Keyed by file and line of /proc/pressure.
fields! { PRESSURE:
    "cpu/some" = counter("node_pressure_cpu_waiting_seconds_total", "s", "Time in which some task waited for a CPU.");
    "io/some" = counter("node_pressure_io_waiting_seconds_total", "s", "Time in which some task waited for I/O.");
    "io/full" = counter("node_pressure_io_stalled_seconds_total", "s", "Time in which no task could go on because all waited for I/O.");
    "memory/some" = counter("node_pressure_memory_waiting_seconds_total", "s", "Time in which some task waited for memory.");
    "memory/full" = counter("node_pressure_memory_stalled_seconds_total", "s", "Time in which no task could go on because all waited for memory.");
    "irq/full" = counter("node_pressure_irq_stalled_seconds_total", "s", "Time in which no task could go on because of interrupts.");
}
