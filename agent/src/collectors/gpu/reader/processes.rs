//! Who uses the GPU.
//!
//! Processes are told by their memory, the largest first, up to a bound; those beyond it are
//! still in the count. Names and owners come from /proc, on the GPU's thread.

use std::path::Path;

use super::{Output, Reader, bytes};
use crate::collectors::gpu::meter::{Call, Told};
use crate::collectors::gpu::metrics as m;
use crate::collectors::gpu::nvml::{Code, ProcessKind, ProcessList, UtilizationList};
use crate::collectors::gpu::rows::TextRow;
use crate::collectors::pods::Attribution;

/// Processes of a GPU that have a series each.
const MOST: usize = 256;
/// A process's name is at most so long in the kernel, which cuts it at 15.
const NAME_BYTES: usize = 64;

/// The lists, kept.
#[derive(Default)]
pub(super) struct Processes {
    list: ProcessList,
    utilization: UtilizationList,
    found: Vec<Found>,
}

#[derive(Debug, Clone, Copy)]
struct Found {
    pid: u32,
    kind: &'static str,
    memory: Option<u64>,
}

impl Reader {
    pub(super) fn read_processes(&mut self, out: &mut Output) {
        let Self { context, meter, library, device, processes, .. } = self;
        let Processes { list, found, .. } = processes;
        let device = *device;
        let mut kinds = vec![
            (Call::ComputeProcesses, ProcessKind::Compute, "compute"),
            (Call::MpsProcesses, ProcessKind::Mps, "mps"),
        ];
        if context.graphics_processes {
            kinds.push((Call::GraphicsProcesses, ProcessKind::Graphics, "graphics"));
        }
        found.clear();
        let mut complete = true;
        for (call, kind, name) in kinds {
            let before = found.len();
            let told = meter.call(call, || {
                for process in list.read(library, device, kind)? {
                    // A process may compute and draw: it is one process with one memory.
                    if !found.iter().any(|known| known.pid == process.pid) {
                        found.push(Found { pid: process.pid, kind: name, memory: process.memory });
                    }
                }
                Ok(found.len() - before)
            });
            complete &= !matches!(told, Told::Absent);
            if let Some(count) =
                told.series(|count| f64::from(u32::try_from(count).unwrap_or(u32::MAX)))
            {
                out.rows.set(&m::PROCESSES, &[("type", name)], count);
            }
        }
        let lists_work = !meter.lacks(Call::ComputeProcesses);
        let known: Option<u64> = found.iter().map(|process| process.memory).sum();
        if let Some(known) =
            known.filter(|_| complete && lists_work && self.mig.identities().next().is_none())
            && let Told::Value(memory) = meter.call(Call::ProcessMemory, || library.memory(device))
        {
            // Before 510 what the driver reserves counts as used: then nothing can be said.
            if memory.reserved.is_some() {
                let rest = bytes(memory.used.saturating_sub(known));
                out.rows.set(&m::MEMORY_UNACCOUNTED, &[], Some(rest));
            }
        }
        found.sort_unstable_by_key(|process| std::cmp::Reverse((process.memory, process.pid)));
        found.truncate(MOST);
        // The same order while the same processes run keeps the layout.
        found.sort_unstable_by_key(|process| process.pid);
        for process in &*found {
            let Some(memory) = process.memory else { continue };
            let mut labels = labels_of(process.pid, &context.proc, &context.attribution);
            labels.insert(2.min(labels.len()), ("type", process.kind.to_owned()));
            out.texts.push(TextRow { metric: &m::PROCESS_MEMORY, labels, value: bytes(memory) });
        }
        if context.process_utilization {
            self.read_utilization(out);
        }
    }

    fn read_utilization(&mut self, out: &mut Output) {
        let Self { context, meter, library, device, processes, .. } = self;
        let list = &mut processes.utilization;
        // NVML has a sample every sixth of a second: their mean is the interval's share.
        let mut shares: Vec<(u32, u32, u32)> = Vec::new();
        let told = meter.call(Call::ProcessUtilization, || {
            for sample in list.read(library, *device)? {
                match shares.iter_mut().find(|(pid, ..)| *pid == sample.pid) {
                    Some((_, sum, count)) => {
                        *sum += sample.sm;
                        *count += 1;
                    }
                    None => shares.push((sample.pid, sample.sm, 1)),
                }
            }
            Ok::<_, Code>(())
        });
        if told != Told::Value(()) {
            return;
        }
        shares.sort_unstable();
        for (pid, sum, count) in shares.into_iter().take(MOST) {
            let labels = labels_of(pid, &context.proc, &context.attribution);
            let value = f64::from(sum) / f64::from(count) / 100.0;
            out.texts.push(TextRow { metric: &m::PROCESS_UTILIZATION, labels, value });
        }
    }
}

/// Number, name and, in a container, whose it is.
fn labels_of(pid: u32, proc: &Path, attribution: &Attribution) -> Vec<(&'static str, String)> {
    let mut labels = vec![("pid", pid.to_string())];
    // Not in the agent's PID namespace, or gone: no name.
    if let Ok(mut name) = std::fs::read(proc.join(pid.to_string()).join("comm")) {
        name.truncate(NAME_BYTES);
        labels.push(("name", String::from_utf8_lossy(&name).trim().to_owned()));
    }
    if let Some(owner) = attribution.process(pid).and_then(|process| process.owner) {
        labels.push(("namespace", owner.namespace));
        labels.push(("pod", owner.pod));
        labels.push(("container", owner.container));
    }
    labels
}
