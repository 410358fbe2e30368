//! Which component of the fleet a finding or an incident is about, by the names that it gives.

use sextant_proto::v1;

use super::super::fault::Component;
use super::{Node, TRAIN, TRAINING, World};

impl World {
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
