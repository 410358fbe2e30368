//! What comes of what the threads saw: counts, event records and hints.

use std::time::{Duration, Instant};

use sextant_proto::v1::{Event, Severity};

use super::Hint;
use super::gpus::{Gpus, is_due};
use super::kinds::{self, KINDS};
use super::ledger::{self, Driver, Kernel, Ledger, Record};
use super::nvrm::Line;
use super::queue::{Gpu, Seen, What};
use super::{report, xid};
use crate::collectors::pods::Process;

/// Event records in one tick; what is beyond is counted and not told one by one.
pub(super) const RECORDS_PER_TICK: usize = 128;
/// Of them, records of the same Xid of the same GPU.
const SAME_PER_TICK: usize = 16;
/// Hints kept for the reader.
const HINTS: usize = 64;
/// A GPU that has fallen off the bus, or that cannot be started, is told so often: the driver
/// says it again at every try.
pub(super) const AGAIN: Duration = Duration::from_secs(60);

/// What came of what was seen.
#[derive(Default)]
pub(super) struct Told {
    pub(super) gpus: Gpus,
    ledger: Ledger,
    /// GPUs said to be off the bus, until it is known whether an Xid says so, too.
    fallen: Vec<(Instant, i64, usize, String)>,
    last_mismatch: Option<Instant>,
    last_init_failure: Option<Instant>,
    pub(super) hints: Vec<Hint>,
    pub(super) events: Vec<Event>,
    /// Records of this tick, to tell how many of them are the same.
    sent: Vec<(usize, u32)>,
    due: Vec<Record>,
    pub(super) dropped: u64,
}

impl Told {
    /// Takes what a thread saw.
    pub(super) fn take(&mut self, seen: Seen) {
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
    pub(super) fn finish(&mut self, now: Instant) {
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
