//! The fast tier: five calls.

use super::{Reader, set_clock, set_percent};
use crate::collectors::gpu::meter::{Call, Told};
use crate::collectors::gpu::metrics as m;
use crate::collectors::gpu::rows::Rows;

/// NVML's number of a clock.
pub(super) const GRAPHICS: u32 = 0;
pub(super) const SM: u32 = 1;
pub(super) const MEMORY: u32 = 2;
pub(super) const VIDEO: u32 = 3;

/// `nvmlClocksEventReason*`, by bit.
const REASONS: [(u64, &str); 9] = [
    (0x1, "idle"),
    (0x2, "applications_clocks"),
    (0x4, "sw_power_cap"),
    (0x8, "hw_slowdown"),
    (0x10, "sync_boost"),
    (0x20, "sw_thermal"),
    (0x40, "hw_thermal"),
    (0x80, "hw_power_brake"),
    (0x100, "display_clocks"),
];

impl Reader {
    pub(super) fn read_fast(&mut self, rows: &mut Rows) {
        let Self { meter, library, device, fast, .. } = self;
        let device = *device;
        fast.read(meter, library, device, rows);
        if !fast.has(&m::POWER) {
            let told = meter.call(Call::PowerUsage, || library.power_usage(device));
            if let Some(milliwatts) = told.series(f64::from) {
                rows.set_within(&m::POWER, &[], milliwatts, 0.0..=1e7, 1e-3);
            }
        }

        let told = meter.call(Call::Utilization, || library.utilization(device));
        let (gpu, memory) = match told {
            Told::Value((gpu, memory)) => (Told::Value(gpu), Told::Value(memory)),
            Told::Absent => (Told::Absent, Told::Absent),
            Told::Never => (Told::Never, Told::Never),
        };
        set_percent(rows, &m::UTILIZATION, &[], gpu);
        set_percent(rows, &m::MEMORY_COPY_UTILIZATION, &[], memory);

        let told = meter.call(Call::Temperature, || library.temperature(device, 0));
        if let Some(celsius) = told.series(f64::from) {
            rows.set_within(&m::TEMPERATURE, &[], celsius, 0.0..=200.0, 1.0);
        }

        let told = meter.call(Call::ClockSm, || library.clock(device, SM));
        set_clock(rows, &m::CLOCK, "sm", told);

        let told = meter.call(Call::ClocksEvent, || library.clocks_event_reasons(device));
        if let Some(mask) = told.series(|mask| mask) {
            for (bit, reason) in REASONS {
                let active = mask.map(|mask| f64::from(u8::from(mask & bit != 0)));
                rows.set(&m::CLOCKS_EVENT, &[("reason", reason)], active);
            }
        }
    }
}
