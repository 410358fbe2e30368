//! What a GPU's thread reads, tier by tier. Every call here may take any time.

mod fast;
mod gpm;
mod medium;
mod mig;
mod peers;
mod processes;
mod slow;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::GpuConfig;
use super::fields::{FieldSet, LINK_COUNT, Product};
use super::identity::{Identity, MigIdentity};
use super::meter::{Call, Meter, Tier, Told};
use super::nvml::{Code, FieldBatch, Handle, Library};
use super::rows::{Labels, Rows, TextRow};
use crate::collectors::Paths;
use crate::collectors::pods::Attribution;
use crate::sample::Metric;

use gpm::Performance;
use mig::Mig;
pub(super) use peers::Peer;
use peers::Peers;
use processes::Processes;

/// What all readers of a collector share.
pub(super) struct Context {
    pub(super) proc: PathBuf,
    pub(super) sys: PathBuf,
    pub(super) graphics_processes: bool,
    pub(super) process_utilization: bool,
    pub(super) attribution: Arc<Attribution>,
}

impl Context {
    pub(super) fn new(config: &GpuConfig, paths: &Paths, attribution: &Arc<Attribution>) -> Self {
        Self {
            proc: paths.proc.clone(),
            sys: paths.sys.clone(),
            graphics_processes: config.graphics_processes,
            process_utilization: config.process_utilization,
            attribution: Arc::clone(attribution),
        }
    }
}

/// What a tier came to.
#[derive(Default)]
pub(super) struct Output {
    pub(super) rows: Rows,
    pub(super) texts: Vec<TextRow>,
    pub(super) mig: Vec<(Arc<MigIdentity>, Rows)>,
}

impl Output {
    fn clear(&mut self) {
        self.rows.clear();
        self.texts.clear();
        self.mig.iter_mut().for_each(|(_, rows)| rows.clear());
    }
}

/// What a tier's calls say about the GPU itself.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Verdict {
    pub(super) lost: Option<Code>,
    pub(super) reopen: Option<Code>,
    pub(super) answered: bool,
    /// Counters that only a driver's load or a reset sets back went back.
    pub(super) restarted: bool,
}

/// A GPU that is there.
pub(super) struct Reader {
    context: Arc<Context>,
    library: Arc<Library>,
    device: Handle,
    pub(super) identity: Arc<Identity>,
    product: Product,
    meter: Meter,
    fast: FieldSet,
    medium: FieldSet,
    slow: FieldSet,
    performance: Performance,
    pub(super) mig: Mig,
    peers: Peers,
    processes: Processes,
    rare: slow::Rare,
    rejected: u64,
}

impl Reader {
    /// The GPU at an index of NVML's. `known` is what was there before: if it is the same GPU of
    /// the same library it goes on as it was.
    ///
    /// # Errors
    /// NVML's code, when the GPU does not say who it is.
    pub(super) fn open(
        context: &Arc<Context>,
        library: &Arc<Library>,
        index: u32,
        known: Option<Box<Self>>,
    ) -> Result<Box<Self>, (Code, Option<Box<Self>>)> {
        let found = library.handle_by_index(index).and_then(|device| {
            let uuid = library.uuid(device)?;
            Ok((device, uuid))
        });
        let (device, uuid) = match found {
            Ok(found) => found,
            Err(code) => return Err((code, known)),
        };
        match known {
            Some(known)
                if Arc::ptr_eq(&known.library, library)
                    && known.device == device
                    && *known.identity.uuid == *uuid =>
            {
                Ok(known)
            }
            known => Self::meet(context, library, device, uuid, known),
        }
    }

    fn meet(
        context: &Arc<Context>,
        library: &Arc<Library>,
        device: Handle,
        uuid: String,
        known: Option<Box<Self>>,
    ) -> Result<Box<Self>, (Code, Option<Box<Self>>)> {
        let identity = match Identity::read(library, device, uuid, &context.sys) {
            Ok(identity) => Arc::new(identity),
            Err(code) => return Err((code, known)),
        };
        let numbering = library.numbering();
        let links = links(library, device);
        let product = Product { links, consumer: identity.consumer };
        let (meter, rejected) = match known {
            Some(known) if known.identity.uuid == identity.uuid => (known.meter, known.rejected),
            _ => (Meter::new(), 0),
        };
        let mut reader = Box::new(Self {
            context: Arc::clone(context),
            library: Arc::clone(library),
            device,
            product,
            meter,
            fast: FieldSet::new(Call::FieldsFast, super::fields::fast(), numbering),
            medium: FieldSet::new(Call::FieldsMedium, super::fields::medium(product), numbering),
            slow: FieldSet::new(Call::FieldsSlow, super::fields::slow(product), numbering),
            performance: Performance::default(),
            mig: Mig::default(),
            peers: Peers::default(),
            processes: Processes::default(),
            rare: slow::Rare::default(),
            identity,
            rejected,
        });
        reader.meter.relearn();
        Ok(reader)
    }

    /// The library that it reads with.
    pub(super) fn library(&self) -> &Arc<Library> {
        &self.library
    }

    /// The handle, for those that listen to its events.
    pub(super) fn device(&self) -> Handle {
        self.device
    }

    /// Forgets what was not supported.
    fn relearn(&mut self) {
        self.meter.relearn();
        for fields in [&mut self.fast, &mut self.medium, &mut self.slow] {
            fields.relearn();
        }
        self.performance = Performance::default();
        self.rare = slow::Rare::default();
    }

    /// Reads a tier.
    pub(super) fn read(&mut self, tier: Tier, now: Duration, out: &mut Output) -> Verdict {
        self.meter.begin(now);
        out.clear();
        match tier {
            Tier::Fast => self.read_fast(&mut out.rows),
            Tier::Medium => self.read_medium(out),
            Tier::Slow => self.read_slow(out),
        }
        self.rejected += std::mem::take(&mut out.rows.rejected);
        for (_, rows) in &mut out.mig {
            self.rejected += std::mem::take(&mut rows.rejected);
        }
        let restarted = self.fast.went_back();
        if restarted {
            self.relearn();
        }
        Verdict {
            lost: self.meter.lost,
            reopen: self.meter.reopen,
            answered: self.meter.answered(),
            restarted,
        }
    }
}

/// How many NVLinks there are.
fn links(library: &Library, device: Handle) -> usize {
    let mut batch = FieldBatch::new(library.numbering());
    batch.push(LINK_COUNT, 0);
    let told = batch.read(library, device, 0..1).and_then(|()| batch.get(0));
    told.map_or(0, |number| usize::try_from(number.as_small()).unwrap_or(0).min(64))
}

/// A share in percent as a ratio.
fn set_percent(rows: &mut Rows, metric: &'static Metric, labels: &Labels, told: Told<u32>) {
    if let Some(value) = told.series(f64::from) {
        rows.set_within(metric, labels, value, 0.0..=100.0, 0.01);
    }
}

/// A clock in MHz as Hz. Nothing clocks at 20 GHz.
fn set_clock(rows: &mut Rows, metric: &'static Metric, clock: &'static str, told: Told<u32>) {
    if let Some(value) = told.series(f64::from) {
        rows.set_within(metric, &[("clock", clock)], value, 0.0..=20_000.0, 1e6);
    }
}

/// Bytes; NVML's "not available" is rejected.
fn bytes(value: u64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "memory is below 2^53 bytes")]
    let bytes = value as f64;
    bytes
}

/// More bytes than any GPU has: the largest petabyte.
const MOST_BYTES: f64 = 1e15;

/// An amount of memory.
fn set_bytes(rows: &mut Rows, metric: &'static Metric, value: Option<u64>) {
    rows.set_within(metric, &[], value.map(bytes), 0.0..=MOST_BYTES, 1.0);
}
