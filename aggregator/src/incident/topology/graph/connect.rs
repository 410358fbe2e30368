//! What the info series of a node say: what is linked with what, whose it is, whom it follows.

use std::sync::Arc;

use sextant_proto::v1::Label;

use super::{Graph, NodeName, component, wire};
use crate::incident::topology::facts::{Fact, workload};
use crate::incident::topology::{Component, Names, Number, Tenant};

impl Graph {
    /// What an info series says of connections.
    pub(super) fn connect(&mut self, names: &mut Names, key: &NodeName, fact: &Fact) {
        let labels: Vec<Label> = fact.entity.iter().map(wire).collect();
        let at = self.vertex(names, key, &fact.entity_type, &labels);
        match &*fact.metric {
            "gpu_info" => self.alias("pci", fact.label("pci_bus_id"), at),
            "gpu_mig_info" => {
                if let Some(gpu) = fact.label("gpu_uuid") {
                    let gpu = self.named(names, key, "gpu", gpu);
                    self.part_of(at, gpu);
                }
            }
            "gpu_nvlink_info" => {
                if let Some(remote) = fact.label("remote_pci_bus_id") {
                    let alias = self.aliases.get(&("pci", remote.to_owned())).copied();
                    let remote = alias.unwrap_or_else(|| self.named(names, key, "pci", remote));
                    self.link(at, remote);
                }
            }
            "sriov_pf_info" => {
                if let Some(phc) = fact.label("phc") {
                    let phc = self.named(names, key, "phc", phc);
                    self.link(at, phc);
                }
            }
            "sriov_vf_info" => self.alias("netdev", fact.label("netdev"), at),
            "sriov_dpdk_port_info" => {
                let vf = fact.label("name").and_then(|n| self.aliases.get(&("pci", n.to_owned())));
                if let Some(vf) = vf.copied() {
                    self.part_of(at, vf);
                }
            }
            "ptp_phc_info" => {
                let netdevs = fact.label("netdevs").unwrap_or_default().split(',');
                for device in netdevs.filter(|d| !d.is_empty()) {
                    let device = self.netdev(names, key, device);
                    self.link(at, device);
                }
            }
            "ptp_port_info" => {
                if let Some(phc) = fact.label("phc") {
                    let phc = self.named(names, key, "phc", phc);
                    self.link(at, phc);
                }
            }
            "ptp_dpll_pin_info" => {
                if let Some(dpll) = fact.label("dpll") {
                    let dpll = self.named(names, key, "dpll", dpll);
                    self.part_of(at, dpll);
                }
            }
            // A clock that others follow is named by its own identity.
            "ptp_instance_info" => self.follow(names, key, at, fact.label("clock_id")),
            "ptp_grandmaster_info" => self.follow(names, key, at, fact.label("grandmaster")),
            _ => {}
        }
        if fact.entity_type == "filesystem"
            && let Some(device) = fact.label("device").and_then(|d| d.strip_prefix("/dev/"))
        {
            let disks = self.vertices.iter().enumerate().filter(|(_, v)| {
                *v.component.kind == *"disk"
                    && device.strip_prefix(&*v.component.name).is_some_and(is_partition)
            });
            if let Some((disk, _)) = disks.max_by_key(|(_, v)| v.component.name.len()) {
                self.part_of(at, disk);
            }
        }
    }

    /// The number of what other nodes may share.
    pub(super) fn shared(&mut self, names: &mut Names, shared: Component) -> Number {
        let (number, component) = names.number(shared);
        if !self.held.contains(&component) {
            Arc::make_mut(&mut self.held).push(component);
        }
        number
    }

    fn follow(&mut self, names: &mut Names, key: &NodeName, at: usize, clock: Option<&str>) {
        if let Some(clock) = clock {
            let number = self.shared(names, component("grandmaster", key, false, clock));
            self.vertices[at].domains.insert(number);
        }
    }

    /// Whom a device belongs to.
    pub(super) fn name_owner(&mut self, names: &mut Names, key: &NodeName, fact: &Fact) {
        let Some(workload) = workload(fact) else { return };
        let device = match &*fact.metric {
            "gpu_pod_info" | "gpu_mig_pod_info" | "sriov_vf_pod_info" => {
                let labels: Vec<Label> = fact.entity.iter().map(wire).collect();
                Some(self.vertex(names, key, &fact.entity_type, &labels))
            }
            "pod_device_info" => fact.label("device").and_then(|device| {
                let gpu = names.number(component("gpu", key, true, device)).0;
                let by_uuid = self.by_number.get(&gpu).copied();
                by_uuid.or_else(|| self.aliases.get(&("pci", device.to_owned())).copied())
            }),
            _ => return,
        };
        let Some(device) = device else { return };
        let number = self.shared(names, component("workload", key, false, &workload));
        let vertex = &mut self.vertices[device];
        vertex.workloads.insert(number);
        let own = |name| fact.label(name).unwrap_or_default().to_owned();
        let (namespace, pod, container) = (own("namespace"), own("pod"), own("container"));
        let device_name = format!("{} {}", vertex.component.kind, vertex.component.name);
        let device = vertex.number;
        self.tenants.push(Tenant { namespace, pod, container, device, device_name });
    }

    /// A port follows what its instance follows, and so do the clocks and devices beside it; the
    /// node all of them.
    pub(super) fn spread_domains(&mut self) {
        for at in 0..self.vertices.len() {
            if &*self.vertices[at].component.kind != "ptp_instance" {
                continue;
            }
            let domains = self.vertices[at].domains.clone();
            self.domains.extend(&domains);
            for port in self.vertices[at].children.clone() {
                for other in self.vertices[port].links.clone() {
                    if &*self.vertices[other].component.kind == "phc" {
                        self.vertices[other].domains.extend(&domains);
                    }
                }
                self.vertices[port].domains.extend(&domains);
            }
        }
        for vertex in &mut self.vertices {
            if matches!(&*vertex.component.kind, "gnss" | "dpll" | "dpll_pin" | "phc")
                && vertex.domains.is_empty()
            {
                vertex.domains.extend(&self.domains);
            }
        }
    }
}

/// "1" of "sda1", "p2" of "nvme0n1p2", nothing of the whole disk.
fn is_partition(rest: &str) -> bool {
    rest.strip_prefix('p').unwrap_or(rest).bytes().all(|b| b.is_ascii_digit())
}
