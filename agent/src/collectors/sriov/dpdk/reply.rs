//! What is in the answers of DPDK's telemetry. Fields that a version lacks stay absent; what is
//! not of the expected shape is `None`.

use serde_json::Value;

use super::super::metrics as m;
use crate::sample::Metric;

/// Fields of `/ethdev/stats` and their metrics.
pub(super) static COUNTERS: [(&str, &Metric); 8] = [
    ("ipackets", &m::DPDK_RX_PACKETS),
    ("opackets", &m::DPDK_TX_PACKETS),
    ("ibytes", &m::DPDK_RX_BYTES),
    ("obytes", &m::DPDK_TX_BYTES),
    ("imissed", &m::DPDK_RX_MISSED),
    ("ierrors", &m::DPDK_RX_ERRORS),
    ("oerrors", &m::DPDK_TX_ERRORS),
    ("rx_nombuf", &m::DPDK_RX_NO_BUFFER),
];

/// A port.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Port {
    /// The PCI address of a function.
    pub(super) name: String,
    pub(super) mac: String,
    pub(super) numa_node: String,
    pub(super) up: Option<bool>,
    pub(super) counters: [Option<u64>; COUNTERS.len()],
}

/// The numbers in a list.
pub(super) fn numbers(value: &Value) -> Option<Vec<u64>> {
    value.as_array()?.iter().map(Value::as_u64).collect()
}

/// The texts in a list.
pub(super) fn texts(value: &Value) -> Option<Vec<String>> {
    let texts = value.as_array()?.iter();
    texts.map(|text| text.as_str().map(str::to_owned)).collect()
}

impl Port {
    /// Takes an answer to `/ethdev/info`.
    pub(super) fn info(&mut self, value: &Value) -> Option<()> {
        let info = value.as_object()?;
        let text = |name| info.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
        self.name = text("name");
        self.mac = text("mac_addr").to_ascii_lowercase();
        // -1 is none.
        let node = info.get("numa_node").and_then(Value::as_u64);
        self.numa_node = node.map(|node| node.to_string()).unwrap_or_default();
        Some(())
    }

    /// Takes an answer to `/ethdev/stats`.
    pub(super) fn stats(&mut self, value: &Value) -> Option<()> {
        let stats = value.as_object()?;
        self.counters = COUNTERS.map(|(name, _)| stats.get(name).and_then(Value::as_u64));
        Some(())
    }

    /// Takes an answer to `/ethdev/link_status`.
    pub(super) fn link(&mut self, value: &Value) -> Option<()> {
        let status = value.as_object()?.get("status")?.as_str()?;
        self.up = Some(status.eq_ignore_ascii_case("up"));
        Some(())
    }
}

/// A pool of buffers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Mempool {
    pub(super) size: u64,
    /// In the pool and in the caches of the application's threads.
    pub(super) available: Option<u64>,
}

/// An answer to `/mempool/info`.
pub(super) fn mempool(value: &Value) -> Option<Mempool> {
    let number = |name| value.get(name).and_then(Value::as_u64);
    let size = number("size")?;
    let pool = number("common_pool_count");
    let cached = number("total_cache_count").unwrap_or(0);
    Some(Mempool { size, available: pool.map(|pool| pool.saturating_add(cached)) })
}
