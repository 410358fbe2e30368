//! The fleet: nodes, their domain, their jobs, and what time, faults and confusers do to them.
//!
//! A step is a second. Everything that is told of a node at a second is a function of its state
//! then, so that the same seed gives the same samples whatever reads them.

mod confuse;
mod effects;
mod gpu;
mod gpu_out;
mod host;
mod job;
mod nic;
mod ptp;

use std::sync::Arc;

use sextant_aggregator::catalog::Live;
use sextant_aggregator::series::{NodeId, NodeKey};
use sextant_proto::v1::{self, Event};

use self::gpu::{Gpu, Load};
use self::host::Host;
pub(crate) use self::job::seconds;
use self::job::{Gang, Phase};
use self::nic::Pf;
use self::ptp::{Clocks, Domain};
use super::contract::Contract;
use super::fault::{Component, Fault};
use super::plan::{Calm, Span};
use super::rng::Rng;
use super::shape::{Batch, Layouts, Slot, Told};
use super::spec::{Physics, Vary};

const DAY_S: f64 = 86_400.0;
pub(crate) const BOUNDARIES: usize = 2;

/// Namespace of the gangs' pods, and how their names begin; then come the gang and the rank.
const TRAINING: &str = "training";
const TRAIN: &str = "gang";

/// A node of the fleet.
pub(crate) struct Node {
    pub(crate) key: Arc<NodeKey>,
    pub(crate) gpus: Vec<Gpu>,
    pub(crate) pfs: Vec<Pf>,
    host: Host,
    clocks: Clocks,
    rng: Rng,
    inlet_noise: f64,
    /// Nothing is told before: its agent is away.
    silent_until_s: i64,
    /// The node itself is away before.
    away_until_s: i64,
    /// What is told is held back until then.
    held_until_s: i64,
    held: Vec<(Arc<Live>, i64, Vec<f64>)>,
    twice_until_s: i64,
    drained_until_s: i64,
    /// The driver is given free, for an upgrade.
    released: bool,
    events: Vec<Event>,
    /// Layouts that it has had.
    layouts: u64,
}

/// The fleet and its time.
pub(crate) struct World {
    physics: Physics,
    vary: Vary,
    pub(crate) nodes: Vec<Node>,
    gangs: Vec<Gang>,
    owner: Vec<Vec<Option<usize>>>,
    domain: Domain,
    pub(crate) faults: Vec<Fault>,
    calm: Vec<Calm>,
    active: Vec<usize>,
    next_fault: usize,
    next_calm: usize,
    calm_ends: Vec<usize>,
    layouts: Layouts,
    zone_shift_s: f64,
}

/// The jobs of a run, which faults are planned around.
pub(crate) struct Fleet {
    gangs: Vec<Gang>,
    owner: Vec<Vec<Option<usize>>>,
    vary: Vary,
}

impl Fleet {
    /// The jobs that a seed makes in a span.
    pub(crate) fn new(physics: &Physics, span: Span, seed: u64) -> Self {
        let mut rng = Rng::new(seed, 1);
        let vary = physics.vary.moved(&mut rng);
        let size = (physics.fleet.nodes, physics.fleet.gpus);
        let span = (span.begin_s, span.end_s);
        let (gangs, owner) = job::plan(size, span, &physics.job, &vary, &mut rng);
        Self { gangs, owner, vary }
    }

    /// The number of the gang that a GPU belongs to.
    pub(crate) fn gang_number(&self, node: usize, gpu: usize) -> Option<usize> {
        self.owner[node][gpu]
    }

    /// The gang that a GPU belongs to.
    pub(crate) fn gang_of(&self, node: usize, gpu: usize) -> Option<&Gang> {
        self.gang_number(node, gpu).map(|gang| &self.gangs[gang])
    }
}

impl World {
    /// A fleet with its jobs, and what will happen to it, by time.
    pub(crate) fn new(
        physics: &Physics,
        fleet: Fleet,
        (faults, calm): (Vec<Fault>, Vec<Calm>),
        contract: Contract,
        seed: u64,
    ) -> Self {
        let Fleet { gangs, owner, vary } = fleet;
        let node = |number: usize| {
            let mut rng = Rng::new(seed, 1000 + number as u64);
            let id = NodeId(u32::try_from(number).expect("a fleet of thousands at most"));
            let name = format!("node-{number:04}").into();
            let key = Arc::new(NodeKey { id, cluster: "scenarios".into(), name });
            let size = &physics.fleet;
            let gpus =
                (0..size.gpus).map(|gpu| Gpu::new((number, gpu), &vary.gpu, &mut rng)).collect();
            let pfs: Vec<Pf> =
                (0..size.pfs).map(|pf| Pf::new(pf, size.vfs, &vary.network, &mut rng)).collect();
            let host = Host::new(size.cpus, physics.start_unix_s, &vary.host, &mut rng);
            let (iface, pci) = (&pfs[0].name, &pfs[0].pci);
            let clocks = Clocks::new(number % BOUNDARIES, iface, pci, &vary.ptp, &mut rng);
            Node {
                key,
                gpus,
                pfs,
                host,
                clocks,
                rng,
                inlet_noise: 0.0,
                silent_until_s: 0,
                away_until_s: 0,
                held_until_s: 0,
                held: Vec::new(),
                twice_until_s: 0,
                drained_until_s: 0,
                released: false,
                events: Vec::new(),
                layouts: 0,
            }
        };
        let mut nodes: Vec<Node> = (0..physics.fleet.nodes).map(node).collect();
        for (number, gang) in gangs.iter().enumerate() {
            for (rank, (node, gpu)) in gang.members.iter().enumerate() {
                nodes[*node].gpus[*gpu].pod = (TRAINING, format!("{TRAIN}{number}-{rank}"));
            }
        }
        Self {
            nodes,
            physics: physics.clone(),
            vary,
            gangs,
            owner,
            domain: Domain::default(),
            faults,
            calm,
            active: Vec::new(),
            next_fault: 0,
            next_calm: 0,
            calm_ends: Vec::new(),
            layouts: Layouts::new(contract),
            zone_shift_s: 0.0,
        }
    }

    /// Series there are or were.
    pub(crate) fn series(&self) -> usize {
        self.layouts.catalog().series_count()
    }

    /// The layouts of a node up to now, oldest first.
    pub(crate) fn layouts_of(&self, node: usize) -> Vec<Arc<Live>> {
        self.layouts.catalog().layouts_of(self.nodes[node].key.id)
    }

    /// What looks like faults in it.
    pub(crate) fn calm(&self) -> &[Calm] {
        &self.calm
    }

    /// How often a layout was new on a node.
    pub(crate) fn generation(&self, node: usize) -> u64 {
        self.nodes[node].layouts
    }

    /// A component as incidents name it.
    pub(crate) fn named(&self, wire: &v1::Component) -> Component {
        let job = || wire.name.strip_prefix(TRAINING)?.strip_prefix('/')?.strip_prefix(TRAIN);
        match wire.kind.as_str() {
            "grandmaster" => return Component::Domain,
            "workload" => {
                let number = job().and_then(|number| number.parse().ok());
                return number.map_or(Component::Other, Component::Job);
            }
            _ => {}
        }
        let Some(number) = self.nodes.iter().position(|n| *n.key.name == *wire.node) else {
            return Component::Other;
        };
        let name = wire.name.as_str();
        let vf = || {
            let pfs = self.nodes[number].pfs.iter().enumerate();
            let mut all = pfs.flat_map(|(pf, p)| p.vfs.iter().enumerate().map(move |v| (pf, v)));
            let (pf, (vf, _)) = all.find(|(_, (_, vf))| vf.pci == name)?;
            Some(Component::Vf(number, pf, vf))
        };
        let label = |wanted: &str| match (wire.kind.as_str(), wanted) {
            ("gpu" | "mig", "uuid") | ("pci", "pci_bus_id") => Some(name.to_owned()),
            ("pf", "pf") | ("netdev", "device") => Some(name.to_owned()),
            _ => None,
        };
        match wire.kind.as_str() {
            "vf" => vf().unwrap_or(Component::Other),
            // The card: that of both ports, of which one is as good as the other.
            "nic" => Component::Pf(number, 0),
            kind => self.nodes[number].component(number, kind, "", label),
        }
    }

    /// Goes on to a second, which follows the last one, and tells what happened.
    pub(crate) fn step(&mut self, now_s: i64, batch: &mut Batch) {
        batch.clear();
        self.confuse(now_s);
        self.fail(now_s);
        let day = self.day(now_s);
        if now_s % self.physics.tiers.gpu_fast == 0 {
            self.step_gpus(now_s, day);
        }
        let tiers = self.physics.tiers.clone();
        for number in 0..self.nodes.len() {
            let node = &mut self.nodes[number];
            let link = node.pfs[0].up && now_s >= node.away_until_s;
            let Node { clocks, rng, events, .. } = node;
            clocks.step((now_s, day, link), &self.domain, &self.vary.ptp, rng, events);
            for pf in &mut node.pfs {
                pf.step(day, &self.vary.network, &mut node.rng);
                if now_s % tiers.vf == 0 {
                    pf.step_vfs(day, &self.vary.network, &mut node.rng);
                }
            }
            if now_s % tiers.host == 0 {
                let busy = node.gpus.iter().filter(|g| g.load.busy > 0.3).count() as f64;
                let work = busy / node.gpus.len().max(1) as f64;
                let Node { host, rng, .. } = node;
                host.step(tiers.host as f64, (day, work), &self.vary.host, rng);
            }
            self.tell(number, now_s, batch);
        }
        self.note_observable(now_s);
    }

    /// -1 in the small hours, 1 in the afternoon; weekends are flatter.
    fn day(&self, now_s: i64) -> f64 {
        let local = now_s as f64 + self.zone_shift_s;
        let wave = (std::f64::consts::TAU * (local / DAY_S - 0.6)).cos();
        let weekday = (local / DAY_S + 4.0).rem_euclid(7.0);
        if (1.0..6.0).contains(&weekday) { wave } else { 0.5 * wave - 0.2 }
    }

    fn step_gpus(&mut self, now_s: i64, day: f64) {
        for gang in &mut self.gangs {
            let slowness = |(node, gpu): &(usize, usize)| self.nodes[*node].gpus[*gpu].slowness();
            gang.pace = gang.members.iter().map(slowness).fold(1.0, f64::max);
            let drained = |(node, _): &(usize, usize)| now_s < self.nodes[*node].drained_until_s;
            let lost = |(node, gpu): &(usize, usize)| self.nodes[*node].gpus[*gpu].lost;
            if gang.members.iter().any(|m| drained(m) || lost(m)) {
                gang.abort(now_s);
            }
        }
        let dt = self.physics.tiers.gpu_fast as f64;
        let (vary, gangs) = (&self.vary, &self.gangs);
        for (node, owners) in self.nodes.iter_mut().zip(&self.owner) {
            node.inlet_noise =
                0.98 * node.inlet_noise + vary.room.get("inlet_noise_kelvin") * node.rng.normal();
            let inlet = 24.0 + vary.room.get("inlet_daily_kelvin") * day + node.inlet_noise;
            let away = now_s < node.drained_until_s || node.released;
            for (gpu, owner) in node.gpus.iter_mut().zip(owners) {
                let load = match owner {
                    _ if away => idle(),
                    Some(gang) => training(&gangs[*gang], now_s, gpu, &mut node.rng),
                    None => serving(day, &mut node.rng),
                };
                gpu.step(dt, inlet, load, &vary.gpu, &mut node.rng);
            }
        }
    }

    fn tell(&mut self, number: usize, now_s: i64, batch: &mut Batch) {
        let Self { nodes, layouts, physics, .. } = self;
        let node = &mut nodes[number];
        if now_s < node.silent_until_s {
            node.events.clear();
            return;
        }
        let time_ms = now_s * 1000;
        for mut event in node.events.drain(..) {
            event.time_unix_ms = time_ms;
            batch.events.push((number, event));
        }
        let node = &nodes[number];
        let tiers = &physics.tiers;
        let at = (number, &node.key);
        let first = batch.ticks.len();
        let gpu_key = gpu_out::key(&node.gpus, node.released);
        let due = |interval_s: i64| now_s % interval_s == 0;
        let slot = |collector, tier, interval_s| Slot { collector, tier, interval_s };
        let (gpus, released) = (&node.gpus, node.released);
        if due(tiers.gpu_fast) {
            layouts.tell(at, slot("gpu", 0, tiers.gpu_fast), gpu_key, time_ms, batch, |out| {
                gpu_out::fast(gpus, released, out);
            });
        }
        if due(tiers.gpu_medium) {
            layouts.tell(at, slot("gpu", 1, tiers.gpu_medium), gpu_key, time_ms, batch, |out| {
                gpu_out::medium(gpus, released, now_s, out);
            });
        }
        if due(tiers.gpu_slow) {
            layouts.tell(at, slot("gpu", 2, tiers.gpu_slow), gpu_key, time_ms, batch, |out| {
                gpu_out::slow(gpus, released, out);
            });
        }
        if due(tiers.host) {
            layouts.tell(at, slot("host", 0, tiers.host), 0, time_ms, batch, |out| {
                node.host.emit(now_s, out);
                node.pfs.iter().for_each(|pf| pf.emit_netdev(out));
            });
        }
        if due(tiers.ptp) {
            let key = node.clocks.key();
            layouts.tell(at, slot("ptp", 0, tiers.ptp), key, time_ms, batch, |out| {
                node.clocks.emit(out);
            });
        }
        if due(tiers.pf) {
            layouts.tell(at, slot("sriov", 0, tiers.pf), 0, time_ms, batch, |out| {
                node.pfs.iter().for_each(|pf| pf.emit_fast(out));
            });
        }
        if due(tiers.vf) {
            layouts.tell(at, slot("sriov", 1, tiers.vf), 0, time_ms, batch, |out| {
                node.pfs.iter().for_each(|pf| pf.emit_slow(out));
            });
        }
        if due(tiers.agent) {
            layouts.tell(at, slot("agent", 0, tiers.agent), 0, time_ms, batch, |out| {
                node.host.emit_agent(out);
            });
        }
        nodes[number].layouts = layouts.of(number);
        deliver(&mut nodes[number], number, now_s, first, batch);
    }

    /// What an effect has made visible in the samples of this second.
    fn note_observable(&mut self, now_s: i64) {
        let Self { faults, active, nodes, physics, .. } = self;
        for index in active.iter() {
            let fault = &mut faults[*index];
            if fault.observable_ms.is_none() && effects::is_visible(fault, nodes, physics, now_s) {
                fault.shows(now_s);
            }
        }
    }
}

/// What an agent that is cut off or repeats itself makes of the ticks from `first` on.
fn deliver(node: &mut Node, number: usize, now_s: i64, first: usize, batch: &mut Batch) {
    if now_s < node.held_until_s {
        let held = batch.ticks.drain(first..).collect::<Vec<_>>();
        for tick in held {
            let values = batch.values[tick.from..tick.to].to_vec();
            node.held.push((tick.live, tick.time_ms, values));
        }
        return;
    }
    if !node.held.is_empty() {
        // What was held comes before what is new.
        let new = batch.ticks.split_off(first);
        for (live, time_ms, values) in node.held.drain(..) {
            let from = batch.values.len();
            batch.values.extend_from_slice(&values);
            let to = batch.values.len();
            batch.ticks.push(Told { node: number, live, time_ms, from, to });
        }
        batch.ticks.extend(new);
    }
    if now_s < node.twice_until_s {
        let again = first..batch.ticks.len();
        for index in again {
            let tick = &batch.ticks[index];
            let live = Arc::clone(&tick.live);
            let copy = Told { live, ..*tick };
            batch.ticks.push(copy);
        }
    }
}

fn idle() -> Load {
    Load { busy: 0.0, activity: 0.0, links: 0.0, pcie: 2e6, memory_share: 0.007 }
}

fn training(gang: &Gang, now_s: i64, gpu: &Gpu, rng: &mut Rng) -> Load {
    let noise = 1.0 + 0.008 * rng.normal();
    match gang.phase(now_s) {
        Phase::Idle => idle(),
        Phase::Starting => Load {
            busy: rng.between(0.0, 0.25),
            activity: rng.between(0.0, 0.1),
            links: 1e6,
            pcie: 4e9 * noise,
            memory_share: 0.35,
        },
        Phase::Checkpoint => Load {
            busy: rng.between(0.0, 0.08),
            activity: 0.02,
            links: 1e6,
            pcie: 6e9 * noise,
            memory_share: 0.86,
        },
        Phase::Running { intensity, collective } => {
            // Its own part of the step over the whole step; the rest it waits in a collective,
            // whose kernel keeps it busy by NVML's measure.
            let own = (gpu.slowness() / gang.pace).min(1.0);
            let by_clock = if gpu.effects.by_memory { gpu.effects.slower } else { 1.0 };
            let activity = intensity * (1.0 - collective) * own / by_clock * noise;
            Load {
                busy: (0.985 + 0.01 * rng.normal()).clamp(0.9, 1.0),
                activity: activity + 0.05 * intensity,
                links: 1.1e11 * intensity / gang.pace * noise,
                pcie: 9e8 / gang.pace * noise,
                memory_share: 0.86,
            }
        }
    }
}

fn serving(day: f64, rng: &mut Rng) -> Load {
    let busy = ((0.45 + 0.3 * day) * (0.25 * rng.normal()).exp()).clamp(0.0, 1.0);
    Load { busy, activity: 0.6 * busy, links: 0.0, pcie: 2e8 * busy, memory_share: 0.92 }
}

impl Node {
    /// A component of this node, by what a finding says it is about.
    pub(crate) fn component(
        &self,
        number: usize,
        kind: &str,
        metric: &str,
        label: impl Fn(&str) -> Option<String>,
    ) -> Component {
        let pf = |name: &str| self.pfs.iter().position(|pf| pf.name == name || pf.pci == name);
        let vf_of = |pf: usize, vf: &str| {
            let found = self.pfs[pf].vfs.iter().position(|v| v.number == vf || v.pci == vf);
            found.map(|vf| Component::Vf(number, pf, vf))
        };
        let found = match kind {
            "gpu" | "mig" | "pci" => label("uuid")
                .and_then(|uuid| self.gpus.iter().position(|g| g.uuid == uuid))
                .or_else(|| {
                    let pci = label("pci_bus_id")?;
                    self.gpus.iter().position(|g| g.pci == pci)
                })
                .map(|gpu| Component::Gpu(number, gpu)),
            "pf" => label("pf").and_then(|name| pf(&name)).map(|pf| Component::Pf(number, pf)),
            "netdev" => {
                label("device").and_then(|name| pf(&name)).map(|pf| Component::Pf(number, pf))
            }
            "vf" => label("pf")
                .and_then(|name| pf(&name))
                .zip(label("vf"))
                .and_then(|(pf, vf)| vf_of(pf, &vf)),
            _ if kind.starts_with("ptp") || matches!(kind, "phc" | "dpll" | "gnss") => {
                Some(Component::Ptp(number))
            }
            "node" if metric.starts_with("ptp_") => Some(Component::Ptp(number)),
            _ => None,
        };
        found.unwrap_or(Component::Node(number))
    }
}
