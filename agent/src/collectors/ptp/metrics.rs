//! What is known of clocks, in seconds.
//!
//! Entities: `ptp_instance` with `instance` (a ptp4l: the stem of its configuration or socket);
//! `ptp_port` with `instance`, `port` (number) and `iface`; `phc` with `phc` (ptp0); `dpll` with
//! `dpll` (id); `dpll_pin` with `pin` (id); `gnss` with `device`; `netdev` with
//! `device`; the node for the system clock.

metrics! {
    // A ptp4l.
    INSTANCE_INFO = gauge("ptp_instance_info", "", "domain, profile, clock_id, config, socket, timestamping (hardware, software), version; always 1.");
    UP = gauge("ptp_instance_up", "", "1 if it answers; 0 with reason: absent, dead, no_answer, wrong_domain, malformed.");
    CLOCK_STATE = gauge("ptp_clock_state", "1", "0 FREERUN, 1 LOCKED, 2 HOLDOVER, of the instance.");
    HOLDOVER_LEFT = gauge("ptp_holdover_left_seconds", "s", "Time until holdover ends; only in HOLDOVER.");
    NODE_CLOCK_STATE = gauge("ptp_node_clock_state", "1", "0 FREERUN, 1 LOCKED, 2 HOLDOVER: the worst of the instances and the system clock.");
    OS_CLOCK_STATE = gauge("ptp_os_clock_state", "1", "0 FREERUN, 1 LOCKED, 2 HOLDOVER, of the system clock.");
    OFFSET = gauge("ptp_offset_seconds", "s", "Offset from the master; only while it is fresh.");
    OFFSET_LIMIT = gauge("ptp_offset_limit_seconds", "s", "The offset that the profile allows.");
    PATH_DELAY = gauge("ptp_mean_path_delay_seconds", "s", "Mean path delay to the master; only while it is fresh.");
    FREQUENCY = gauge("ptp_frequency_adjustment_ratio", "1", "Frequency adjustment of the clock that the instance steers; 1e-9 is one ppb.");
    SYNC_AGE = gauge("ptp_sync_age_seconds", "s", "Time since a Sync was last used: the freshness of the offset.");
    FRESH = gauge("ptp_sync_fresh", "", "1 if Syncs come as they should.");
    STARVED = gauge("ptp_slave_starved", "", "1 if a port is SLAVE and no Sync comes.");
    STEPS_REMOVED = gauge("ptp_steps_removed", "1", "Hops to the grandmaster.");
    CLOCK_CLASS = gauge("ptp_clock_class", "1", "clockClass of the grandmaster (IEEE 1588).");
    CLOCK_ACCURACY = gauge("ptp_clock_accuracy", "1", "clockAccuracy of the grandmaster (IEEE 1588).");
    OWN_CLOCK_CLASS = gauge("ptp_own_clock_class", "1", "clockClass of this clock.");
    GRANDMASTER_INFO = gauge("ptp_grandmaster_info", "", "grandmaster, parent, parent_port; always 1.");
    GRANDMASTER_PRESENT = gauge("ptp_grandmaster_present", "", "1 if another clock is grandmaster.");
    UTC_OFFSET = gauge("ptp_utc_offset_seconds", "s", "TAI minus UTC as announced.");
    UTC_OFFSET_VALID = gauge("ptp_utc_offset_valid", "", "1 if the UTC offset is traceable.");
    TIME_TRACEABLE = gauge("ptp_time_traceable", "", "1 if time is traceable to a primary reference.");
    FREQUENCY_TRACEABLE = gauge("ptp_frequency_traceable", "", "1 if frequency is traceable.");
    TIMESCALE_PTP = gauge("ptp_timescale_ptp", "", "1 if the timescale is PTP's, 0 if arbitrary.");
    RATE_RATIO = gauge("ptp_cumulative_scaled_rate_offset", "1", "Rate ratio to the grandmaster as announced, minus 1.");
    SERVO_STATE = gauge("ptp_servo_state", "1", "0 unlocked, 1 jump, 2 locked; where it can be told.");
    REQUEST_SECONDS = gauge("sextant_ptp_request_seconds", "s", "Longest answer of the instance in the last tick.");
    REQUEST_ERRORS = counter("sextant_ptp_request_errors_total", "1", "Requests to the instance that failed; label error: timeout, refused, malformed, out_of_order, other_domain, error_reply.");
    STATE_CHANGES = counter("ptp_clock_state_changes_total", "1", "Changes of ptp_clock_state.");

    // A port.
    PORT_STATE = gauge("ptp_port_state", "1", "portState (IEEE 1588): 1 INITIALIZING, 2 FAULTY, 3 DISABLED, 4 LISTENING, 5 PRE_MASTER, 6 MASTER, 7 PASSIVE, 8 UNCALIBRATED, 9 SLAVE.");
    PORT_STATE_CHANGES = counter("ptp_port_state_changes_total", "1", "Changes of the port's state.");
    PORT_INFO = gauge("ptp_port_info", "", "delay_mechanism (E2E, P2P), timestamping, phc, port_id; always 1.");
    PORT_SYNC_INTERVAL = gauge("ptp_port_sync_interval_seconds", "s", "Interval of Sync.");
    PORT_ANNOUNCE_INTERVAL = gauge("ptp_port_announce_interval_seconds", "s", "Interval of Announce.");
    PORT_DELAY_INTERVAL = gauge("ptp_port_delay_request_interval_seconds", "s", "Least interval of delay requests.");
    PORT_PEER_DELAY = gauge("ptp_port_peer_mean_path_delay_seconds", "s", "Mean path delay to the peer (P2P).");
    PORT_AS_CAPABLE = gauge("ptp_port_as_capable", "", "1 if the peer is capable of gPTP.");
    PORT_MESSAGES_RX = counter("ptp_port_messages_received_total", "1", "Messages received; label message: sync, delay_req, pdelay_req, pdelay_resp, follow_up, delay_resp, pdelay_resp_follow_up, announce, signaling, management.");
    PORT_MESSAGES_TX = counter("ptp_port_messages_sent_total", "1", "Messages sent; label message.");
    PORT_SERVICE = counter("ptp_port_service_total", "1", "Timeouts and mismatches; label event: announce_timeout, sync_timeout, delay_timeout, unicast_service_timeout, unicast_request_timeout, master_announce_timeout, master_sync_timeout, qualification_timeout, sync_mismatch, followup_mismatch.");
    PORT_UNICAST_MASTERS = gauge("ptp_port_unicast_masters", "1", "Entries of the unicast master table.");

    // A PTP hardware clock.
    PHC_INFO = gauge("ptp_phc_info", "", "clock_name, netdevs, driver, pci; always 1.");
    PHC_OFFSET = gauge("ptp_phc_system_offset_seconds", "s", "PHC minus system time, both as they run (PTP is usually TAI: UTC offset included).");
    PHC_UNCERTAINTY = gauge("ptp_phc_system_offset_uncertainty_seconds", "s", "Half the window of the measurement; label method: precise, extended, basic.");
    PHC_UTC_ERROR = gauge("ptp_phc_utc_error_seconds", "s", "PHC minus UTC offset minus system time, where the UTC offset is known.");
    PHC_FREQUENCY = gauge("ptp_phc_frequency_adjustment_ratio", "1", "Frequency adjustment; 1e-9 is one ppb.");
    PHC_MAX_ADJUSTMENT = gauge("ptp_phc_max_adjustment_ratio", "1", "Largest frequency adjustment.");
    PHC_PINS = gauge("ptp_phc_pins", "1", "Programmable pins.");
    PHC_PIN = gauge("ptp_phc_pin_function", "1", "Pin function: 0 none, 1 external timestamp, 2 periodic output, 3 PHY sync; labels pin, channel.");
    PHC_EXTERNAL_TIMESTAMPS = gauge("ptp_phc_external_timestamps", "1", "External time stamp channels.");
    PHC_PERIODIC_OUTPUTS = gauge("ptp_phc_periodic_outputs", "1", "Periodic output channels.");
    PHC_ALARMS = gauge("ptp_phc_alarms", "1", "Alarms.");
    PHC_PPS = gauge("ptp_phc_pps_available", "", "1 if it has a PPS.");
    PHC_VCLOCKS = gauge("ptp_phc_vclocks", "1", "Virtual clocks in use.");
    PHC_READ_FAILURES = counter("sextant_ptp_phc_read_failures_total", "1", "Readings of the PHC that came to nothing; label reason: window (took too long), error.");
    PHC_STEPS = counter("ptp_phc_steps_total", "1", "Jumps of the PHC against the raw monotonic clock.");

    // The node.
    SYSTEM_OFFSET = gauge("ptp_system_offset_seconds", "s", "System clock's error against its source; label source: phc2sys, chrony, ntp.");
    SYSTEM_FREQUENCY = gauge("ptp_system_frequency_adjustment_ratio", "1", "System clock's frequency adjustment.");
    SYSTEM_SYNCED = gauge("ptp_system_synchronized", "", "1 if the kernel takes its clock for synchronized.");
    NETDEV_STAMPING = gauge("ptp_netdev_timestamping_info", "", "How a network device stamps: hardware, software (none, tx, rx, both), phc; always 1.");
    MALFORMED = counter("sextant_ptp_malformed_total", "1", "Answers that were not as they must be; label source: tsinfo, dpll, gpsd, chrony.");
    PROCESS_UP = gauge("ptp_process_up", "", "1 if the process runs; labels process (ptp4l, phc2sys, ts2phc, synce4l, chronyd, gpsd), config.");
    PROCESS_RESTARTS = counter("ptp_process_restarts_total", "1", "Starts of the process after the first that was seen; labels process, config.");
    CHRONY_INFO = gauge("ptp_chrony_info", "", "reference, stratum, leap; always 1.");
    CHRONY_STRATUM = gauge("ptp_chrony_stratum", "1", "Stratum of the system clock.");
    CHRONY_ROOT_DELAY = gauge("ptp_chrony_root_delay_seconds", "s", "Delay to the reference.");
    CHRONY_ROOT_DISPERSION = gauge("ptp_chrony_root_dispersion_seconds", "s", "Dispersion to the reference.");
    CHRONY_RMS_OFFSET = gauge("ptp_chrony_rms_offset_seconds", "s", "Long-term mean of the offset.");

    // DPLL and GNSS.
    DPLL_INFO = gauge("ptp_dpll_info", "", "module, clock_id, type (pps, eec), mode; always 1.");
    DPLL_LOCK = gauge("ptp_dpll_lock_status", "1", "1 unlocked, 2 locked, 3 locked with holdover acquired, 4 holdover.");
    DPLL_LOCK_ERROR = gauge("ptp_dpll_lock_status_error", "1", "0 none, 1 undefined, 2 media down, 3 frequency offset too high.");
    DPLL_TEMPERATURE = gauge("ptp_dpll_temperature_celsius", "Cel", "Temperature.");
    PIN_INFO = gauge("ptp_dpll_pin_info", "", "label, type, dpll; always 1.");
    PIN_STATE = gauge("ptp_dpll_pin_state", "1", "1 connected, 2 disconnected, 3 selectable; label dpll.");
    PIN_PRIORITY = gauge("ptp_dpll_pin_priority", "1", "Priority; label dpll.");
    PIN_PHASE_OFFSET = gauge("ptp_dpll_pin_phase_offset_seconds", "s", "Phase offset; label dpll.");
    PIN_FREQUENCY_OFFSET = gauge("ptp_dpll_pin_fractional_frequency_offset_ratio", "1", "Fractional frequency offset.");
    GNSS_FIX = gauge("ptp_gnss_fix", "1", "0 none, 2 2D, 3 3D.");
    GNSS_SATELLITES = gauge("ptp_gnss_satellites_used", "1", "Satellites used.");
    GNSS_TIME_OFFSET = gauge("ptp_gnss_time_offset_seconds", "s", "gpsd's estimate of the time error.");
}
