//! What the kubelet's answer says, put in order and bounded.
//!
//! The kubelet lists pods in a random order, so they are sorted before anything is left out:
//! what is beyond a bound stays so. Names too long or empty and ids that cannot be labels are
//! left out and counted.

use std::collections::BTreeMap;

use sextant_proto::limits::MAX_LABEL_VALUE_BYTES;
use sextant_proto::podresources::{ContainerResources, DynamicResource, ListPodResourcesResponse};

use super::attribution::Owner;
use super::device::{Device, Form};

/// Pods that have something: four times what kubelets are made for.
const MOST_PODS: usize = 1024;
/// Devices that containers have, each container's counted.
const MOST_DEVICES: usize = 4096;
/// Containers, and pods, with CPUs of their own: there are not more CPUs.
const MOST_CPU_SETS: usize = 1024;
/// The kernel's largest number of CPUs, x86's 8192, with room.
const MOST_CPUS: i64 = 65_536;

/// A device and who has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Allocated {
    pub(super) device: Device,
    pub(super) owner: Owner,
}

/// Exclusive CPUs of a container; of a pod as a whole if `container` is empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Cpus {
    pub(super) namespace: String,
    pub(super) pod: String,
    pub(super) container: String,
    /// Sorted.
    pub(super) cpus: Vec<u32>,
}

/// What containers have.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Allocation {
    pub(super) devices: Vec<Allocated>,
    pub(super) cpus: Vec<Cpus>,
    /// Devices by resource, replicas counted as the kubelet does.
    pub(super) by_resource: BTreeMap<String, u32>,
    pub(super) malformed: u64,
    pub(super) dropped: u64,
}

impl Allocation {
    /// What the answer says.
    pub(super) fn of(mut answer: ListPodResourcesResponse) -> Self {
        let mut out = Self::default();
        let pods = &mut answer.pod_resources;
        pods.retain(|pod| !pod.cpu_ids.is_empty() || pod.containers.iter().any(has_something));
        pods.sort_by(|a, b| (&a.namespace, &a.name).cmp(&(&b.namespace, &b.name)));
        out.dropped += count(pods.len().saturating_sub(MOST_PODS));
        for pod in pods.iter().take(MOST_PODS) {
            if !is_name(&pod.namespace) || !is_name(&pod.name) {
                out.malformed += 1;
                continue;
            }
            let owner = Owner {
                namespace: pod.namespace.clone(),
                pod: pod.name.clone(),
                container: String::new(),
                resource: String::new(),
                uid: None,
                shared: false,
            };
            out.cpus(&owner, &pod.cpu_ids);
            for container in pod.containers.iter().filter(|c| has_something(c)) {
                if is_name(&container.name) {
                    let owner = Owner { container: container.name.clone(), ..owner.clone() };
                    out.container(&owner, container);
                } else {
                    out.malformed += 1;
                }
            }
        }
        out
    }

    fn container(&mut self, owner: &Owner, container: &ContainerResources) {
        self.cpus(owner, &container.cpu_ids);
        for given in &container.devices {
            for id in &given.device_ids {
                self.device(owner, &given.resource_name, Device::plugin(id));
            }
        }
        for resource in container.dynamic_resources.iter() {
            self.claim(owner, resource);
        }
    }

    fn claim(&mut self, owner: &Owner, claim: &DynamicResource) {
        for device in &claim.claim_resources {
            let shared = device.share_id.is_some();
            let driver = &device.driver_name;
            if !device.device_name.is_empty() {
                let claimed = Device::claimed(driver, &device.device_name, shared);
                self.device(owner, driver, claimed);
                continue;
            }
            // Before Kubernetes 1.32 there are only names for the runtime: "vendor/class=name".
            for cdi in &device.cdi_devices {
                let (kind, name) = cdi.name.split_once('=').unwrap_or(("", ""));
                let driver = if driver.is_empty() { kind } else { driver };
                self.device(owner, driver, Device::claimed(driver, name, shared));
            }
        }
    }

    fn device(&mut self, owner: &Owner, resource: &str, device: Option<Device>) {
        let Some(device) = device.filter(|_| is_name(resource)) else {
            self.malformed += 1;
            return;
        };
        if device.form == Form::Odd {
            self.malformed += 1;
        }
        if self.devices.len() >= MOST_DEVICES {
            self.dropped += 1;
            return;
        }
        *self.by_resource.entry(resource.to_owned()).or_default() += 1;
        let owner = Owner { resource: resource.into(), shared: device.shared, ..owner.clone() };
        self.devices.push(Allocated { device, owner });
    }

    fn cpus(&mut self, owner: &Owner, ids: &[i64]) {
        let fits = |id: &i64| (0..MOST_CPUS).contains(id);
        let (good, odd): (Vec<i64>, Vec<i64>) = ids.iter().partition(|id| fits(id));
        self.malformed += count(odd.len());
        let mut cpus: Vec<u32> = good.iter().filter_map(|id| u32::try_from(*id).ok()).collect();
        if cpus.is_empty() {
            return;
        }
        if self.cpus.len() >= MOST_CPU_SETS {
            self.dropped += 1;
            return;
        }
        cpus.sort_unstable();
        cpus.dedup();
        self.cpus.push(Cpus {
            namespace: owner.namespace.clone(),
            pod: owner.pod.clone(),
            container: owner.container.clone(),
            cpus,
        });
    }
}

fn has_something(container: &ContainerResources) -> bool {
    !container.devices.is_empty()
        || !container.cpu_ids.is_empty()
        || !container.dynamic_resources.is_empty()
}

fn is_name(name: &str) -> bool {
    !name.is_empty() && name.len() <= MAX_LABEL_VALUE_BYTES && !name.chars().any(char::is_control)
}

fn count(entries: usize) -> u64 {
    entries as u64
}

#[cfg(test)]
mod tests {
    use sextant_proto::podresources::{CdiDevice, ClaimResource, ContainerDevices, PodResources};

    use super::*;

    fn container(name: &str, resource: &str, ids: &[&str]) -> ContainerResources {
        let device_ids = ids.iter().map(|id| (*id).into()).collect();
        let devices =
            vec![ContainerDevices { resource_name: resource.into(), device_ids, topology: None }];
        ContainerResources { name: name.into(), devices, ..Default::default() }
    }

    fn pod(name: &str, containers: Vec<ContainerResources>) -> PodResources {
        PodResources { name: name.into(), namespace: "ns".into(), containers, ..Default::default() }
    }

    fn of(pod_resources: Vec<PodResources>) -> Allocation {
        Allocation::of(ListPodResourcesResponse { pod_resources })
    }

    #[test]
    fn order_of_the_answer_does_not_matter() {
        let pods: Vec<_> =
            (0..20).map(|n| pod(&format!("p{n:02}"), vec![container("c", "r", &["x"])])).collect();
        let reversed = pods.iter().rev().cloned().collect();
        let forward = of(pods);
        assert_eq!(forward.devices.len(), 20);
        assert_eq!(forward.by_resource, BTreeMap::from([("r".into(), 20)]));
        assert_eq!(of(reversed), forward);
    }

    #[test]
    fn what_is_beyond_a_bound_is_counted() {
        let many = |count: usize, ids: &[&str]| {
            let one = |n| pod(&format!("p{n:05}"), vec![container("c", "r", ids)]);
            (0..count).map(one).collect::<Vec<_>>()
        };
        let pods = of(many(MOST_PODS + 7, &["x"]));
        assert_eq!((pods.devices.len(), pods.dropped), (MOST_PODS, 7));
        let devices = of(many(MOST_PODS, &["a", "b", "c", "d", "e"]));
        assert_eq!((devices.devices.len(), devices.dropped), (MOST_DEVICES, MOST_PODS as u64));
        let idle = ContainerResources { name: "c".into(), ..Default::default() };
        let idle =
            of((0..MOST_PODS * 2).map(|n| pod(&n.to_string(), vec![idle.clone()])).collect());
        assert_eq!(idle, Allocation::default());
    }

    #[test]
    fn malformed_entries_cost_only_themselves() {
        let bad = ["", "GPU-0", "a\tb", "fine"];
        let mut nameless = pod("", vec![container("c", "r", &["x"])]);
        let mut cpus = pod("cpus", vec![]);
        cpus.cpu_ids = vec![3, -1, 1, i64::MAX, 3];
        let found = of(vec![
            pod("p", vec![container("c", "r", &bad), container("", "r", &["x"])]),
            pod("q", vec![container("c", "", &["x"])]),
            nameless.clone(),
            cpus,
        ]);
        let ids: Vec<_> = found.devices.iter().map(|found| found.device.id.as_str()).collect();
        assert_eq!(ids, ["GPU-0", "fine"]);
        assert_eq!(found.cpus[0].cpus, [1, 3]);
        assert_eq!(found.malformed, 3 + 1 + 1 + 1 + 2);
        nameless.name = "x".repeat(MAX_LABEL_VALUE_BYTES + 1);
        assert_eq!(of(vec![nameless]).malformed, 1);
    }

    #[test]
    fn claims_are_read_with_and_without_device_names() {
        let cdi = |name: &str| vec![CdiDevice { name: name.into() }];
        let claim_resources = vec![
            ClaimResource {
                driver_name: "gpu.nvidia.com".into(),
                pool_name: "node".into(),
                device_name: "gpu-1".into(),
                cdi_devices: cdi("k8s.gpu.nvidia.com/claim=ignored"),
                share_id: Some("share".into()),
            },
            ClaimResource { cdi_devices: cdi("vendor.com/gpu=gpu7"), ..Default::default() },
            ClaimResource { cdi_devices: cdi("no name"), ..Default::default() },
        ];
        let claim = DynamicResource { claim_resources, ..Default::default() };
        let dynamic_resources = vec![claim];
        let container =
            ContainerResources { name: "c".into(), dynamic_resources, ..Default::default() };
        let found = of(vec![pod("p", vec![container])]);
        let told: Vec<_> = found
            .devices
            .iter()
            .map(|f| (f.device.id.as_str(), f.owner.resource.as_str(), f.owner.shared))
            .collect();
        assert_eq!(told, [("gpu-1", "gpu.nvidia.com", true), ("gpu7", "vendor.com/gpu", false)]);
        assert_eq!(found.malformed, 1);
    }
}
