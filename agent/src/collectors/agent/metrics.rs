//! The names of the agent's own numbers.

use crate::sample::Metric;

pub(super) static ALL: &[&Metric] = &[
    &COLLECTOR_UP,
    &COLLECTOR_DURATION,
    &COLLECTOR_LAST_SUCCESS,
    &COLLECTOR_ERRORS,
    &COLLECTOR_MISSED,
    &COLLECTOR_STALLED,
    &COLLECTOR_SERIES,
    &COLLECTOR_OVERFLOW,
    &INFO,
    &START_TIME,
    &CPU,
    &RESIDENT,
    &OPEN_FDS,
    &THREADS,
    &SPOOL_DISK,
    &SPOOL_BYTES,
    &SPOOL_FRAMES,
    &SPOOL_OLDEST,
    &SPOOL_SEGMENTS,
    &SPOOL_DROPPED,
    &SPOOL_DAMAGED,
    &SPOOL_PUSHED,
    &UPLINK_CONNECTED,
    &UPLINK_RECONNECTS,
    &UPLINK_MOVES,
    &UPLINK_IN_DOUBT,
    &UPLINK_SENT,
    &UPLINK_SENT_BYTES,
    &UPLINK_ACKED,
    &UPLINK_REFUSED,
    &UPLINK_UNACKED,
    &UPLINK_LAST_ACK,
];

pub(super) static COLLECTOR_UP: Metric = Metric::gauge(
    "sextant_collector_up",
    "",
    "Whether the collector's last call read something; none while what it reads is not there.",
);
pub(super) static COLLECTOR_DURATION: Metric = Metric::gauge(
    "sextant_collector_duration_seconds",
    "s",
    "How long the collector's last call took.",
);
pub(super) static COLLECTOR_LAST_SUCCESS: Metric = Metric::gauge(
    "sextant_collector_last_success_timestamp_seconds",
    "s",
    "Unix time of the collector's last tick that was read.",
);
pub(super) static COLLECTOR_ERRORS: Metric = Metric::counter(
    "sextant_collector_errors_total",
    "",
    "Sources that the collector could not read.",
);
pub(super) static COLLECTOR_MISSED: Metric = Metric::counter(
    "sextant_collector_missed_ticks_total",
    "",
    "Ticks that were skipped because an earlier one took too long.",
);
pub(super) static COLLECTOR_STALLED: Metric =
    Metric::gauge("sextant_collector_stalled", "", "Whether the collector's call does not return.");
pub(super) static COLLECTOR_SERIES: Metric =
    Metric::gauge("sextant_collector_series", "", "Series of the collector's last ticks.");
pub(super) static COLLECTOR_OVERFLOW: Metric = Metric::counter(
    "sextant_collector_overflow_total",
    "",
    "Series and events dropped because they were over the protocol's limits.",
);
pub(super) static INFO: Metric =
    Metric::gauge("sextant_agent_info", "", "The agent's version; always 1.");
pub(super) static START_TIME: Metric = Metric::gauge(
    "sextant_agent_start_time_seconds",
    "s",
    "Unix time when the agent's process started.",
);
pub(super) static CPU: Metric = Metric::counter(
    "sextant_agent_cpu_seconds_total",
    "s",
    "CPU time that the agent's process has used.",
);
pub(super) static RESIDENT: Metric = Metric::gauge(
    "sextant_agent_resident_memory_bytes",
    "By",
    "Resident memory of the agent's process.",
);
pub(super) static OPEN_FDS: Metric =
    Metric::gauge("sextant_agent_open_fds", "", "Open files of the agent's process.");
pub(super) static THREADS: Metric =
    Metric::gauge("sextant_agent_threads", "", "Threads of the agent's process.");
pub(super) static SPOOL_DISK: Metric = Metric::gauge(
    "sextant_spool_on_disk",
    "",
    "Whether frames are spooled on disk; 0 while they are kept in memory.",
);
pub(super) static SPOOL_BYTES: Metric =
    Metric::gauge("sextant_spool_bytes", "By", "Size of the spool.");
pub(super) static SPOOL_FRAMES: Metric =
    Metric::gauge("sextant_spool_frames", "", "Frames that the aggregator has not acknowledged.");
pub(super) static SPOOL_OLDEST: Metric = Metric::gauge(
    "sextant_spool_oldest_frame_age_seconds",
    "s",
    "Age of the oldest unacknowledged frame, to the segment; 0 when there is none.",
);
pub(super) static SPOOL_SEGMENTS: Metric =
    Metric::gauge("sextant_spool_segments", "", "Segment files of the spool.");
pub(super) static SPOOL_DROPPED: Metric = Metric::counter(
    "sextant_spool_dropped_frames_total",
    "",
    "Frames that left the spool without being acknowledged.",
);
pub(super) static SPOOL_DAMAGED: Metric = Metric::counter(
    "sextant_spool_damaged_bytes_total",
    "By",
    "Bytes of segments that could not be read when the spool was opened.",
);
pub(super) static SPOOL_PUSHED: Metric =
    Metric::counter("sextant_spool_pushed_frames_total", "", "Frames put into the spool.");
pub(super) static UPLINK_CONNECTED: Metric =
    Metric::gauge("sextant_uplink_connected", "", "Whether the aggregator has said hello.");
pub(super) static UPLINK_RECONNECTS: Metric = Metric::counter(
    "sextant_uplink_reconnects_total",
    "",
    "Attempts to connect to the aggregator after the first.",
);
pub(super) static UPLINK_MOVES: Metric =
    Metric::counter("sextant_uplink_moves_total", "", "Changes to another of several aggregators.");
pub(super) static UPLINK_IN_DOUBT: Metric = Metric::counter(
    "sextant_uplink_in_doubt_frames_total",
    "",
    "Frames that an aggregator may have stored which could not be asked at a change to another.",
);
pub(super) static UPLINK_SENT: Metric =
    Metric::counter("sextant_uplink_sent_frames_total", "", "Frames sent, repetitions included.");
pub(super) static UPLINK_SENT_BYTES: Metric = Metric::counter(
    "sextant_uplink_sent_bytes_total",
    "By",
    "Bytes of layouts and frames sent, before the transport's own.",
);
pub(super) static UPLINK_ACKED: Metric =
    Metric::counter("sextant_uplink_acked_frames_total", "", "Frames that were acknowledged.");
pub(super) static UPLINK_REFUSED: Metric = Metric::counter(
    "sextant_uplink_refused_frames_total",
    "",
    "Frames that the aggregator will not store.",
);
pub(super) static UPLINK_UNACKED: Metric =
    Metric::gauge("sextant_uplink_unacked_frames", "", "Frames sent and not yet acknowledged.");
pub(super) static UPLINK_LAST_ACK: Metric = Metric::gauge(
    "sextant_uplink_last_ack_timestamp_seconds",
    "s",
    "Unix time of the last acknowledgement.",
);
