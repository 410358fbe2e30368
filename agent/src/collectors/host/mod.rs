//! The host: CPU, memory, disks, network and the rest, with node_exporter's names, labels,
//! units and values.
//!
//! A source reads one file or tree of the kernel and knows nothing of the others. Sources of
//! the fast tier keep their files open; trees of sysfs are listed once a minute. What is not on
//! this node is quiet, what cannot be read is told by [`Batch::fail`] while the others go on.

mod arp;
mod bonding;
mod buffer;
mod config;
mod conntrack;
mod cpu;
mod cpufreq;
mod diskstats;
mod dmi;
mod edac;
mod filesystem;
mod filter;
mod hwmon;
mod infiniband;
mod interrupts;
mod kernel;
mod libc_calls;
mod listing;
mod loadavg;
mod lookup;
mod mdstat;
mod meminfo;
mod metrics;
mod netclass;
mod netdev;
mod netstat;
mod nvme;
mod os_release;
mod parse;
mod power_supply;
mod pressure;
mod rapl;
mod schedstat;
mod selinux;
mod sockstat;
mod softnet;
mod syscalls;
#[cfg(test)]
mod test_text;
mod thermal;
mod throttle;
mod time;
mod timex;
mod udp_queues;
mod uname;
mod vmstat;

use std::time::Duration;

pub use config::{HostConfig, HostConfigError};
pub use syscalls::{Space, Stat, Syscalls, Timex, Uname};

use self::buffer::Buffer;
use super::{CollectError, Collector, Paths};
use crate::sample::{Batch, Metric};

/// One file or tree of the kernel.
trait Source: Send {
    /// Sets what it reads; `buffer` is everybody's, its content is nobody's.
    fn read(&mut self, batch: &mut Batch, buffer: &mut Buffer) -> Result<(), CollectError>;
}

struct Entry {
    name: &'static str,
    tier: usize,
    source: Box<dyn Source>,
}

/// Reads the host.
pub struct Host {
    tiers: Vec<Duration>,
    sources: Vec<Entry>,
    buffer: Buffer,
}

impl Host {
    /// The live host. Exclusions of a configuration that was not checked exclude nothing.
    #[must_use]
    pub fn new(config: &HostConfig, paths: &Paths) -> Self {
        Self::with_syscalls(config, paths, &Syscalls::live())
    }

    /// The host below `paths`, asking `syscalls` for what is in no file.
    #[must_use]
    pub fn with_syscalls(config: &HostConfig, paths: &Paths, syscalls: &Syscalls) -> Self {
        let filters = config.filters().unwrap_or_else(|_| config::Filters::none());
        let mut tiers = vec![config.interval];
        if config.slow_interval != config.interval {
            tiers.push(config.slow_interval);
        }
        let mut sources = Vec::new();
        let mut add = |name, tier: usize, source: Box<dyn Source>| {
            sources.push(Entry { name, tier: tier.min(tiers.len() - 1), source });
        };
        add("cpu", 0, Box::new(cpu::Cpu::new(paths)));
        add("meminfo", 0, Box::new(meminfo::Meminfo::new(paths)));
        add("vmstat", 0, Box::new(vmstat::Vmstat::new(paths)));
        add("loadavg", 0, Box::new(loadavg::Loadavg::new(paths)));
        add("pressure", 0, Box::new(pressure::Pressure::new(paths)));
        add("schedstat", 1, Box::new(schedstat::Schedstat::new(paths)));
        add("cpufreq", 1, Box::new(cpufreq::Cpufreq::new(paths)));
        add("thermal_throttle", 1, Box::new(throttle::Throttle::new(paths)));
        if config.interrupts {
            add("interrupts", 1, Box::new(interrupts::Interrupts::new(paths)));
        }
        add("diskstats", 1, Box::new(diskstats::Diskstats::new(paths, filters.disk)));
        add("mdstat", 1, Box::new(mdstat::Mdstat::new(paths)));
        add("nvme", 1, Box::new(nvme::Nvme::new(paths)));
        let mounts = (filters.mount_points, filters.types);
        let timeout = config.filesystem_timeout;
        let filesystem = filesystem::Filesystem::new(paths, mounts, timeout, &syscalls.statvfs);
        add("filesystem", 1, Box::new(filesystem));
        add("netdev", 1, Box::new(netdev::Netdev::new(paths, filters.netdev)));
        add("netclass", 1, Box::new(netclass::Netclass::new(paths, filters.netclass)));
        add("bonding", 1, Box::new(bonding::Bonding::new(paths)));
        add("infiniband", 1, Box::new(infiniband::Infiniband::new(paths)));
        add("netstat", 1, Box::new(netstat::Netstat::new(paths)));
        add("snmp6", 1, Box::new(netstat::Snmp6::new(paths)));
        add("sockstat", 1, Box::new(sockstat::Sockstat::new(paths, syscalls.page_size)));
        add("softnet", 1, Box::new(softnet::Softnet::new(paths)));
        add("conntrack", 1, Box::new(conntrack::Conntrack::new(paths)));
        add("arp", 1, Box::new(arp::Arp::new(paths)));
        add("udp_queues", 1, Box::new(udp_queues::UdpQueues::new(paths)));
        add("hwmon", 1, Box::new(hwmon::Hwmon::new(paths)));
        add("thermal_zone", 1, Box::new(thermal::Thermal::new(paths)));
        add("edac", 1, Box::new(edac::Edac::new(paths)));
        add("rapl", 1, Box::new(rapl::Rapl::new(paths)));
        add("power_supply", 1, Box::new(power_supply::PowerSupply::new(paths)));
        add("kernel", 1, Box::new(kernel::Kernel::new(paths)));
        add("selinux", 1, Box::new(selinux::Selinux::new(paths)));
        add("os", 1, Box::new(os_release::OsRelease::new(paths)));
        add("dmi", 1, Box::new(dmi::Dmi::new(paths)));
        add("uname", 1, Box::new(uname::Names::new(syscalls)));
        add("time", 1, Box::new(time::Time::new(paths, syscalls)));
        add("timex", 1, Box::new(timex::Discipline::new(syscalls)));
        Self { tiers, sources, buffer: Buffer::default() }
    }
}

impl Collector for Host {
    fn name(&self) -> &'static str {
        "host"
    }

    fn metrics(&self) -> &'static [&'static Metric] {
        metrics::all()
    }

    fn tiers(&self) -> Vec<Duration> {
        self.tiers.clone()
    }

    fn collect(&mut self, tier: usize, batch: &mut Batch) -> Result<(), CollectError> {
        let (mut failed, mut absent) = (None, None);
        for entry in self.sources.iter_mut().filter(|e| e.tier == tier) {
            match entry.source.read(batch, &mut self.buffer) {
                Ok(()) => {}
                Err(error @ CollectError::Absent(_)) => absent = absent.or(Some(error)),
                Err(error) => {
                    batch.fail(entry.name, &error);
                    failed = failed.or(Some(error));
                }
            }
        }
        match failed.or(absent) {
            Some(error) if batch.is_empty() => Err(error),
            _ => Ok(()),
        }
    }
}
