//! Which container a process runs in, from its cgroup.
//!
//! A pod's cgroup has its UID in its name: `pod<uid>` with the cgroupfs driver,
//! `kubepods-burstable-pod<uid>.slice` with `_` for `-` with systemd's. Below it is the
//! container's: the bare id, or `cri-containerd-<id>.scope`, `crio-<id>.scope`,
//! `docker-<id>.scope`; containerd without the systemd driver writes
//! `<slice>:cri-containerd:<id>`. Whatever is before and below does not matter, so that nested
//! nodes and containers that run systemd are understood. Version 1 has a line per hierarchy,
//! version 2 one line.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

use super::device::{is_hex, is_uuid};

/// Version 1 has some 15 lines of at most 4 KiB, of which one suffices.
const MOST_BYTES: u64 = 16 << 10;
/// Runtimes give 64 digits; less than half would be something else.
const SHORTEST_CONTAINER_ID: usize = 32;

/// Where a process runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) pod_uid: String,
    /// Empty for a process of the pod that is in no container's cgroup.
    pub(super) container_id: String,
}

/// The place of the process `pid`; `None` outside of pods.
pub(super) fn place(proc: &Path, pid: u32) -> io::Result<Option<Place>> {
    let mut text = Vec::new();
    File::open(proc.join(format!("{pid}/cgroup")))?.take(MOST_BYTES).read_to_end(&mut text)?;
    Ok(parse(&String::from_utf8_lossy(&text)))
}

fn parse(text: &str) -> Option<Place> {
    let mut places = text.lines().filter_map(|line| line.splitn(3, ':').nth(2).and_then(in_path));
    let first = places.next()?;
    if !first.container_id.is_empty() {
        return Some(first);
    }
    Some(places.find(|place| !place.container_id.is_empty()).unwrap_or(first))
}

fn in_path(path: &str) -> Option<Place> {
    let mut place: Option<Place> = None;
    for piece in path.split(['/', ':']) {
        if let Some(pod_uid) = pod_uid(piece) {
            place = Some(Place { pod_uid, container_id: String::new() });
        } else if let Some(place) = &mut place
            && place.container_id.is_empty()
            && let Some(id) = container_id(piece)
        {
            id.clone_into(&mut place.container_id);
        }
    }
    place
}

fn pod_uid(piece: &str) -> Option<String> {
    let name = piece.strip_suffix(".slice").unwrap_or(piece);
    let (before, uid) = name.rsplit_once("pod")?;
    let uid = uid.replace('_', "-");
    ((before.is_empty() || before.ends_with('-')) && is_pod_uid(&uid)).then_some(uid)
}

/// Whether it can be a pod's UID: a UUID; that of a pod from a file on the node is the MD5 of
/// the file.
pub(super) fn is_pod_uid(text: &str) -> bool {
    is_uuid(text) || (text.len() == 32 && is_hex(text))
}

fn container_id(piece: &str) -> Option<&str> {
    let name = piece.strip_suffix(".scope").unwrap_or(piece);
    let id = name.rsplit_once('-').map_or(name, |(_, id)| id);
    is_container_id(id).then_some(id)
}

/// Whether it can be a container's id.
pub(super) fn is_container_id(text: &str) -> bool {
    text.len() >= SHORTEST_CONTAINER_ID && is_hex(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    const UID: &str = "8f2c1d90-3e5a-4b1c-9d2e-0a1b2c3d4e5f";
    const STATIC: &str = "0123456789abcdef0123456789abcdef";
    const ID: &str = "0f1e2d3c4b5a69788796a5b4c3d2e1f00f1e2d3c4b5a69788796a5b4c3d2e1f0";

    #[test]
    fn container_is_found_in_every_form_of_cgroup() {
        let cases = [
            (
                "0::/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod%.slice/cri-containerd-#.scope",
                UID,
                ID,
            ),
            ("0::/kubepods.slice/kubepods-pod%.slice/crio-#.scope/container", UID, ID),
            (
                "0::/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod%.slice/docker-#.scope/system.slice/ssh.service",
                UID,
                ID,
            ),
            ("0::/kubepods/burstable/pod@/#", UID, ID),
            ("0::/kubepods/pod!/#", STATIC, ID),
            ("0::/../../kubepods-pod%.slice/cri-containerd-#.scope", UID, ID),
            (
                "0::/docker/#/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-pod%.slice/cri-containerd-#.scope",
                UID,
                ID,
            ),
            (
                "0::/system.slice/containerd.service/kubepods-burstable-pod%.slice:cri-containerd:#",
                UID,
                ID,
            ),
            ("0::/kubepods.slice/kubepods-pod%.slice/kata_overhead", UID, ""),
            (
                "12:pids:/kubepods/burstable/pod@\n11:memory:/kubepods/burstable/pod@/#\n0::/system.slice\n",
                UID,
                ID,
            ),
            (
                "4:devices:/user.slice\n3:cpu,cpuacct:/kubepods.slice/kubepods-pod%.slice/docker-#.scope\n1:name=systemd:/kubepods.slice/kubepods-pod%.slice/docker-#.scope\n0::/",
                UID,
                ID,
            ),
        ];
        for (text, pod_uid, container_id) in cases {
            let escaped = UID.replace('-', "_");
            let text = text.replace('%', &escaped).replace('@', UID).replace('!', STATIC);
            let text = text.replace('#', ID);
            let expected = Place { pod_uid: pod_uid.into(), container_id: container_id.into() };
            assert_eq!(parse(&text), Some(expected), "{text}");
        }
    }

    #[test]
    fn process_outside_of_pods_has_no_place() {
        let docker = format!("0::/docker/{ID}");
        let near = format!("0::/notpod{UID}/{ID}");
        for text in ["", "0::/", "0::/init.scope", "0::/kubepods/podx/y", "0", &docker, &near] {
            assert_eq!(parse(text), None, "{text}");
        }
        let none = tempfile::tempdir().unwrap();
        assert!(place(none.path(), 1).is_err());
    }
}
