//! The host's 120 series: 8 CPUs in 8 modes, memory, load, pressure, one disk, one file system
//! and one network device.
//!
//! CPU time is in hundredths of a second, disk time in milliseconds, pressure in microseconds,
//! memory in pages of 4 KiB, disk bytes in sectors: the kernel's own units. irq and steal stay 0
//! on bare metal with threaded interrupts; sizes, swap that is off and error counters stay too.

use super::columns::{Columns, Line};
use super::job::Phase;
use super::random::{Random, approach, to_parts, to_step};

/// Series of the host.
pub const HOST_SERIES: usize =
    CPUS * MODES.len() + NODE.len() + DISK.len() + FILES.len() + NET.len();

const CPUS: usize = 8;
const PAGE: f64 = 4096.0;
const SECTOR: f64 = 512.0;
const MEMORY_BYTES: f64 = 2_164_228_866_048.0;
const DISK_BYTES: f64 = 3_840_755_982_336.0;

const MODES: [Line; 8] = [
    ("node_cpu_seconds_total", &[("mode", "user")]),
    ("node_cpu_seconds_total", &[("mode", "nice")]),
    ("node_cpu_seconds_total", &[("mode", "system")]),
    ("node_cpu_seconds_total", &[("mode", "idle")]),
    ("node_cpu_seconds_total", &[("mode", "iowait")]),
    ("node_cpu_seconds_total", &[("mode", "irq")]),
    ("node_cpu_seconds_total", &[("mode", "softirq")]),
    ("node_cpu_seconds_total", &[("mode", "steal")]),
];

const NODE: [Line; 37] = [
    ("node_memory_MemTotal_bytes", &[]),
    ("node_memory_MemFree_bytes", &[]),
    ("node_memory_MemAvailable_bytes", &[]),
    ("node_memory_Buffers_bytes", &[]),
    ("node_memory_Cached_bytes", &[]),
    ("node_memory_Active_bytes", &[]),
    ("node_memory_Inactive_bytes", &[]),
    ("node_memory_Dirty_bytes", &[]),
    ("node_memory_Writeback_bytes", &[]),
    ("node_memory_AnonPages_bytes", &[]),
    ("node_memory_Mapped_bytes", &[]),
    ("node_memory_Shmem_bytes", &[]),
    ("node_memory_Slab_bytes", &[]),
    ("node_memory_SReclaimable_bytes", &[]),
    ("node_memory_SUnreclaim_bytes", &[]),
    ("node_memory_KernelStack_bytes", &[]),
    ("node_memory_PageTables_bytes", &[]),
    ("node_memory_Committed_AS_bytes", &[]),
    ("node_memory_SwapTotal_bytes", &[]),
    ("node_memory_SwapFree_bytes", &[]),
    ("node_load1", &[]),
    ("node_load5", &[]),
    ("node_load15", &[]),
    ("node_procs_running", &[]),
    ("node_procs_blocked", &[]),
    ("node_context_switches_total", &[]),
    ("node_intr_total", &[]),
    ("node_forks_total", &[]),
    ("node_pressure_cpu_waiting_seconds_total", &[]),
    ("node_pressure_io_waiting_seconds_total", &[]),
    ("node_pressure_io_stalled_seconds_total", &[]),
    ("node_pressure_memory_waiting_seconds_total", &[]),
    ("node_pressure_memory_stalled_seconds_total", &[]),
    ("node_sockstat_TCP_inuse", &[]),
    ("node_filefd_allocated", &[]),
    ("node_nf_conntrack_entries", &[]),
    ("node_netstat_Tcp_RetransSegs", &[]),
];

const DISK: [Line; 8] = [
    ("node_disk_reads_completed_total", &[]),
    ("node_disk_writes_completed_total", &[]),
    ("node_disk_read_bytes_total", &[]),
    ("node_disk_written_bytes_total", &[]),
    ("node_disk_read_time_seconds_total", &[]),
    ("node_disk_write_time_seconds_total", &[]),
    ("node_disk_io_now", &[]),
    ("node_disk_io_time_seconds_total", &[]),
];

const FILES: [Line; 4] = [
    ("node_filesystem_size_bytes", &[]),
    ("node_filesystem_free_bytes", &[]),
    ("node_filesystem_avail_bytes", &[]),
    ("node_filesystem_files_free", &[]),
];

const NET: [Line; 7] = [
    ("node_network_receive_bytes_total", &[]),
    ("node_network_transmit_bytes_total", &[]),
    ("node_network_receive_packets_total", &[]),
    ("node_network_transmit_packets_total", &[]),
    ("node_network_receive_drop_total", &[]),
    ("node_network_transmit_drop_total", &[]),
    ("node_network_receive_errs_total", &[]),
];

/// A host.
#[derive(Debug)]
pub(super) struct Host {
    random: Random,
    cpu: [[f64; 8]; CPUS],
    used_bytes: f64,
    cached_bytes: f64,
    dirty_bytes: f64,
    load: [f64; 3],
    events: [f64; 3],
    pressure: [f64; 5],
    retransmitted: f64,
    disk: [f64; 7],
    net: [f64; 4],
}

impl Host {
    pub(super) fn new(mut random: Random) -> Self {
        let mut start = |high: f64| (random.unit() * high).floor();
        let cpu = std::array::from_fn(|_| {
            [start(1e5), start(500.0), start(3e4), start(4e6), start(9e3), 0.0, start(8e3), 0.0]
        });
        let events = [start(4e10), start(3e10), start(6e7)];
        let pressure = std::array::from_fn(|_| start(9e3));
        let retransmitted = start(1e5);
        let (reads, writes) = (start(4e8), start(9e8));
        let disk = [
            reads,
            writes,
            start(1e10) * SECTOR,
            start(4e10) * SECTOR,
            start(1e6),
            start(3e6),
            start(9e5),
        ];
        let net = [start(9e13), start(7e13), start(8e10), start(6e10)];
        Self {
            random,
            cpu,
            used_bytes: 6e10,
            cached_bytes: 3e11,
            dirty_bytes: 2e7,
            load: [1.0; 3],
            events,
            pressure,
            retransmitted,
            disk,
            net,
        }
    }

    pub(super) fn columns(columns: &mut Columns) {
        for cpu in 0..CPUS {
            columns.entity("cpu", &[("cpu", &cpu.to_string())], &MODES);
        }
        columns.entity("node", &[], &NODE);
        columns.entity("disk", &[("device", "nvme0n1")], &DISK);
        let root = [("device", "/dev/nvme0n1p2"), ("mountpoint", "/"), ("fstype", "ext4")];
        columns.entity("filesystem", &root, &FILES);
        columns.entity("netdev", &[("device", "eth0")], &NET);
    }

    /// Goes on by so many seconds in a phase, and adds the values then.
    pub(super) fn step(&mut self, seconds: f64, phase: Phase, out: &mut Vec<f64>) {
        let (busy, used, written_rate, read_rate, net_rate) = match phase {
            Phase::Idle => (0.03, 6e10, 3e5, 2e3, 4e5),
            Phase::Train => (0.28, 5.2e11, 1.5e6, 3e7, 2e8),
            Phase::Checkpoint => (0.45, 6.1e11, 2.1e9, 1e6, 2e8),
            Phase::Inference => (0.36, 2.4e11, 9e5, 5e4, 7e7),
        };
        self.step_cpu(seconds, busy, out);
        self.step_memory(seconds, used, written_rate);
        self.node(seconds, busy, out);
        self.disk(seconds, read_rate, written_rate, out);
        let free = DISK_BYTES * 0.61 - to_step(self.disk[3] % 4e11, PAGE);
        let left = 2.34e8 - ((self.disk[1] / 900.0) % 4e5).floor();
        out.extend([DISK_BYTES, free, free - DISK_BYTES.sqrt().round() * PAGE, left]);
        for (index, share) in [1.0, 0.7].into_iter().enumerate() {
            let bytes = (net_rate * share * seconds * (1.0 + 0.2 * self.random.normal())).max(0.0);
            self.net[index] += bytes.floor();
            self.net[index + 2] += (bytes / self.random.between(700.0, 1500.0)).floor();
        }
        out.extend(self.net);
        out.extend([0.0, 0.0, 0.0]);
    }

    fn step_cpu(&mut self, seconds: f64, busy: f64, out: &mut Vec<f64>) {
        for (index, modes) in self.cpu.iter_mut().enumerate() {
            // The first two serve interrupts and the system's own daemons.
            let share = busy * if index < 2 { 1.3 } else { 1.0 };
            let mut spent = |share: f64| {
                let noisy = share * seconds * (1.0 + 0.35 * self.random.normal());
                to_parts(noisy.clamp(0.0, seconds), 100.0)
            };
            let [user, system] = [spent(share * 0.8), spent(share * 0.17)];
            let [nice, wait, soft] = [spent(0.0008), spent(busy * 0.012), spent(busy * 0.02)];
            let idle = (seconds - user - nice - system - wait - soft).max(0.0);
            let spent = [user, nice, system, idle, wait, 0.0, soft, 0.0];
            for (total, spent) in modes.iter_mut().zip(spent) {
                *total = to_parts(*total + spent, 100.0);
            }
            out.extend(*modes);
        }
    }

    fn step_memory(&mut self, seconds: f64, used: f64, written_rate: f64) {
        let gone = approach(seconds, 40.0);
        self.used_bytes += (used - self.used_bytes) * gone + 4e6 * self.random.normal();
        self.cached_bytes += (2.9e11 + used * 0.4 - self.cached_bytes) * approach(seconds, 600.0);
        self.cached_bytes += 1e6 * self.random.normal();
        let dirty = (written_rate * 6.0).min(8e9) * self.random.between(0.5, 1.5);
        self.dirty_bytes += (dirty - self.dirty_bytes) * approach(seconds, 5.0);
    }

    fn node(&mut self, seconds: f64, busy: f64, out: &mut Vec<f64>) {
        let random = &mut self.random;
        let page = |value: f64| to_step(value, PAGE);
        let (used, cached) = (self.used_bytes, self.cached_bytes);
        let slab = 6e9 + cached * 0.004;
        let reclaimable = page(slab * 0.7 + 2e5 * random.normal());
        let fixed = page(slab * 0.3);
        out.extend([
            MEMORY_BYTES,
            page(MEMORY_BYTES - used - cached - slab),
            page(MEMORY_BYTES - used - slab * 0.4),
            page(4.1e8 + cached * 1e-4),
            page(cached),
            page(used * 0.3 + cached * 0.4),
            page(used * 0.68 + cached * 0.55),
            page(self.dirty_bytes),
            page(self.dirty_bytes * 0.02 * random.unit().round()),
            page(used * 0.94),
            page(2.2e9 + used * 0.01),
            page(1.1e9 + used * 0.02),
            reclaimable + fixed,
            reclaimable,
            fixed,
            page(4e7 + busy * 2e7),
            page(2e8 + used * 0.002),
            page(used * 1.9 + 3e10),
            0.0,
            0.0,
        ]);
        let runnable = (busy * CPUS as f64 * 1.1).max(0.05);
        for (load, constant) in self.load.iter_mut().zip([60.0, 300.0, 900.0]) {
            let now = runnable * random.between(0.6, 1.4);
            *load += (now - *load) * approach(seconds, constant);
        }
        out.extend(self.load.map(|load| to_parts(load, 100.0)));
        out.push((runnable * random.between(0.5, 1.6)).round().max(1.0));
        out.push((busy * random.unit() * 2.0).floor());
        for (total, rate) in
            self.events.iter_mut().zip([2.2e5 * busy + 9e3, 1.3e5 * busy + 6e3, 7.0])
        {
            *total += (rate * seconds * random.between(0.8, 1.2)).floor();
        }
        out.extend(self.events);
        for (total, share) in self.pressure.iter_mut().zip([0.02, 0.008, 0.005, 1e-5, 0.0]) {
            let waited = (share * busy * seconds * random.between(0.2, 1.8)).max(0.0);
            *total = to_parts(*total + waited, 1e6);
        }
        out.extend(self.pressure);
        out.push((140.0 + 60.0 * busy + 3.0 * random.normal()).round());
        out.push(to_step(5200.0 + 2400.0 * busy + 20.0 * random.normal(), 32.0));
        out.push((800.0 + 900.0 * busy + 12.0 * random.normal()).round());
        self.retransmitted += (busy * seconds * random.unit() * 3.0).floor();
        out.push(self.retransmitted);
    }

    fn disk(&mut self, seconds: f64, read_rate: f64, written_rate: f64, out: &mut Vec<f64>) {
        let random = &mut self.random;
        let mut bytes = |rate: f64| {
            to_step((rate * seconds * (1.0 + 0.3 * random.normal())).max(0.0), SECTOR * 8.0)
        };
        let (read, written) = (bytes(read_rate), bytes(written_rate));
        let requests = |bytes: f64| (bytes / 98_304.0).ceil();
        let took = [requests(read) * 0.000_25, requests(written) * 0.000_4];
        let busy = (took[0] + took[1]).min(seconds) * 0.6;
        let grown = [requests(read), requests(written), read, written, took[0], took[1], busy];
        for (total, grown) in self.disk.iter_mut().zip(grown) {
            *total += grown;
        }
        for total in &mut self.disk[4..] {
            *total = to_parts(*total, 1e3);
        }
        out.extend(&self.disk[..6]);
        out.push((written / 4e8).floor());
        out.push(self.disk[6]);
    }
}
