//! Faults and what is true of them: when, of what, what else shows it, and since when it can be
//! seen.

use super::spec::{Class, Group, Numbers};

/// A thing that fails or is affected. Numbers of nodes are those of the fleet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Component {
    /// The grandmaster of the PTP domain.
    Domain,
    /// One of the boundary clocks.
    Boundary(usize),
    Node(usize),
    Gpu(usize, usize),
    /// All that steers or follows a clock on a node.
    Ptp(usize),
    Pf(usize, usize),
    Vf(usize, usize, usize),
    /// A gang's job.
    Job(usize),
    /// What no fault is about.
    Other,
}

impl Component {
    /// The node that it is on.
    pub(crate) fn node(self) -> Option<usize> {
        match self {
            Self::Domain | Self::Boundary(_) | Self::Job(_) | Self::Other => None,
            Self::Node(node)
            | Self::Gpu(node, _)
            | Self::Ptp(node)
            | Self::Pf(node, _)
            | Self::Vf(node, ..) => Some(node),
        }
    }
}

/// One fault, and its truth.
#[derive(Debug, Clone)]
pub(crate) struct Fault {
    pub(crate) class: Class,
    pub(crate) group: Group,
    /// Unix seconds.
    pub(crate) begin_s: i64,
    pub(crate) end_s: i64,
    pub(crate) root: Component,
    /// What else is expected to show it.
    pub(crate) affected: Vec<Component>,
    pub(crate) parameters: Numbers,
    /// A draw for what is true in a share of the cases.
    pub(crate) draw: f64,
    /// What an effect works out once from the state that it meets; 0 before.
    pub(crate) strength: f64,
    /// The time of the first sample or event that is not as without it.
    pub(crate) observable_ms: Option<i64>,
}

impl Fault {
    /// A parameter.
    pub(crate) fn get(&self, name: &str) -> f64 {
        self.parameters.get(name)
    }

    /// How much of it is over, 0 to 1.
    pub(crate) fn progress(&self, now_s: i64) -> f64 {
        let whole = (self.end_s - self.begin_s).max(1);
        ((now_s - self.begin_s) as f64 / whole as f64).clamp(0.0, 1.0)
    }

    /// A sample shows it now.
    pub(crate) fn shows(&mut self, now_s: i64) {
        self.observable_ms.get_or_insert(now_s * 1000);
    }

    /// Whether a finding about this is one of it.
    pub(crate) fn concerns(&self, component: Component) -> bool {
        self.root == component || self.affected.contains(&component)
    }
}
