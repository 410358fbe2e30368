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
mod load;
mod names;
mod nic;
mod ptp;
mod tell;
mod visible;

use std::sync::Arc;

use sextant_aggregator::catalog::Live;
use sextant_aggregator::series::{NodeId, NodeKey};
use sextant_proto::v1::Event;

use self::gpu::Gpu;
use self::host::Host;
use self::job::Gang;
pub(crate) use self::job::seconds;
use self::nic::Pf;
use self::ptp::{Clocks, Domain};
use super::contract::Contract;
use super::fault::Fault;
use super::plan::{Calm, Span};
use super::rng::Rng;
use super::shape::{Batch, Layouts};
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
                    _ if away => load::idle(),
                    Some(gang) => load::training(&gangs[*gang], now_s, gpu, &mut node.rng),
                    None => load::serving(day, &mut node.rng),
                };
                gpu.step(dt, inlet, load, &vary.gpu, &mut node.rng);
            }
        }
    }

    /// What an effect has made visible in the samples of this second.
    fn note_observable(&mut self, now_s: i64) {
        let Self { faults, active, nodes, physics, .. } = self;
        for index in active.iter() {
            let fault = &mut faults[*index];
            if fault.observable_ms.is_none() && visible::is_visible(fault, nodes, physics, now_s) {
                fault.shows(now_s);
            }
        }
    }
}
