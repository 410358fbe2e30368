//! The node itself: processors, memory, pressure, a disk, file systems, the interface of the
//! cluster's network, sensors, and the agent's own numbers.

use super::super::rng::Rng;
use super::super::shape::Out;
use super::super::spec::Numbers;

const MODES: [&str; 8] = ["user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal"];
const USER: usize = 0;
const SYSTEM: usize = 2;
const IDLE: usize = 3;
const IOWAIT: usize = 4;
const SOFTIRQ: usize = 6;
const STEAL: usize = 7;
const MEMORY: f64 = 1_081_101_176_832.0;
const COLLECTORS: [&str; 5] = ["host", "gpu", "ptp", "sriov", "agent"];

/// What faults and confusers do to it now.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Effects {
    /// Share of the time that the hypervisor takes.
    pub(crate) steal: f64,
    /// Share of all memory that a leak holds.
    pub(crate) leak: f64,
    /// Share of the time in which all wait for memory.
    pub(crate) stalled: f64,
    /// Share of the CPUs that cron takes.
    pub(crate) cron: f64,
}

/// One node.
#[derive(Debug)]
pub(crate) struct Host {
    pub(crate) effects: Effects,
    modes: Vec<[f64; 8]>,
    load: [f64; 3],
    pressure: [f64; 6],
    pub(crate) oom_kills: f64,
    vmstat: [f64; 4],
    switches: f64,
    interrupts: f64,
    forks: f64,
    disk: [f64; 6],
    network: [f64; 4],
    memory_used: f64,
    cached: f64,
    busy_noise: f64,
    disk_used: f64,
    pub(crate) boot_s: f64,
    pub(crate) zone_offset_s: f64,
    temperature: f64,
    running: f64,
    frames: f64,
}

impl Host {
    pub(crate) fn new(cpus: usize, start_s: i64, physics: &Numbers, rng: &mut Rng) -> Self {
        Self {
            effects: Effects::default(),
            modes: vec![[0.0; 8]; cpus],
            load: [2.0; 3],
            pressure: [0.0; 6],
            oom_kills: 0.0,
            vmstat: [0.0; 4],
            switches: 0.0,
            interrupts: 0.0,
            forks: 0.0,
            disk: [0.0; 6],
            network: [0.0; 4],
            memory_used: physics.get("memory_used_share"),
            cached: 0.2,
            busy_noise: 0.0,
            disk_used: rng.between(0.3, 0.6),
            boot_s: start_s as f64 - rng.between(2.0, 60.0) * 86_400.0,
            zone_offset_s: 3600.0,
            temperature: 45.0,
            running: 2.0,
            frames: 0.0,
        }
    }

    /// All counters start again.
    pub(crate) fn reboot(&mut self, now_s: i64) {
        self.modes.iter_mut().for_each(|modes| *modes = [0.0; 8]);
        (self.pressure, self.vmstat, self.disk, self.network) =
            ([0.0; 6], [0.0; 4], [0.0; 6], [0.0; 4]);
        (self.oom_kills, self.switches, self.interrupts, self.forks) = (0.0, 0.0, 0.0, 0.0);
        self.frames = 0.0;
        self.boot_s = now_s as f64;
    }

    /// Goes on by `dt` seconds. `day` is -1 (night) to 1, `work` the share of busy GPUs.
    pub(crate) fn step(&mut self, dt: f64, (day, work): (f64, f64), p: &Numbers, rng: &mut Rng) {
        let Effects { steal, leak, stalled, cron } = self.effects;
        self.busy_noise = 0.85 * self.busy_noise + 0.02 * rng.normal();
        let own = p.get("cpu_base") + p.get("cpu_daily") * day + 0.12 * work + self.busy_noise;
        let busy = (own + cron).clamp(0.02, 0.97 - steal);
        let cpus = self.modes.len() as f64;
        for modes in &mut self.modes {
            let mine = (busy + 0.03 * rng.normal()).clamp(0.01, 0.99 - steal);
            let mut shares = [0.0; 8];
            shares[USER] = mine * 0.78;
            shares[SYSTEM] = mine * 0.18;
            shares[SOFTIRQ] = mine * 0.04;
            shares[IOWAIT] = (0.004 + 0.3 * stalled).min(1.0 - mine);
            shares[STEAL] = steal * (1.0 + 0.1 * rng.normal()).max(0.0);
            shares[IDLE] = (1.0 - shares.iter().sum::<f64>()).max(0.0);
            for (counter, share) in modes.iter_mut().zip(shares) {
                // USER_HZ is 100.
                *counter = ((*counter + share * dt) * 100.0).round() / 100.0;
            }
        }
        self.running = (cpus * (busy + 2.5 * steal) * (1.0 + 0.2 * rng.normal())).max(1.0).round();
        for (load, minutes) in self.load.iter_mut().zip([1.0, 5.0, 15.0]) {
            *load += (self.running - *load) * (1.0 - (-dt / (60.0 * minutes)).exp());
        }
        let waiting = (0.3 * busy.powi(3) + 1.5 * steal).min(1.0);
        let shares = [waiting, 0.01 + 0.2 * stalled, 0.004, (2.0 * stalled).min(1.0), stalled, 0.0];
        for (total, share) in self.pressure.iter_mut().zip(shares) {
            *total += dt * (share * (1.0 + 0.15 * rng.normal())).clamp(0.0, 1.0);
        }
        let wanted = p.get("memory_used_share") + 0.1 * work;
        self.memory_used += (wanted - self.memory_used) * 0.02 + 0.0004 * rng.normal();
        self.cached = (0.25 - 0.3 * leak).max(0.0);
        let rates = [900.0, 5000.0, 22_000.0 * (1.0 + work), 30.0 + 4000.0 * stalled];
        for (counter, rate) in self.vmstat.iter_mut().zip(rates) {
            *counter += rng.poisson(rate * dt);
        }
        self.switches += rng.poisson(90_000.0 * (0.3 + busy) * dt);
        self.interrupts += rng.poisson(60_000.0 * (0.3 + busy) * dt);
        self.forks += rng.poisson((4.0 + 60.0 * cron) * dt);
        self.move_bytes(dt, (day, work), p, rng);
        self.temperature += (38.0 + 30.0 * busy - self.temperature) * (1.0 - (-dt / 40.0).exp());
        self.frames += 14.0 * dt;
    }

    fn move_bytes(&mut self, dt: f64, (day, work): (f64, f64), p: &Numbers, rng: &mut Rng) {
        let burst = (0.5 * rng.normal()).exp();
        let cron = 1.0 + 4.0 * self.effects.cron;
        let written = p.get("disk_bytes_per_s") * burst * cron * dt;
        let read = 0.4 * written;
        let moved = [read / 65_536.0, read, written / 65_536.0, written, 0.0, 0.0];
        for (counter, amount) in self.disk.iter_mut().zip(moved) {
            *counter += amount.round();
        }
        let busy = (written / 8e8).min(dt);
        self.disk[4] += busy;
        self.disk[5] += busy * 1.4;
        self.disk_used = (self.disk_used + 1e-9 * dt).min(0.9);
        let rate = (3e6 + 9e6 * work) * (1.0 + 0.3 * day) * (0.3 * rng.normal()).exp();
        for (counter, amount) in
            self.network.iter_mut().zip([rate, rate / 900.0, rate * 0.7, rate / 1100.0])
        {
            *counter += (amount * dt).round();
        }
    }

    /// What the host collector tells.
    pub(crate) fn emit(&self, now_s: i64, out: &mut Out<'_>) {
        const CPUS: [&str; 16] =
            ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9", "10", "11", "12", "13", "14", "15"];
        for (modes, cpu) in self.modes.iter().zip(CPUS) {
            out.entity("cpu", &[("cpu", cpu)]);
            for (mode, seconds) in MODES.iter().zip(modes) {
                out.set_with("node_cpu_seconds_total", &[("mode", mode)], *seconds);
            }
        }
        out.node();
        out.set("node_context_switches_total", self.switches);
        out.set("node_intr_total", self.interrupts);
        out.set("node_forks_total", self.forks);
        out.set("node_procs_running", self.running);
        out.set("node_procs_blocked", (20.0 * self.effects.stalled).round());
        out.set("node_boot_time_seconds", self.boot_s.round());
        let used = (self.memory_used + self.effects.leak).clamp(0.0, 0.9995);
        let free = (1.0 - used - self.cached).max(0.0005);
        let available = (1.0 - used).max(0.0002);
        for (metric, share) in [
            ("node_memory_MemTotal_bytes", 1.0),
            ("node_memory_MemFree_bytes", free),
            ("node_memory_MemAvailable_bytes", available),
            ("node_memory_Cached_bytes", self.cached),
            ("node_memory_AnonPages_bytes", used * 0.9),
            ("node_memory_Slab_bytes", 0.01),
            ("node_memory_Dirty_bytes", 0.0002),
        ] {
            out.set(metric, (share * MEMORY / 4096.0).round() * 4096.0);
        }
        out.set("node_memory_HugePages_Total", 0.0);
        for (metric, count) in [
            "node_vmstat_pgpgin",
            "node_vmstat_pgpgout",
            "node_vmstat_pgfault",
            "node_vmstat_pgmajfault",
        ]
        .into_iter()
        .zip(self.vmstat)
        {
            out.set(metric, count);
        }
        out.set("node_vmstat_pswpin", 0.0);
        out.set("node_vmstat_pswpout", 0.0);
        out.set("node_vmstat_oom_kill", self.oom_kills);
        for (metric, load) in ["node_load1", "node_load5", "node_load15"].into_iter().zip(self.load)
        {
            out.set(metric, (load * 100.0).round() / 100.0);
        }
        for (metric, total) in [
            "node_pressure_cpu_waiting_seconds_total",
            "node_pressure_io_waiting_seconds_total",
            "node_pressure_io_stalled_seconds_total",
            "node_pressure_memory_waiting_seconds_total",
            "node_pressure_memory_stalled_seconds_total",
            "node_pressure_irq_stalled_seconds_total",
        ]
        .into_iter()
        .zip(self.pressure)
        {
            out.set(metric, total);
        }
        out.set("node_time_seconds", now_s as f64);
        out.set("node_time_zone_offset_seconds", self.zone_offset_s);
        out.set("node_timex_sync_status", 1.0);
        out.set("node_filefd_allocated", 9000.0 + (now_s % 600) as f64);
        out.set("node_filefd_maximum", 9.2e18);
        self.emit_devices(out);
    }

    fn emit_devices(&self, out: &mut Out<'_>) {
        out.entity("disk", &[("device", "nvme0n1")]);
        for (metric, value) in [
            "node_disk_reads_completed_total",
            "node_disk_read_bytes_total",
            "node_disk_writes_completed_total",
            "node_disk_written_bytes_total",
            "node_disk_io_time_seconds_total",
            "node_disk_io_time_weighted_seconds_total",
        ]
        .into_iter()
        .zip(self.disk)
        {
            out.set(metric, value);
        }
        for (device, mountpoint) in [("/dev/nvme0n1p2", "/"), ("/dev/nvme0n1p3", "/var")] {
            let labels = [("device", device), ("mountpoint", mountpoint), ("fstype", "ext4")];
            out.entity("filesystem", &labels);
            let size = 1.9e12;
            out.set("node_filesystem_size_bytes", size);
            out.set("node_filesystem_free_bytes", (size * (1.0 - self.disk_used)).round());
            out.set("node_filesystem_avail_bytes", (size * (0.95 - self.disk_used)).round());
            out.set("node_filesystem_files", 1.2e8);
            out.set("node_filesystem_files_free", 1.1e8);
            out.set("node_filesystem_readonly", 0.0);
            out.set("node_filesystem_device_error", 0.0);
        }
        out.entity("netdev", &[("device", "eno1")]);
        for (metric, value) in [
            "node_network_receive_bytes_total",
            "node_network_receive_packets_total",
            "node_network_transmit_bytes_total",
            "node_network_transmit_packets_total",
        ]
        .into_iter()
        .zip(self.network)
        {
            out.set(metric, value);
        }
        for metric in [
            "node_network_receive_errs_total",
            "node_network_receive_drop_total",
            "node_network_transmit_errs_total",
            "node_network_transmit_drop_total",
        ] {
            out.set(metric, 0.0);
        }
        out.set("node_network_carrier", 1.0);
        out.set("node_network_carrier_up_changes_total", 1.0);
        out.entity("hwmon", &[("chip", "platform_coretemp_0")]);
        for sensor in ["temp1", "temp2"] {
            let labels = [("sensor", sensor)];
            out.set_with("node_hwmon_temp_celsius", &labels, self.temperature.round());
            out.set_with("node_hwmon_temp_crit_celsius", &labels, 100.0);
        }
        out.entity("edac", &[("controller", "0")]);
        out.set("node_edac_correctable_errors_total", 0.0);
        out.set("node_edac_uncorrectable_errors_total", 0.0);
    }

    /// What the agent tells of itself.
    pub(crate) fn emit_agent(&self, out: &mut Out<'_>) {
        for collector in COLLECTORS {
            out.entity("collector", &[("collector", collector)]);
            out.set("sextant_collector_up", 1.0);
        }
        out.node();
        out.set("sextant_spool_dropped_frames_total", 0.0);
        out.set("sextant_uplink_refused_frames_total", 0.0);
        out.set("sextant_uplink_acked_frames_total", self.frames.round());
    }
}
