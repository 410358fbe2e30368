//! GPM's metrics of a GPU or a MIG device: which of them it has, and their values.

use std::sync::Arc;

use crate::collectors::gpu::meter::{Call, Meter, Support, Told};
use crate::collectors::gpu::metrics as m;
use crate::collectors::gpu::nvml::{Code, Gpm, Handle, Instance, Library};
use crate::collectors::gpu::rows::Rows;
use crate::sample::Metric;

/// GPM's ids (`nvmlGpmMetricId_t`) and the series that they are: shares in percent first, then
/// traffic in MiB/s.
const OF_GPU: [(u32, &Metric); 18] = [
    (1, &m::GRAPHICS_ACTIVE),
    (2, &m::SM_ACTIVE),
    (3, &m::SM_OCCUPANCY),
    (4, &m::INTEGER_ACTIVE),
    (5, &m::TENSOR_ACTIVE),
    (6, &m::TENSOR_DFMA_ACTIVE),
    (7, &m::TENSOR_HMMA_ACTIVE),
    (9, &m::TENSOR_IMMA_ACTIVE),
    (10, &m::DRAM_ACTIVE),
    (11, &m::FP64_ACTIVE),
    (12, &m::FP32_ACTIVE),
    (13, &m::FP16_ACTIVE),
    (20, &m::PCIE_TRANSMIT_RATE),
    (21, &m::PCIE_RECEIVE_RATE),
    (60, &m::NVLINK_RECEIVE_RATE),
    (61, &m::NVLINK_TRANSMIT_RATE),
    (100, &m::C2C_TRANSMIT_RATE),
    (101, &m::C2C_RECEIVE_RATE),
];

/// As [`OF_GPU`], of a GPU instance.
const OF_MIG: [(u32, &Metric); 8] = [
    (1, &m::MIG_GRAPHICS_ACTIVE),
    (2, &m::MIG_SM_ACTIVE),
    (3, &m::MIG_SM_OCCUPANCY),
    (5, &m::MIG_TENSOR_ACTIVE),
    (10, &m::MIG_DRAM_ACTIVE),
    (11, &m::MIG_FP64_ACTIVE),
    (12, &m::MIG_FP32_ACTIVE),
    (13, &m::MIG_FP16_ACTIVE),
];

/// The first id that is traffic, not a share.
const FIRST_TRAFFIC: u32 = 20;
/// A share may be a little above its whole, by how counters are read one after the other.
const MOST_PERCENT: f64 = 101.0;
/// 10 TiB/s: more than any link has.
const MOST_MEBIBYTES: f64 = 1e7;

/// The metrics of one instance.
#[derive(Default)]
pub(super) struct Performance {
    gpm: Option<Gpm>,
    /// The GPU was asked, and has none.
    without: bool,
    support: Vec<Support>,
    /// The ids asked for, and their place in the table.
    ids: Vec<u32>,
    places: Vec<usize>,
}

impl Performance {
    /// Samples and tells what happened since the last sample.
    pub(super) fn read(
        &mut self,
        meter: &mut Meter,
        library: &Arc<Library>,
        device: Handle,
        instance: Instance,
        rows: &mut Rows,
    ) {
        if self.without {
            return;
        }
        let (table, sample, compare): (&[(u32, &'static Metric)], _, _) = match instance {
            Instance::Gpu => (&OF_GPU, Call::GpmSample, Call::GpmMetrics),
            Instance::Mig(_) => (&OF_MIG, Call::MigGpmSample, Call::MigGpmMetrics),
        };
        if self.support.is_empty() {
            self.support.resize(table.len(), Support::Unknown);
            self.ask(table, meter);
        }
        let Self { gpm, ids, without, .. } = self;
        let gpm = match gpm {
            Some(gpm) => gpm,
            none => match start(library, device) {
                Ok(gpm) => none.insert(gpm),
                Err(code) => return *without = code.is_unsupported(),
            },
        };
        // A GPU instance that has been destroyed says nothing about the others.
        let taken = |code| match (instance, code) {
            (Instance::Mig(_), Code::INVALID_ARGUMENT) => Code::NOT_FOUND,
            _ => code,
        };
        let both = meter.call(sample, || gpm.sample(device, instance).map_err(taken));
        let told = match both {
            Told::Value(true) => meter.call(compare, || gpm.compare(ids)),
            Told::Value(false) => Told::Absent,
            Told::Absent => {
                gpm.restart();
                Told::Absent
            }
            Told::Never => return,
        };
        self.publish(told, table, meter, rows);
    }

    /// Asks for what is not known to be missing.
    fn ask(&mut self, table: &[(u32, &'static Metric)], meter: &Meter) {
        self.ids.clear();
        self.places.clear();
        for (place, (id, _)) in table.iter().enumerate() {
            if self.support[place].asks(meter.now()) {
                self.ids.push(*id);
                self.places.push(place);
            }
        }
    }

    fn publish(
        &mut self,
        told: Told<()>,
        table: &[(u32, &'static Metric)],
        meter: &Meter,
        rows: &mut Rows,
    ) {
        let Some(gpm) = &self.gpm else { return };
        let mut learned = false;
        for (position, place) in self.places.iter().enumerate() {
            let (id, metric) = table[*place];
            let support = &mut self.support[*place];
            let value = match told {
                Told::Value(()) => gpm.get(position),
                Told::Absent | Told::Never => Err(Code::NOT_FOUND),
            };
            match value {
                Ok(value) => {
                    *support = Support::Works;
                    let (most, scale) = if id < FIRST_TRAFFIC {
                        (MOST_PERCENT, 0.01)
                    } else {
                        (MOST_MEBIBYTES, 1_048_576.0)
                    };
                    rows.set_within(metric, &[], Some(value), 0.0..=most, scale);
                }
                Err(code) => {
                    learned |= support.failed(code, meter.now());
                    if *support == Support::Works {
                        rows.set(metric, &[], None);
                    }
                }
            }
        }
        if learned {
            self.ask(table, meter);
        }
    }
}

fn start(library: &Arc<Library>, device: Handle) -> Result<Gpm, Code> {
    if !library.has_gpm(device)? {
        return Err(Code::NOT_SUPPORTED);
    }
    Gpm::new(library)
}
