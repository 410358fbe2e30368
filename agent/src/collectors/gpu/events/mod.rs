//! What happens to GPUs: the driver's events, the kernel's log and the PCI bus.
//!
//! Two threads listen, one to NVML, one to the log; what they see goes through one bounded queue
//! to the collector's fast tick, which counts an Xid that both told once, writes the numbers and
//! hands over event records. Everything is counted; of a flood only the first records of a tick
//! are sent. Nothing here waits for the driver, except [`Events::detach`] for a bounded time.

mod address;
mod gpus;
mod kinds;
mod kmsg;
mod ledger;
mod listen;
mod nvrm;
mod pci;
mod queue;
mod report;
mod xid;

#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use sextant_proto::v1::{Event, Severity};

pub(super) use self::pci::PciGpu;

use self::address::PciAddress;
use self::gpus::{Gpus, is_due};
use self::kinds::KINDS;
use self::kmsg::Kmsg;
use self::ledger::{Driver, Kernel, Ledger, Record};
use self::listen::{Device, Listener};
use self::nvrm::Line;
use self::queue::{Gpu, Queue, Seen, What};
use super::metrics::{EVENTS_DROPPED, KMSG_DROPPED};
use super::nvml::{Handle, Library};
use crate::collectors::Paths;
use crate::collectors::pods::{Attribution, Process};
use crate::sample::Batch;

/// Event records in one tick; what is beyond is counted and not told one by one.
const RECORDS_PER_TICK: usize = 128;
/// Of them, records of the same Xid of the same GPU.
const SAME_PER_TICK: usize = 16;
/// Hints kept for the reader.
const HINTS: usize = 64;
/// A GPU that has fallen off the bus, or that cannot be started, is told so often: the driver
/// says it again at every try.
const AGAIN: Duration = Duration::from_secs(60);

/// What an event asks the reader of GPUs to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Hint {
    /// The GPU at this PCI address has fallen off the bus.
    Lost(String),
    /// The recovery action of the GPU at this PCI address has changed.
    RecoveryAction(String),
    /// GPUs may have come or gone.
    Reenumerate,
}

/// The sources of events.
pub(super) struct Events {
    log: PathBuf,
    sys: PathBuf,
    attribution: Arc<Attribution>,
    queue: Arc<Queue>,
    kmsg: Option<Kmsg>,
    listener: Listener,
    told: Told,
    pci: Vec<PciGpu>,
    seen: VecDeque<Seen>,
}

/// What came of what was seen.
#[derive(Default)]
struct Told {
    gpus: Gpus,
    ledger: Ledger,
    /// GPUs said to be off the bus, until it is known whether an Xid says so, too.
    fallen: Vec<(Instant, i64, usize, String)>,
    last_mismatch: Option<Instant>,
    last_init_failure: Option<Instant>,
    hints: Vec<Hint>,
    events: Vec<Event>,
    /// Records of this tick, to tell how many of them are the same.
    sent: Vec<(usize, u32)>,
    due: Vec<Record>,
    dropped: u64,
}

impl Events {
    /// Nothing is listened to yet. Says whose the processes are that errors name.
    pub(super) fn new(paths: &Paths, attribution: &Arc<Attribution>) -> Self {
        Self {
            log: paths.dev.join("kmsg"),
            sys: paths.sys.clone(),
            attribution: Arc::clone(attribution),
            queue: Arc::default(),
            kmsg: None,
            listener: Listener::default(),
            told: Told::default(),
            pci: Vec::new(),
            seen: VecDeque::new(),
        }
    }

    /// Listens to these GPUs (UUID, PCI address, handle) and to no others. Returns at once.
    pub(super) fn attach(&mut self, library: &Arc<Library>, gpus: &[(Arc<str>, Arc<str>, Handle)]) {
        self.listen_to_log();
        let device = |(uuid, address, handle): &(Arc<str>, Arc<str>, Handle)| Device {
            gpu: Gpu { uuid: Arc::clone(uuid), address: PciAddress::parse(address) },
            handle: *handle,
        };
        let devices: Vec<_> = gpus.iter().map(device).collect();
        for device in &devices {
            self.told.gpus.of(&device.gpu);
        }
        self.listener.attach(library, devices, &self.queue);
    }

    /// Stops using NVML, within three seconds whatever the driver does. False when it does not
    /// let go: the library is then still referred to.
    pub(super) fn detach(&mut self) -> bool {
        self.listener.detach()
    }

    /// Writes what was counted, and hands over what happened since the last time.
    pub(super) fn collect(&mut self, batch: &mut Batch) {
        self.collect_at(batch, Instant::now());
    }

    #[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^53")]
    fn collect_at(&mut self, batch: &mut Batch, now: Instant) {
        self.queue.take(&mut self.seen);
        for seen in self.seen.drain(..) {
            self.told.take(seen);
        }
        self.told.finish(now);
        for event in self.told.events.drain(..) {
            batch.event(event);
        }
        self.told.gpus.write(batch);
        let mut node = batch.node();
        node.set(&EVENTS_DROPPED, (self.queue.dropped() + self.told.dropped) as f64);
        if let Some(kmsg) = &self.kmsg {
            node.set(&KMSG_DROPPED, kmsg.lost() as f64);
            if let Some(reason) = kmsg.problem() {
                node.unavailable(&KMSG_DROPPED, reason);
            }
        }
    }

    /// The GPUs on the PCI bus, looked at in the slow tier.
    pub(super) fn pci_gpus(&mut self) -> &[PciGpu] {
        self.pci = pci::gpus(&self.sys);
        if !self.pci.is_empty() {
            self.listen_to_log();
        }
        &self.pci
    }

    /// What happened since the last time that the reader should act on.
    pub(super) fn hints(&mut self) -> Vec<Hint> {
        std::mem::take(&mut self.told.hints)
    }

    /// Nodes without GPUs are not bothered with every message of their kernel.
    fn listen_to_log(&mut self) {
        if self.kmsg.is_none() {
            match Kmsg::start(self.log.clone(), &self.queue, &self.attribution) {
                Ok(kmsg) => self.kmsg = Some(kmsg),
                Err(error) => tracing::warn!(%error, "the kernel's log is not read"),
            }
        }
    }
}

impl Told {
    fn take(&mut self, seen: Seen) {
        let Seen { at, time_ms, what } = seen;
        match what {
            What::Listening { gpu, kinds } => self.gpus.listening(&gpu, kinds),
            What::Driver { gpu, kind, data, gpu_instance, compute_instance } => {
                let Some(index) = self.gpus.of(&gpu) else { return self.dropped += 1 };
                if kind & kinds::XID != 0 {
                    let driver = Some(Driver { gpu_instance, compute_instance });
                    let xid = u32::try_from(data).unwrap_or(u32::MAX);
                    self.note(at, Record { gpu: index, xid, time_ms, kernel: None, driver });
                }
                for place in kinds::of(kind) {
                    self.driver(
                        at,
                        time_ms,
                        index,
                        place,
                        (kind, data),
                        [gpu_instance, compute_instance],
                    );
                }
            }
            What::Kernel { line, process } => self.line(at, time_ms, line, process),
        }
    }

    fn line(&mut self, at: Instant, time_ms: i64, line: Line, process: Option<Box<Process>>) {
        match line {
            Line::Xid(message) => {
                let Some(gpu) = self.gpus.at(message.address) else { return self.dropped += 1 };
                let xid = message.xid;
                let kernel = Some(Kernel { message, process });
                self.note(at, Record { gpu, xid, time_ms, kernel, driver: None });
            }
            Line::Uuid { address, uuid } => {
                let gpu = Gpu { uuid: uuid.into(), address: Some(address) };
                // Too many GPUs: what is told of it has its address.
                let _: Option<usize> = self.gpus.of(&gpu);
            }
            Line::Sxid(error) => self.send(report::sxid(error, time_ms)),
            Line::FallenOff { address, text } => {
                let Some(gpu) = self.gpus.at(address) else { return self.dropped += 1 };
                self.hint(Hint::Lost(address.to_string()));
                if is_due(&mut self.gpus.get(gpu).last_fallen, at, AGAIN) {
                    self.fallen.push((at, time_ms, gpu, text));
                }
            }
            Line::InitFailed { address, text } => {
                self.hint(Hint::Reenumerate);
                let gpu = address.and_then(|address| self.gpus.at(address));
                let last = match gpu {
                    Some(gpu) => &mut self.gpus.get(gpu).last_init_failure,
                    None => &mut self.last_init_failure,
                };
                if !is_due(last, at, AGAIN) {
                    return;
                }
                let (kind, severity) = ("gpu.init_failed", Severity::Critical);
                let event = match gpu {
                    Some(gpu) => report::logged(kind, severity, time_ms, self.gpus.get(gpu), text),
                    None => {
                        let attributes = vec![("text", text.clone())];
                        report::of_node(kind, severity, time_ms, text, attributes)
                    }
                };
                self.send(event);
            }
            Line::Mismatch { client, module } => {
                self.hint(Hint::Reenumerate);
                if is_due(&mut self.last_mismatch, at, AGAIN) {
                    self.mismatch(time_ms, client, module);
                }
            }
        }
    }

    fn mismatch(&mut self, time_ms: i64, client: Option<String>, module: Option<String>) {
        let or_unknown = |version: &Option<String>| version.clone().unwrap_or("unknown".into());
        let message = format!(
            "driver libraries of version {} do not fit the kernel module of version {}",
            or_unknown(&client),
            or_unknown(&module)
        );
        let versions = [("client_version", client), ("module_version", module)];
        let versions = versions.into_iter().filter_map(|(name, version)| Some((name, version?)));
        self.send(report::of_node(
            "gpu.driver_mismatch",
            Severity::Warning,
            time_ms,
            message,
            versions.collect(),
        ));
    }

    /// An event of the driver that is no Xid.
    fn driver(
        &mut self,
        at: Instant,
        time_ms: i64,
        index: usize,
        place: usize,
        (bits, data): (u64, u64),
        instances: [Option<u32>; 2],
    ) {
        let gpu = self.gpus.get(index);
        let due = gpu.count_event(place, at);
        let kind = &KINDS[place];
        let event = due.then(|| report::driver(kind, bits, data, instances, time_ms, gpu));
        let bus_id = gpu.bus_id.clone();
        match kind.bit {
            kinds::RECOVERY_ACTION => self.hint(Hint::RecoveryAction(bus_id)),
            kinds::MIG_CONFIG => self.hint(Hint::Reenumerate),
            _ => {}
        }
        if let Some(event) = event {
            self.send(event);
        }
    }

    /// Takes one source's word of an Xid.
    fn note(&mut self, at: Instant, record: Record) {
        let gpu = self.gpus.get(record.gpu);
        match record.xid {
            xid::FALLEN_OFF => {
                gpu.last_fallen = Some(at);
                let (index, bus_id) = (record.gpu, gpu.bus_id.clone());
                self.fallen.retain(|fallen| fallen.2 != index);
                self.hint(Hint::Lost(bus_id));
            }
            xid::RECOVERY_ACTION => {
                let bus_id = gpu.bus_id.clone();
                self.hint(Hint::RecoveryAction(bus_id));
            }
            _ => {}
        }
        if let Some(record) = self.ledger.note(at, record) {
            self.count(record);
        }
    }

    /// Counts an Xid of which all is known that will be.
    fn count(&mut self, record: Record) {
        let gpu = self.gpus.get(record.gpu);
        gpu.count_xid(record.xid, record.time_ms);
        let same = (record.gpu, record.xid);
        if self.sent.iter().filter(|sent| **sent == same).count() >= SAME_PER_TICK {
            self.dropped += 1;
            return;
        }
        self.sent.push(same);
        let event = report::xid(record, gpu);
        self.send(event);
    }

    /// Sends what has waited long enough. Ends the tick.
    fn finish(&mut self, now: Instant) {
        let mut due = std::mem::take(&mut self.due);
        self.ledger.due(now, &mut due);
        for record in due.drain(..) {
            self.count(record);
        }
        self.due = due;
        let waiting = |at: Instant| now.saturating_duration_since(at) < ledger::GRACE;
        while let Some(ready) = self.fallen.iter().position(|fallen| !waiting(fallen.0)) {
            let (at, time_ms, index, text) = self.fallen.remove(ready);
            let gpu = self.gpus.get(index);
            gpu.count_event(kinds::index_of(kinds::UNAVAILABLE), at);
            let event = report::logged("gpu.unavailable", Severity::Critical, time_ms, gpu, text);
            self.send(event);
        }
        self.sent.clear();
    }

    fn send(&mut self, event: Event) {
        if self.events.len() < RECORDS_PER_TICK {
            self.events.push(event);
        } else {
            self.dropped += 1;
        }
    }

    fn hint(&mut self, hint: Hint) {
        let nowhere = matches!(&hint, Hint::Lost(at) | Hint::RecoveryAction(at) if at.is_empty());
        if !nowhere && self.hints.len() < HINTS && !self.hints.contains(&hint) {
            self.hints.push(hint);
        }
    }
}
