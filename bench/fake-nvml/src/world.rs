//! The machine: its GPUs, its clock, and the timeline that changes them.
//!
//! Conditions are not switched on and off but derived: what holds for a GPU is its own `set` and
//! that of every entry which has begun and not ended. So an entry that leaves the file takes its
//! fault along, and a hang ends when nobody wants it any more.

use std::time::Instant;

use crate::code::Code;
use crate::effects::{Effects, Mistake};
use crate::events::{Event, SETS};
use crate::gpu::Gpu;
use crate::kmsg;
use crate::scenario::{Act, Conditions, Entry, Scenario, Xid};
use crate::stats::PLACES;

/// An entry and how far it is.
#[derive(Debug)]
struct Running {
    entry: Entry,
    /// Scenario time at which the file with it was read.
    base: f64,
    started: bool,
    ended: bool,
}

impl Running {
    fn due(&self) -> Option<f64> {
        let start = self.base + self.entry.at;
        match (self.started, self.ended, self.entry.lasts) {
            (false, ..) => Some(start),
            (true, false, Some(lasts)) => Some(start + lasts),
            _ => None,
        }
    }
}

/// The state of everything.
#[derive(Debug)]
pub(crate) struct World {
    /// Which scenario of this process it is; part of each handle.
    pub generation: u32,
    pub scenario: Scenario,
    /// Every GPU that there ever was; handles name places in it.
    pub gpus: Vec<Gpu>,
    /// Places in `gpus` of those in the file, in its order.
    listed: Vec<usize>,
    /// Of those, what NVML enumerates.
    pub order: Vec<usize>,
    /// For calls that are about no GPU.
    pub global: Effects,
    entries: Vec<Running>,
    /// The version in force, which a reload may have changed.
    pub driver: String,
    /// Version as numbers.
    pub driver_version: (u32, u32),
    /// Grows with each change of version: older sessions do not match any more.
    pub driver_epoch: u32,
    started: Instant,
    base: f64,
}

impl World {
    pub(crate) fn new(scenario: Scenario, generation: u32, now: Instant) -> Result<Self, Mistake> {
        let global = Effects::new(&scenario, Conditions::default())?;
        let mut world = Self {
            generation,
            driver: scenario.driver.clone(),
            driver_version: version(&scenario.driver),
            driver_epoch: 0,
            scenario: Scenario { gpus: Vec::new(), timeline: Vec::new(), ..scenario.clone() },
            gpus: Vec::new(),
            listed: Vec::new(),
            order: Vec::new(),
            global,
            entries: Vec::new(),
            started: now,
            base: 0.0,
        };
        world.replace(scenario, now)?;
        Ok(world)
    }

    /// Scenario seconds since the scenario was first read.
    pub(crate) fn time(&self, now: Instant) -> f64 {
        let real = now.saturating_duration_since(self.started).as_secs_f64();
        self.base + real * self.scenario.time_scale
    }

    /// Takes over what the file says now; what goes on, goes on.
    pub(crate) fn replace(&mut self, scenario: Scenario, now: Instant) -> Result<(), Mistake> {
        for entry in &scenario.timeline {
            Effects::new(&scenario, entry.set.clone())?;
        }
        let time = self.time(now);
        self.run_until(time);
        let gpus = spread(&scenario)?;
        let mut listed = Vec::with_capacity(gpus.len());
        let mut added = Vec::new();
        for (place, spec) in gpus.iter().enumerate() {
            let fresh = Gpu::new(&scenario, spec, place, time)?;
            let known = self.gpus.iter().position(|gpu| {
                gpu.identity.uuid == fresh.identity.uuid && gpu.spec.profile == spec.profile
            });
            if let Some(at) = known {
                self.gpus[at].spec = spec.clone();
                listed.push(at);
            } else {
                listed.push(self.gpus.len() + added.len());
                added.push(fresh);
            }
        }
        self.gpus.extend(added);
        self.listed = listed;
        let mut old = std::mem::take(&mut self.entries);
        for entry in &scenario.timeline {
            let known = old.iter().position(|running| running.entry == *entry);
            self.entries.push(match known {
                Some(at) => old.remove(at),
                None => Running { entry: entry.clone(), base: time, started: false, ended: false },
            });
        }
        self.base = time;
        self.started = now;
        let driver = scenario.driver != self.scenario.driver;
        self.scenario = scenario;
        if driver {
            self.reload_driver(&self.scenario.driver.clone());
        }
        self.apply(time);
        self.run_until(time);
        Ok(())
    }

    /// When something changes next, by the scenario's clock.
    pub(crate) fn next_change(&self) -> Option<f64> {
        self.entries.iter().filter_map(Running::due).min_by(f64::total_cmp)
    }

    /// Starts and ends what is due by `time`, in order; whether there was any.
    pub(crate) fn run_until(&mut self, time: f64) -> bool {
        let mut changed = false;
        while let Some(due) = self.next_change().filter(|due| *due <= time) {
            let mut acts = Vec::new();
            for running in self.entries.iter_mut().filter(|r| r.due().is_some_and(|at| at <= due)) {
                if running.started {
                    running.ended = true;
                } else {
                    running.started = true;
                    acts.push(running.entry.clone());
                }
            }
            self.apply(due);
            for entry in acts {
                self.act(&entry);
            }
            changed = true;
        }
        changed
    }

    /// Derives what holds for whom.
    fn apply(&mut self, time: f64) {
        let running: Vec<&Entry> =
            self.entries.iter().filter(|r| r.started && !r.ended).map(|r| &r.entry).collect();
        let mut global = Conditions::default();
        running.iter().filter(|e| e.gpu.is_none()).for_each(|entry| global.add(&entry.set));
        if let Ok(effects) = Effects::new(&self.scenario, global) {
            self.global = effects;
        }
        for at in 0..self.gpus.len() {
            let mut conditions = self.gpus[at].spec.set.clone();
            match self.listed.iter().position(|listed| *listed == at) {
                Some(place) => {
                    let about = |e: &&&Entry| e.gpu.as_ref().is_none_or(|gpu| gpu.has(place));
                    running.iter().filter(about).for_each(|entry| conditions.add(&entry.set));
                }
                None => conditions.removed = Some(true),
            }
            let gpu = &mut self.gpus[at];
            // Each part was checked when the file was read; a layout that does not fit the GPU
            // leaves it as it was.
            if let Ok(effects) = Effects::new(&self.scenario, conditions)
                && let Err(Mistake(mistake)) = gpu.change(effects, time)
            {
                crate::runtime::complain(&mistake);
            }
        }
        self.order = self.listed.iter().copied().filter(|at| !self.gpus[*at].removed()).collect();
    }

    fn act(&mut self, entry: &Entry) {
        let act = &entry.act;
        if *act == Act::default() {
            return;
        }
        if let Some(driver) = &act.driver_reload {
            self.reload_driver(driver);
        }
        for (place, at) in self.listed.clone().into_iter().enumerate() {
            if entry.gpu.as_ref().is_some_and(|gpu| !gpu.has(place)) {
                continue;
            }
            let gpu = &mut self.gpus[at];
            if act.counter_reset {
                gpu.reset();
            }
            if let Err(Mistake(mistake)) = gpu.act(act) {
                crate::runtime::complain(&mistake);
            }
            self.tell(at, act);
        }
    }

    /// Posts the events of what happened.
    fn tell(&self, slot: usize, act: &Act) {
        let none = u32::MAX;
        let plain =
            |bit, data| Event { slot, bit, data, gpu_instance: none, compute_instance: none };
        let mut sets = SETS.lock();
        if let Some(xid) = &act.xid {
            let (code, gpu_instance, compute_instance) = match xid {
                Xid::Plain(code) => (*code, none, none),
                Xid::Instance { code, gpu_instance, compute_instance } => {
                    (*code, *gpu_instance, *compute_instance)
                }
            };
            if !self.scenario.xids_not_in_events.contains(&code) {
                sets.post(Event { slot, bit: 0x8, data: code, gpu_instance, compute_instance });
            }
            if let Some(path) = &self.scenario.kmsg {
                kmsg::xid(path, &self.gpus[slot].identity, code);
            }
        }
        if let Some(event) = &act.event {
            sets.post(Event {
                slot,
                bit: event.bit,
                data: event.data,
                gpu_instance: event.gpu_instance.unwrap_or(none),
                compute_instance: event.compute_instance.unwrap_or(none),
            });
        }
        if let Some(ecc) = &act.ecc {
            if ecc.corrected > 0 {
                sets.post(plain(0x1, 0));
            }
            if ecc.uncorrected > 0 {
                sets.post(plain(0x2, 0));
            }
        }
    }

    fn reload_driver(&mut self, driver: &str) {
        if self.driver != driver {
            driver.clone_into(&mut self.driver);
            self.driver_version = version(driver);
            self.driver_epoch += 1;
        }
        self.gpus.iter_mut().for_each(Gpu::reset);
    }

    /// The GPU at NVML's index.
    pub(crate) fn at_index(&self, index: u32) -> Result<usize, Code> {
        let index = usize::try_from(index).map_err(|_| Code::INVALID_ARGUMENT)?;
        self.order.get(index).copied().ok_or(Code::INVALID_ARGUMENT)
    }
}

/// One spec for each GPU.
fn spread(scenario: &Scenario) -> Result<Vec<crate::scenario::Gpu>, Mistake> {
    let mut all = Vec::new();
    for spec in &scenario.gpus {
        for _ in 0..spec.count {
            all.push(crate::scenario::Gpu { count: 1, ..spec.clone() });
        }
        let named = spec.uuid.is_some() || spec.pci.is_some() || spec.serial.is_some();
        if named && spec.count != 1 {
            return Err(Mistake("several GPUs can't share an identity".into()));
        }
    }
    if all.len() >= PLACES {
        return Err(Mistake(format!("more than {} GPUs", PLACES - 1)));
    }
    Ok(all)
}

/// The first two numbers of a driver's version.
pub(crate) fn version(driver: &str) -> (u32, u32) {
    let mut parts = driver.split('.').map(|part| part.parse().unwrap_or(0));
    (parts.next().unwrap_or(0), parts.next().unwrap_or(0))
}
