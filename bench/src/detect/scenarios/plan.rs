//! Which faults and confusers come when: apart from each other, after the hours in which a
//! detector learns, and so that what they do can be seen.

use super::fault::{Component, Fault};
use super::rng::Rng;
use super::spec::{Class, Confuser, FaultSpec, Scope, Spec};
use super::world::{BOUNDARIES, Fleet, seconds};

/// Least and most room between two faults of a node beyond the spacing, seconds.
const NODE_GAP_S: [f64; 2] = [1200.0, 7200.0];
/// The same for the domain.
const DOMAIN_GAP_S: [f64; 2] = [300.0, 2400.0];
/// Tries to place a fault before another kind is taken.
const TRIES: usize = 40;

/// The time of a run, Unix seconds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Span {
    pub(crate) begin_s: i64,
    /// Learning ends.
    pub(crate) warm_s: i64,
    pub(crate) end_s: i64,
}

/// Something that looks like a fault.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Calm {
    pub(crate) kind: Confuser,
    pub(crate) node: usize,
    pub(crate) begin_s: i64,
    pub(crate) end_s: i64,
}

/// A gang that a fault shows in, or ends.
struct Reserved {
    gang: usize,
    begin_s: i64,
    end_s: i64,
}

struct Planner<'a> {
    spec: &'a Spec,
    fleet: &'a Fleet,
    span: Span,
    rng: Rng,
    faults: Vec<Fault>,
    reserved: Vec<Reserved>,
}

/// The faults of a run, by time.
pub(crate) fn faults(spec: &Spec, fleet: &Fleet, span: Span, seed: u64) -> Vec<Fault> {
    let rng = Rng::new(seed, 2);
    let (faults, reserved) = (Vec::new(), Vec::new());
    let mut planner = Planner { spec, fleet, span, rng, faults, reserved };
    planner.row(None, DOMAIN_GAP_S);
    for node in 0..spec.physics.fleet.nodes {
        planner.row(Some(node), NODE_GAP_S);
    }
    planner.faults.sort_by_key(|f| (f.begin_s, f.root));
    planner.faults
}

impl Planner<'_> {
    /// One after the other: those of a node, or of the domain.
    fn row(&mut self, node: Option<usize>, gap: [f64; 2]) {
        let spec = self.spec;
        let mine =
            |f: &&FaultSpec| matches!(f.scope, Scope::Domain | Scope::Boundary) == node.is_none();
        let kinds: Vec<&FaultSpec> = spec.faults.iter().filter(mine).collect();
        let after = spec.runs.spacing.after_s;
        let mut at = self.span.warm_s + seconds(self.rng.between(0.0, gap[1]));
        let mut deck: Vec<&FaultSpec> = Vec::new();
        while at < self.span.end_s {
            let mut placed = None;
            for _ in 0..TRIES {
                if deck.is_empty() {
                    deck.clone_from(&kinds);
                    self.rng.shuffle(&mut deck);
                }
                let Some(kind) = deck.pop() else { break };
                placed = self.place(kind, node, at);
                if placed.is_some() {
                    break;
                }
                // Not now: later.
                deck.insert(0, kind);
            }
            at = match placed {
                Some(end_s) => end_s + after + seconds(self.rng.between(gap[0], gap[1])),
                None => at + 600,
            };
        }
    }

    /// Begins one at a time, if it can be seen there; when it ends.
    fn place(&mut self, kind: &FaultSpec, node: Option<usize>, begin_s: i64) -> Option<i64> {
        let [shortest, longest] = kind.duration_s;
        let end_s = begin_s + seconds(self.rng.between(shortest, longest));
        if end_s + 900 > self.span.end_s {
            return None;
        }
        let size = &self.spec.physics.fleet;
        let root = match (kind.scope, node) {
            (Scope::Domain, _) => Component::Domain,
            (Scope::Boundary, _) => Component::Boundary(self.rng.below(BOUNDARIES)),
            (Scope::Node, Some(node)) => Component::Node(node),
            (Scope::Pf, Some(node)) => self.port(node, (begin_s, end_s), kind.class),
            (Scope::Vf, Some(node)) => {
                Component::Vf(node, self.rng.below(size.pfs), self.rng.below(size.vfs))
            }
            (Scope::Gpu, Some(node)) => Component::Gpu(node, self.rng.below(size.gpus)),
            (Scope::TrainingGpu, Some(node)) => {
                let gpu = self.rng.below(size.gpus);
                let gang = self.fleet.gang_of(node, gpu)?;
                if !gang.runs(begin_s, end_s) {
                    return None;
                }
                Component::Gpu(node, gpu)
            }
            _ => return None,
        };
        self.reserve(kind, root, (begin_s, end_s))?;
        let affected = self.affected(kind.class, root);
        let parameters = kind.draw(&mut self.rng);
        let draw = self.rng.share();
        self.faults.push(Fault {
            class: kind.class,
            group: kind.group,
            begin_s,
            end_s,
            root,
            affected,
            parameters,
            draw,
            strength: 0.0,
            observable_ms: None,
        });
        Some(end_s)
    }

    /// A port; not that of PTP while something else is wrong with the domain.
    fn port(&mut self, node: usize, (begin_s, end_s): (i64, i64), class: Class) -> Component {
        let taken = class == Class::LinkFlap
            && self.faults.iter().any(|f| {
                matches!(f.root, Component::Domain | Component::Boundary(_))
                    && f.begin_s < end_s + 900
                    && begin_s < f.end_s + 900
            });
        let pf = self.rng.below(self.spec.physics.fleet.pfs);
        Component::Pf(node, if taken { self.spec.physics.fleet.pfs - 1 } else { pf })
    }

    /// What shows in the step of a gang, or ends it, has the gang for itself.
    fn reserve(
        &mut self,
        kind: &FaultSpec,
        root: Component,
        (begin_s, end_s): (i64, i64),
    ) -> Option<()> {
        let gpus: Vec<usize> = match root {
            Component::Gpu(_, gpu) => vec![gpu],
            Component::Node(_) if kind.class == Class::PowerBrake => {
                (0..self.spec.physics.fleet.gpus).collect()
            }
            _ => return Some(()),
        };
        let node = root.node()?;
        let (begin_s, end_s) = (begin_s - 300, end_s + 900);
        let mut wanted: Vec<usize> =
            gpus.iter().filter_map(|gpu| self.fleet.gang_number(node, *gpu)).collect();
        wanted.dedup();
        let is_taken =
            |r: &Reserved| wanted.contains(&r.gang) && r.begin_s < end_s && begin_s < r.end_s;
        if self.reserved.iter().any(is_taken) {
            return None;
        }
        let all = wanted.into_iter().map(|gang| Reserved { gang, begin_s, end_s });
        self.reserved.extend(all);
        Some(())
    }

    /// What else is expected to show it.
    fn affected(&self, class: Class, root: Component) -> Vec<Component> {
        let size = &self.spec.physics.fleet;
        let gpus = |node: usize| (0..size.gpus).map(move |gpu| Component::Gpu(node, gpu));
        let vfs = |node: usize, pf: usize| (0..size.vfs).map(move |v| Component::Vf(node, pf, v));
        let peers = |node: usize, gpu: usize| {
            let gang = self.fleet.gang_of(node, gpu);
            let members = gang.map(|g| g.members.clone()).unwrap_or_default();
            members.into_iter().map(|(node, gpu)| Component::Gpu(node, gpu))
        };
        let mut affected: Vec<Component> = match root {
            Component::Domain => (0..size.nodes)
                .map(Component::Ptp)
                .chain((0..BOUNDARIES).map(Component::Boundary))
                .collect(),
            Component::Boundary(boundary) => (0..size.nodes)
                .filter(|node| node % BOUNDARIES == boundary)
                .map(Component::Ptp)
                .chain([Component::Domain])
                .collect(),
            Component::Node(node) if class == Class::PowerBrake => {
                gpus(node).chain((0..size.gpus).flat_map(|gpu| peers(node, gpu))).collect()
            }
            Component::Gpu(node, gpu) => {
                gpus(node).chain(peers(node, gpu)).chain([Component::Node(node)]).collect()
            }
            Component::Pf(node, pf) => {
                let clock = (pf == 0).then_some(Component::Ptp(node));
                vfs(node, pf).chain(clock).chain([Component::Node(node)]).collect()
            }
            Component::Vf(node, pf, _) => vec![Component::Pf(node, pf)],
            _ => Vec::new(),
        };
        let jobs: Vec<Component> = affected
            .iter()
            .chain([&root])
            .filter_map(|component| match *component {
                Component::Gpu(node, gpu) => self.fleet.gang_number(node, gpu),
                _ => None,
            })
            .map(Component::Job)
            .collect();
        affected.extend(jobs);
        affected.sort_unstable();
        affected.dedup();
        affected.retain(|component| *component != root);
        affected
    }
}

/// What looks like faults in a run, by time.
pub(crate) fn calm(spec: &Spec, span: Span, seed: u64) -> Vec<Calm> {
    let mut rng = Rng::new(seed, 3);
    let nodes = spec.physics.fleet.nodes;
    let days = (span.end_s - span.warm_s) as f64 / 86_400.0;
    let mut list: Vec<Calm> = Vec::new();
    for confuser in &spec.confusers {
        let expected = confuser.per_node_day * nodes as f64 * days;
        // One of each kind at least.
        let count = seconds(rng.poisson(expected).max(1.0));
        for _ in 0..count {
            let [shortest, longest] = confuser.duration_s;
            let length = seconds(rng.between(shortest, longest));
            let latest = (span.end_s - length - 1200).max(span.warm_s + 1);
            let begin_s = seconds(rng.between(span.warm_s as f64, latest as f64));
            let (node, end_s) = (rng.below(nodes), begin_s + length);
            let apart =
                |c: &Calm| c.node != node || c.end_s + 900 < begin_s || end_s + 900 < c.begin_s;
            if list.iter().all(apart) {
                list.push(Calm { kind: confuser.kind, node, begin_s, end_s });
            }
        }
    }
    list.sort_by_key(|c| (c.begin_s, c.node));
    list
}
