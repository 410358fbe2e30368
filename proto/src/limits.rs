//! Every limit of the protocol. Over a limit, that frame or layout is refused with the name of
//! the limit, counted, and the stream lives on.

/// Largest `Frame.payload` on the wire, and largest record of a spool.
pub const MAX_FRAME_BYTES: usize = 1 << 20;
/// Largest `Frame.key` on the wire: more than the state of the largest layout needs.
pub const MAX_KEY_BYTES: usize = 1 << 20;
/// Largest payload after decompression: a bound on what hostile bytes can make a reader allocate.
pub const MAX_PAYLOAD_BYTES: usize = 4 << 20;
/// Largest encoded layout.
pub const MAX_LAYOUT_BYTES: usize = 4 << 20;
/// Samples (ticks × series) in one frame.
pub const MAX_SAMPLES_PER_FRAME: usize = 20_000;
/// Events in one frame.
pub const MAX_EVENTS_PER_FRAME: usize = 1_000;
/// Live series of one node.
pub const MAX_SERIES_PER_NODE: usize = 200_000;
/// Layouts that one stream may have open; more than that is a collector that never settles.
pub const MAX_LAYOUTS_PER_STREAM: usize = 1_000;
/// Labels of one series, those of its entity included.
pub const MAX_LABELS: usize = 32;
/// Bytes of a metric name or label name.
pub const MAX_NAME_BYTES: usize = 200;
/// Bytes of a label value. The mount points that kubelet makes for CSI volumes pass 256.
pub const MAX_LABEL_VALUE_BYTES: usize = 1024;
/// Bytes of an event's message.
pub const MAX_MESSAGE_BYTES: usize = 4096;
/// Bytes of a cluster or node name (a DNS name, RFC 1123).
pub const MAX_NODE_NAME_BYTES: usize = 253;
/// How much older than its layout's newest sample a sample may be.
pub const MAX_OUT_OF_ORDER_MS: i64 = 3_600_000;
/// Latest tick: the end of the year 9999. Times are from 0 to this, so that no sum of them can
/// run over.
pub const MAX_TIME_MS: i64 = 253_402_300_799_999;
