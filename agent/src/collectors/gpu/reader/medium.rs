//! The medium tier: memory, errors, links, performance monitoring, MIG devices, and how the
//! reading itself goes.

use super::fast::MEMORY;
use super::{Output, Reader, set_bytes, set_clock, set_percent};
use crate::collectors::gpu::meter::{Call, Told};
use crate::collectors::gpu::metrics as m;
use crate::collectors::gpu::nvml::{Fabric, Instance, Memory};
use crate::collectors::gpu::rows::Rows;

/// Conditions of the fabric by their place in the health mask (`nvml.h`).
const CONDITIONS: [(u32, &str); 4] = [
    (0, "degraded_bandwidth"),
    (2, "route_recovery"),
    (4, "route_unhealthy"),
    (6, "access_timeout_recovery"),
];

impl Reader {
    pub(super) fn read_medium(&mut self, out: &mut Output) {
        let Self { meter, library, device, medium, performance, .. } = self;
        let device = *device;
        let rows = &mut out.rows;
        medium.read(meter, library, device, rows);
        set_memory(rows, meter.call(Call::Memory, || library.memory(device)));
        // It changes with the P-state only, unlike the SM's.
        let told = meter.call(Call::ClockMemory, || library.clock(device, MEMORY));
        set_clock(rows, &m::CLOCK, "memory", told);
        let told = meter.call(Call::Encoder, || library.encoder(device));
        set_percent(rows, &m::ENCODER_UTILIZATION, &[], told);
        let told = meter.call(Call::Decoder, || library.decoder(device));
        set_percent(rows, &m::DECODER_UTILIZATION, &[], told);

        let told = meter.call(Call::PerformanceState, || library.performance_state(device));
        if let Some(state) = told.series(|state| state) {
            // 32 is "not known" (`NVML_PSTATE_UNKNOWN`).
            let state = state.filter(|state| *state != 32).map(f64::from);
            rows.set_within(&m::PERFORMANCE_STATE, &[], state, 0.0..=15.0, 1.0);
        }
        let told = meter.call(Call::PcieGeneration, || library.pcie_generation(device));
        if let Some(generation) = told.series(f64::from) {
            rows.set_within(&m::PCIE_LINK_GENERATION, &[], generation, 0.0..=16.0, 1.0);
        }
        let told = meter.call(Call::PcieWidth, || library.pcie_width(device));
        if let Some(width) = told.series(f64::from) {
            rows.set_within(&m::PCIE_LINK_WIDTH, &[], width, 0.0..=64.0, 1.0);
        }
        let told = meter.call(Call::ThermalMargin, || library.thermal_margin(device));
        if let Some(margin) = told.series(f64::from) {
            rows.set_within(&m::THERMAL_MARGIN, &[], margin, -200.0..=200.0, 1.0);
        }
        set_fabric(rows, meter.call(Call::Fabric, || library.fabric(device)));
        performance.read(meter, library, device, Instance::Gpu, rows);

        self.read_mig(out);
        self.read_meter(&mut out.rows);
    }

    /// How the calls went, those of all tiers since the last time.
    fn read_meter(&mut self, rows: &mut Rows) {
        self.meter.tell(rows);
        let rejected = self.rejected + rows.rejected;
        #[expect(clippy::cast_precision_loss, reason = "2^53 values are not read in a life")]
        rows.set(&m::REJECTED_VALUES, &[], Some(rejected as f64));
    }
}

fn set_memory(rows: &mut Rows, told: Told<Memory>) {
    let Some(memory) = told.series(|memory| memory) else { return };
    set_bytes(rows, &m::MEMORY_TOTAL, memory.map(|m| m.total));
    set_bytes(rows, &m::MEMORY_USED, memory.map(|m| m.used));
    set_bytes(rows, &m::MEMORY_FREE, memory.map(|m| m.free));
    if let Some(reserved) = memory.and_then(|m| m.reserved) {
        set_bytes(rows, &m::MEMORY_RESERVED, Some(reserved));
    }
}

fn set_fabric(rows: &mut Rows, told: Told<Fabric>) {
    let Some(fabric) = told.series(|fabric| fabric) else { return };
    rows.set(&m::FABRIC_STATE, &[], fabric.map(|f| f64::from(f.state)));
    // The outcome means something once there is one.
    let status = fabric.filter(|f| f.state == 3).map(|f| f64::from(f.status));
    if fabric.is_none_or(|f| f.state != 0) {
        rows.set(&m::FABRIC_STATUS, &[], status);
    }
    let Some(fabric) = fabric else { return };
    let told = CONDITIONS.map(|(shift, name)| (name, fabric.condition(shift)));
    let wrong = ("incorrect_configuration", fabric.misconfigured());
    for (name, condition) in told.into_iter().chain([wrong]) {
        if let Some(condition) = condition {
            let value = Some(f64::from(u8::from(condition)));
            rows.set(&m::FABRIC_HEALTH, &[("condition", name)], value);
        }
    }
}
