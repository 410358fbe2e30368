//! The host's metrics: node_exporter's names, labels and units, in our words.
//!
//! What a file of the kernel calls its fields is fixed here too, as tables from the kernel's key
//! to the metric: a field that a later kernel brings is not sent until it has a line here.

use std::sync::LazyLock;

use crate::sample::Metric;

/// A key of a kernel file and the metric that its value is.
#[derive(Debug)]
pub(super) struct Field {
    pub(super) key: &'static str,
    pub(super) metric: Metric,
}

macro_rules! metrics {
    ($($name:ident = $kind:ident($metric:literal, $unit:literal, $help:literal);)*) => {
        $(pub(in crate::collectors::host) static $name: crate::sample::Metric =
            crate::sample::Metric::$kind($metric, $unit, $help);)*
        pub(super) static ALL: &[&crate::sample::Metric] = &[$(&$name),*];
    };
}

macro_rules! fields {
    ($table:ident: $($key:literal = $kind:ident($metric:literal, $unit:literal, $help:literal);)*) => {
        pub(in crate::collectors::host) static $table: &[super::Field] = &[$(super::Field {
            key: $key,
            metric: crate::sample::Metric::$kind($metric, $unit, $help),
        }),*];
    };
}

pub(super) mod clock;
pub(super) mod cpu;
pub(super) mod hardware;
pub(super) mod hwmon;
pub(super) mod infiniband;
pub(super) mod memory;
pub(super) mod netstat;
pub(super) mod network;
pub(super) mod power_supply;
pub(super) mod storage;
pub(super) mod system;

static ALL: LazyLock<Vec<&'static Metric>> = LazyLock::new(|| {
    let single = [
        clock::ALL,
        cpu::ALL,
        hardware::ALL,
        hwmon::ALL,
        infiniband::ALL,
        network::ALL,
        power_supply::ALL,
        storage::ALL,
        system::ALL,
    ];
    let tables = [
        cpu::PRESSURE,
        memory::MEMINFO,
        memory::VMSTAT,
        netstat::NETSTAT,
        netstat::SNMP6,
        netstat::SOCKSTAT,
        network::NETDEV,
        storage::DISKSTATS,
        clock::TIMEX,
        infiniband::COUNTERS,
    ];
    let mut all: Vec<_> = single.concat();
    all.extend(tables.iter().copied().flatten().map(|f| &f.metric));
    all.extend(hwmon::SENSORS.iter().map(|s| &s.metric));
    all.extend(power_supply::VALUES.iter().map(|v| &v.metric));
    all
});

/// Every metric of the host collector.
pub(super) fn all() -> &'static [&'static Metric] {
    &ALL
}
