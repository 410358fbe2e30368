//! The system clock: its time, what drives it and how the kernel disciplines it.

metrics! {
    TIME = gauge("node_time_seconds", "s", "The node's time, in seconds since 1970.");
    ZONE_OFFSET = gauge("node_time_zone_offset_seconds", "s", "How far the time zone is east of UTC.");
    CLOCKSOURCE_AVAILABLE = gauge("node_time_clocksource_available_info", "", "A clock source that the kernel could use; always 1.");
    CLOCKSOURCE_CURRENT = gauge("node_time_clocksource_current_info", "", "The clock source that the kernel uses; always 1.");
}

// In the order in which `timex.rs` sets them; keyed by the field of adjtimex(2).
fields! { TIMEX:
    "sync" = gauge("node_timex_sync_status", "", "1 if the clock is synchronized, 0 if not.");
    "offset" = gauge("node_timex_offset_seconds", "s", "How far the clock is from its reference.");
    "freq" = gauge("node_timex_frequency_adjustment_ratio", "1", "How much faster the clock is made to run; 1 is as it is.");
    "maxerror" = gauge("node_timex_maxerror_seconds", "s", "Largest error that the clock may have.");
    "esterror" = gauge("node_timex_estimated_error_seconds", "s", "Error that the clock is thought to have.");
    "status" = gauge("node_timex_status", "", "Status bits of the clock (STA_*).");
    "constant" = gauge("node_timex_loop_time_constant", "1", "Time constant of the phase-locked loop.");
    "tick" = gauge("node_timex_tick_seconds", "s", "Time between ticks of the clock.");
    "ppsfreq" = gauge("node_timex_pps_frequency_hertz", "Hz", "Frequency of the pulse-per-second signal.");
    "jitter" = gauge("node_timex_pps_jitter_seconds", "s", "Jitter of the pulse-per-second signal.");
    "shift" = gauge("node_timex_pps_shift_seconds", "s", "Length of the pulse-per-second interval.");
    "stabil" = gauge("node_timex_pps_stability_hertz", "Hz", "Stability of the pulse-per-second signal.");
    "jitcnt" = counter("node_timex_pps_jitter_total", "1", "Times that the pulse-per-second jitter was too large.");
    "calcnt" = counter("node_timex_pps_calibration_total", "1", "Calibrations by the pulse-per-second signal.");
    "errcnt" = counter("node_timex_pps_error_total", "1", "Calibrations by the pulse-per-second signal that failed.");
    "stbcnt" = counter("node_timex_pps_stability_exceeded_total", "1", "Times that the pulse-per-second signal was not stable enough.");
    "tai" = gauge("node_timex_tai_offset_seconds", "s", "How far TAI is ahead of UTC, as the kernel was told.");
}
