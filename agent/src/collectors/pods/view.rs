//! Devices and their owners by canonical id, pods by UID: what questions are answered from.

use std::collections::BTreeMap;
use std::sync::Arc;

use rustc_hash::FxHashMap;

use super::allocation::Allocated;
use super::attribution::Owner;
use super::cgroup::Place;
use super::device::Form;
use super::logs::Names;

/// Namespace and name.
type Pod = (String, String);

/// Who has a device.
#[derive(Debug, PartialEq, Eq)]
struct Holders {
    /// Another collector tells of the device.
    elsewhere: bool,
    /// Sorted, not empty.
    owners: Arc<[Owner]>,
}

/// An immutable answer to every question.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct View {
    /// By canonical id where there is one.
    devices: BTreeMap<String, Holders>,
    aliases: FxHashMap<String, String>,
    /// What a pod's containers have, sorted.
    by_pod: FxHashMap<Pod, Vec<Owner>>,
    by_uid: FxHashMap<String, Pod>,
    names: Arc<Names>,
}

impl View {
    /// Of several aliases with one name the first counts.
    pub(super) fn new<'a>(
        devices: &[Allocated],
        names: &Arc<Names>,
        aliases: impl Iterator<Item = &'a (String, String)>,
    ) -> Self {
        let mut known: FxHashMap<String, String> = FxHashMap::default();
        for (name, canonical) in aliases {
            known.entry(name.clone()).or_insert_with(|| canonical.clone());
        }
        let uids = only_uids(names);
        let mut by_device: BTreeMap<String, (bool, Vec<Owner>)> = BTreeMap::new();
        for Allocated { device, owner } in devices {
            let alias = match device.form {
                Form::Canonical | Form::Nickname => known.get(&device.id),
                Form::Plain | Form::Odd => None,
            };
            let mut owner = owner.clone();
            if owner.uid.is_none() {
                let uid = uids.get(&(owner.namespace.as_str(), owner.pod.as_str()));
                owner.uid = uid.map(|uid| (*uid).to_owned());
            }
            let id = alias.unwrap_or(&device.id).clone();
            let (elsewhere, owners) = by_device.entry(id).or_default();
            *elsewhere |= alias.is_some() || device.form == Form::Canonical;
            owners.push(owner);
        }
        let mut by_pod: FxHashMap<Pod, Vec<Owner>> = FxHashMap::default();
        let mut by_uid = names.pods.clone();
        for (elsewhere, owners) in by_device.values_mut() {
            settle(*elsewhere, owners);
            for owner in &*owners {
                let pod = (owner.namespace.clone(), owner.pod.clone());
                if let Some(uid) = &owner.uid {
                    by_uid.entry(uid.clone()).or_insert_with(|| pod.clone());
                }
                by_pod.entry(pod).or_default().push(owner.clone());
            }
        }
        by_pod.values_mut().for_each(|owners| owners.sort());
        let holders =
            |(elsewhere, owners): (bool, Vec<Owner>)| Holders { elsewhere, owners: owners.into() };
        let devices = by_device.into_iter().map(|(id, of)| (id, holders(of))).collect();
        Self { devices, aliases: known, by_pod, by_uid, names: Arc::clone(names) }
    }

    /// Who has the device.
    pub(super) fn owners(&self, device: &str) -> Option<Arc<[Owner]>> {
        let named = || self.devices.get(self.aliases.get(device)?);
        Some(Arc::clone(&self.devices.get(device).or_else(named)?.owners))
    }

    /// The devices that no other collector tells of, with their owners.
    pub(super) fn others(&self) -> impl Iterator<Item = (&str, &Owner)> {
        let others = self.devices.iter().filter(|(_, of)| !of.elsewhere);
        others.flat_map(|(id, of)| of.owners.iter().map(move |owner| (id.as_str(), owner)))
    }

    /// The container at the place, as an owner of what it has.
    pub(super) fn of_place(&self, place: &Place) -> Option<Owner> {
        let pod = self.by_uid.get(&place.pod_uid)?;
        let owners = self.by_pod.get(pod).map_or(&[][..], Vec::as_slice);
        let name = self.names.containers.get(&place.container_id);
        let owner = match name {
            Some(name) => owners.iter().find(|owner| owner.container == *name),
            // Which container it is is clear if only one has anything.
            None => only_container(owners.iter()),
        };
        Some(owner.cloned().unwrap_or_else(|| Owner {
            namespace: pod.0.clone(),
            pod: pod.1.clone(),
            container: name.cloned().unwrap_or_default(),
            resource: String::new(),
            uid: Some(place.pod_uid.clone()),
            shared: false,
        }))
    }

    /// The same for a process that uses the device.
    pub(super) fn of_place_with(&self, place: &Place, device: &str) -> Option<Owner> {
        let owners = self.owners(device);
        let owners = owners.as_deref().unwrap_or_default();
        let Some(pod) = self.by_uid.get(&place.pod_uid) else {
            let only = only_container(owners.iter())?;
            return only.uid.is_none().then(|| only.clone());
        };
        let name = self.names.containers.get(&place.container_id);
        let mine = owners.iter().filter(|owner| {
            (&owner.namespace, &owner.pod) == (&pod.0, &pod.1)
                && name.is_none_or(|name| owner.container == *name)
        });
        only_container(mine).cloned().or_else(|| self.of_place(place))
    }
}

/// Sorts the owners, makes one of a container's several replicas, and marks what is shared: a
/// canonical id is the same device `anywhere`; others mean something only within their resource.
fn settle(anywhere: bool, owners: &mut Vec<Owner>) {
    owners.sort();
    owners.dedup_by(|later, first| {
        let same = is_same(later, first) && later.resource == first.resource;
        first.shared |= same && later.shared;
        same
    });
    let shared: Vec<bool> = owners
        .iter()
        .map(|a| {
            let other = |b: &Owner| !is_same(a, b) && (anywhere || a.resource == b.resource);
            a.shared || owners.iter().any(other)
        })
        .collect();
    for (owner, shared) in owners.iter_mut().zip(shared) {
        owner.shared = shared;
    }
}

fn is_same(a: &Owner, b: &Owner) -> bool {
    (&a.namespace, &a.pod, &a.container) == (&b.namespace, &b.pod, &b.container)
}

/// The first of the owners if all are the same container.
fn only_container<'a>(mut owners: impl Iterator<Item = &'a Owner>) -> Option<&'a Owner> {
    let first = owners.next()?;
    owners.all(|owner| is_same(owner, first)).then_some(first)
}

/// UIDs by namespace and name, without pods that have had several: the logs of a pod outlive it
/// for a while when one of the same name follows.
fn only_uids(names: &Names) -> FxHashMap<(&str, &str), &str> {
    let mut uids: FxHashMap<(&str, &str), Option<&str>> = FxHashMap::default();
    for (uid, (namespace, pod)) in &names.pods {
        uids.entry((namespace, pod)).and_modify(|known| *known = None).or_insert(Some(uid));
    }
    uids.into_iter().filter_map(|(pod, uid)| Some((pod, uid?))).collect()
}
