//! The slow tier: details, limits, processes; and once an hour what hardly ever changes.

use std::time::Duration;

use super::fast::{GRAPHICS, MEMORY, SM, VIDEO};
use super::{Output, Reader, bytes, set_bytes, set_clock, set_percent};
use crate::collectors::gpu::meter::{Call, Told};
use crate::collectors::gpu::metrics as m;
use crate::collectors::gpu::nvml::{Code, Handle, Library, RemapHistogram, Sram};
use crate::collectors::gpu::rows::{Rows, TextRow};
use crate::sample::UNAVAILABLE;

/// What hardly ever changes is read so often.
const RARE: Duration = Duration::from_secs(3600);
/// The InfoROM is checked so often: the check reads all of it.
const DAILY: Duration = Duration::from_secs(24 * 3600);
const FANS: [&str; 8] = ["0", "1", "2", "3", "4", "5", "6", "7"];

/// What was read an hour ago at most.
#[derive(Default)]
pub(super) struct Rare {
    read: Option<Duration>,
    checked: Option<Duration>,
    valid: Option<bool>,
    rows: Rows,
    links: Vec<TextRow>,
}

impl Reader {
    pub(super) fn read_slow(&mut self, out: &mut Output) {
        self.mig.look_again();
        self.scan_mig();
        let Self { meter, library, device, slow, .. } = self;
        let device = *device;
        let rows = &mut out.rows;
        slow.read(meter, library, device, rows);
        if let Some(bar1) = meter.call(Call::Bar1, || library.bar1(device)).series(|bar1| bar1) {
            set_bytes(rows, &m::BAR1_TOTAL, bar1.map(|b| b.total));
            set_bytes(rows, &m::BAR1_USED, bar1.map(|b| b.used));
            set_bytes(rows, &m::BAR1_FREE, bar1.map(|b| b.free));
        }
        let told = meter.call(Call::EnforcedPowerLimit, || library.enforced_power_limit(device));
        if let Some(limit) = told.series(f64::from) {
            let labels = [("limit", "enforced")];
            rows.set_within(&m::POWER_LIMIT, &labels, limit, 0.0..=1e7, 1e-3);
        }
        let told = meter.call(Call::ClockGraphics, || library.clock(device, GRAPHICS));
        set_clock(rows, &m::CLOCK, "graphics", told);
        let told = meter.call(Call::ClockVideo, || library.clock(device, VIDEO));
        set_clock(rows, &m::CLOCK, "video", told);
        let told = meter.call(Call::ApplicationClockSm, || library.application_clock(device, SM));
        set_clock(rows, &m::CLOCK_APPLICATION, "sm", told);
        let told =
            meter.call(Call::ApplicationClockMemory, || library.application_clock(device, MEMORY));
        set_clock(rows, &m::CLOCK_APPLICATION, "memory", told);
        let told = meter.call(Call::Jpeg, || library.jpeg(device));
        set_percent(rows, &m::JPEG_UTILIZATION, &[], told);
        let told = meter.call(Call::OpticalFlow, || library.optical_flow(device));
        set_percent(rows, &m::OFA_UTILIZATION, &[], told);
        let told = meter.call(Call::PersistenceMode, || library.persistence_mode(device));
        if let Some(on) = told.series(|on| f64::from(u8::from(on == 1))) {
            rows.set(&m::PERSISTENCE_MODE, &[], on);
        }
        set_sram(rows, meter.call(Call::Sram, || library.sram(device)));
        if !self.product.consumer {
            let told = meter.call(Call::RemapHistogram, || library.remap_histogram(device));
            set_histogram(rows, told);
        }
        self.read_fans(rows);
        self.read_links(rows);
        self.read_processes(out);
        self.read_rare(out);
        self.read_peers(out);
        for metric in self.meter.forbidden() {
            let text = |text: &str| text.to_owned();
            let labels = vec![("metric", text(metric.name)), ("reason", text("no permission"))];
            let row = TextRow { metric: &UNAVAILABLE, labels, value: 1.0 };
            if !out.texts.contains(&row) {
                out.texts.push(row);
            }
        }
    }

    fn read_fans(&mut self, rows: &mut Rows) {
        let Self { meter, library, device, identity, .. } = self;
        for (fan, label) in (0..identity.fans).zip(FANS) {
            let labels = [("fan", label)];
            let told = meter.call(Call::FanSpeed, || library.fan_speed(*device, fan));
            if let Some(percent) = told.series(f64::from) {
                // A fan may be told to turn faster than its nominal maximum.
                rows.set_within(&m::FAN_SPEED, &labels, percent, 0.0..=200.0, 0.01);
            }
            let told = meter.call(Call::FanRpm, || library.fan_rpm(*device, fan));
            if let Some(rpm) = told.series(f64::from) {
                rows.set_within(&m::FAN_RPM, &labels, rpm, 0.0..=1e5, 1.0);
            }
        }
    }

    /// Links one by one, where no field tells their state.
    fn read_links(&mut self, rows: &mut Rows) {
        let Self { meter, library, device, medium, product, .. } = self;
        if medium.has(&m::NVLINK_UP) {
            return;
        }
        for (link, label) in product.links() {
            let told = meter.call(Call::LinkState, || library.link_is_up(*device, link));
            if let Some(up) = told.series(|up| f64::from(u8::from(up))) {
                rows.set(&m::NVLINK_UP, &[("link", label)], up);
            }
        }
    }

    fn read_rare(&mut self, out: &mut Output) {
        let now = self.meter.now();
        let is_due =
            |read: Option<Duration>, every| read.is_none_or(|at| now.saturating_sub(at) >= every);
        if is_due(self.rare.read, RARE) {
            self.refresh_rare();
            // A GPU that was lost on the way is asked again when it is back.
            self.rare.read = self.meter.lost.is_none().then_some(now);
        }
        if is_due(self.rare.checked, DAILY) {
            let Self { meter, library, device, rare, .. } = self;
            match meter.call(Call::Inforom, || library.inforom_is_valid(*device)) {
                Told::Value(valid) => rare.valid = Some(valid),
                Told::Absent => {}
                Told::Never => rare.valid = None,
            }
            rare.checked = meter.lost.is_none().then_some(now);
        }
        if let Some(valid) = self.rare.valid {
            out.rows.set(&m::INFOROM_VALID, &[], Some(f64::from(u8::from(valid))));
        }
        out.rows.extend(&self.rare.rows);
        out.texts.extend_from_slice(&self.rare.links);
    }

    fn refresh_rare(&mut self) {
        let Self { meter, library, device, product, rare, .. } = self;
        let device = *device;
        let rows = &mut rare.rows;
        rows.clear();
        for (clock, name) in
            [(SM, "sm"), (MEMORY, "memory"), (GRAPHICS, "graphics"), (VIDEO, "video")]
        {
            let told = meter.call(Call::MaxClock, || asked(library.max_clock(device, clock)));
            set_clock(rows, &m::CLOCK_MAX, name, told);
        }
        let told = meter.call(Call::MaxPcieGeneration, || library.max_pcie_generation(device));
        if let Some(generation) = told.series(f64::from) {
            rows.set_within(&m::PCIE_LINK_GENERATION_MAX, &[], generation, 0.0..=16.0, 1.0);
        }
        let told = meter.call(Call::MaxPcieWidth, || library.max_pcie_width(device));
        if let Some(width) = told.series(f64::from) {
            rows.set_within(&m::PCIE_LINK_WIDTH_MAX, &[], width, 0.0..=64.0, 1.0);
        }
        for (limit, name) in [(0, "shutdown"), (1, "slowdown"), (2, "memory_max"), (3, "gpu_max")] {
            let told = meter.call(Call::TemperatureThreshold, || {
                asked(library.temperature_threshold(device, limit))
            });
            if let Told::Value(celsius) = told {
                let value = Some(f64::from(celsius));
                let labels = [("limit", name)];
                rows.set_within(&m::TEMPERATURE_LIMIT, &labels, value, 0.0..=200.0, 1.0);
            }
        }
        if let Told::Value(held) = meter.call(Call::License, || library.is_licensed(device)) {
            rows.set(&m::VGPU_LICENSED, &[], Some(f64::from(u8::from(held))));
        }
        rare.links.clear();
        for (link, label) in product.links() {
            let told = meter.call(Call::LinkInfo, || link_labels(library, device, link, label));
            if let Told::Value(labels) = told {
                rare.links.push(TextRow { metric: &m::NVLINK_INFO, labels, value: 1.0 });
            }
        }
    }
}

/// One of several questions to the same call: that this one is not answered says nothing about
/// the others.
fn asked<T>(told: Result<T, Code>) -> Result<T, Code> {
    told.map_err(|code| match code {
        Code::NOT_SUPPORTED | Code::INVALID_ARGUMENT => Code::NOT_FOUND,
        other => other,
    })
}

fn link_labels(
    library: &Library,
    device: Handle,
    link: u32,
    label: &'static str,
) -> Result<Vec<(&'static str, String)>, Code> {
    let version = asked(library.link_version(device, link))?;
    let mut labels = vec![("link", label.to_owned()), ("version", version.to_string())];
    if let Ok(remote) = library.link_remote(device, link) {
        labels.push(("remote_pci_bus_id", remote));
    }
    if let Ok(kind) = library.link_remote_type(device, link) {
        labels.push(("remote_type", kind.to_owned()));
    }
    Ok(labels)
}

fn set_sram(rows: &mut Rows, told: Told<Sram>) {
    let Some(sram) = told.series(|sram| sram) else { return };
    for (counter, volatile) in [("volatile", true), ("aggregate", false)] {
        let counts = sram.map(|s| if volatile { s.volatile } else { s.aggregate });
        let errors = [
            ("corrected", counts.map(|c| c.corrected)),
            ("uncorrected_parity", counts.map(|c| c.parity)),
            ("uncorrected_secded", counts.map(|c| c.secded)),
        ];
        for (error, count) in errors {
            let count = count.filter(|count| *count != u64::MAX).map(bytes);
            rows.set(&m::SRAM_ERRORS, &[("error", error), ("counter", counter)], count);
        }
        // The same as one more place, where no field tells it.
        let uncorrected = counts.and_then(|c| c.parity.checked_add(c.secded));
        for (error, count) in
            [("corrected", counts.map(|c| c.corrected)), ("uncorrected", uncorrected)]
        {
            let count = count.filter(|count| *count != u64::MAX).map(bytes);
            let labels = [("error", error), ("counter", counter), ("location", "sram")];
            rows.set(&m::ECC_LOCATION_ERRORS, &labels, count);
        }
    }
    let exceeded = sram.map(|s| f64::from(u8::from(s.exceeded)));
    rows.set(&m::SRAM_THRESHOLD_EXCEEDED, &[], exceeded);
}

fn set_histogram(rows: &mut Rows, told: Told<RemapHistogram>) {
    let Some(banks) = told.series(|banks| banks) else { return };
    let kinds = [
        ("max", banks.map(|b| b.max)),
        ("high", banks.map(|b| b.high)),
        ("partial", banks.map(|b| b.partial)),
        ("low", banks.map(|b| b.low)),
        ("none", banks.map(|b| b.none)),
    ];
    for (availability, count) in kinds {
        rows.set(&m::REMAP_BANKS, &[("availability", availability)], count.map(f64::from));
    }
}

#[cfg(test)]
mod tests {
    use crate::collectors::gpu::fields::Product;

    #[test]
    fn links_beyond_what_is_known_are_not_read() {
        let product = Product { links: 64, consumer: false };
        assert_eq!(product.links().count(), 18);
    }
}
