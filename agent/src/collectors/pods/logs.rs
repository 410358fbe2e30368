//! Names of pods and containers from the kubelet's log directories, which are on every node and
//! need no API server: `/var/log/pods/<namespace>_<pod>_<uid>` and
//! `/var/log/containers/<pod>_<namespace>_<container>-<id>.log`.
//!
//! Only names of entries are read, and only when a directory has changed. Its time stamp may be
//! coarser than two changes are apart, so a directory is left alone once it has been read twice
//! with the same one.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use rustc_hash::FxHashMap;

use super::cgroup::{is_container_id, is_pod_uid};

/// Entries of one directory: a node has some hundred pods, each with some dead containers.
const MOST_ENTRIES: usize = 16 << 10;

/// Who is who.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Names {
    /// Namespace and name by UID.
    pub(super) pods: FxHashMap<String, (String, String)>,
    /// A container's name by its id.
    pub(super) containers: FxHashMap<String, String>,
}

/// The log directories of a node.
pub(super) struct Logs {
    pods: Directory,
    containers: Directory,
    names: Arc<Names>,
}

impl Logs {
    /// Those below a root file system.
    pub(super) fn new(root: &Path) -> Self {
        let at = |dir| Directory { path: root.join(dir), seen: None, settled: false };
        Self {
            pods: at("var/log/pods"),
            containers: at("var/log/containers"),
            names: Arc::default(),
        }
    }

    /// The names, and how many entries were too many when they were read anew.
    ///
    /// # Errors
    /// When a directory is there and cannot be read, with its path; what it told before stays.
    pub(super) fn refresh(&mut self) -> (Arc<Names>, u64, Result<(), (PathBuf, io::Error)>) {
        let mut dropped = 0;
        let mut outcome = Ok(());
        match self.pods.changed() {
            Ok(Some((entries, more))) => {
                let pods = entries.iter().filter_map(|name| pod(name.to_str()?)).collect();
                Arc::make_mut(&mut self.names).pods = pods;
                dropped += more;
            }
            Ok(None) => {}
            Err(error) => outcome = Err((self.pods.path.clone(), error)),
        }
        match self.containers.changed() {
            Ok(Some((entries, more))) => {
                let named = entries.iter().filter_map(|name| container(name.to_str()?)).collect();
                Arc::make_mut(&mut self.names).containers = named;
                dropped += more;
            }
            Ok(None) => {}
            Err(error) => outcome = Err((self.containers.path.clone(), error)),
        }
        (Arc::clone(&self.names), dropped, outcome)
    }
}

struct Directory {
    path: PathBuf,
    /// Its time of change when it was read; `None` before and when it was not there.
    seen: Option<SystemTime>,
    settled: bool,
}

impl Directory {
    /// Its entries and how many more there are, unless they are those of the last time.
    fn changed(&mut self) -> io::Result<Option<(Vec<OsString>, u64)>> {
        let changed = match std::fs::metadata(&self.path).and_then(|found| found.modified()) {
            Ok(changed) => changed,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Ok(self.seen.take().map(|_| (Vec::new(), 0)));
            }
            Err(error) => return Err(error),
        };
        let same = self.seen == Some(changed);
        if same && self.settled {
            return Ok(None);
        }
        let mut entries = Vec::new();
        let mut more = 0;
        for entry in std::fs::read_dir(&self.path)? {
            if entries.len() < MOST_ENTRIES {
                entries.push(entry?.file_name());
            } else {
                more += 1;
            }
        }
        (self.seen, self.settled) = (Some(changed), same);
        Ok(Some((entries, more)))
    }
}

/// Names of Kubernetes have no underscore.
fn pod(entry: &str) -> Option<(String, (String, String))> {
    let mut parts = entry.split('_');
    let [namespace, pod, uid] = [parts.next()?, parts.next()?, parts.next()?];
    let fits = parts.next().is_none() && !namespace.is_empty() && !pod.is_empty();
    (fits && is_pod_uid(uid)).then(|| (uid.into(), (namespace.into(), pod.into())))
}

fn container(entry: &str) -> Option<(String, String)> {
    let (_, named) = entry.strip_suffix(".log")?.rsplit_once('_')?;
    let (name, id) = named.rsplit_once('-')?;
    (is_container_id(id) && !name.is_empty()).then(|| (id.into(), name.into()))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    const UID: &str = "8f2c1d90-3e5a-4b1c-9d2e-0a1b2c3d4e5f";
    const ID: &str = "0f1e2d3c4b5a69788796a5b4c3d2e1f00f1e2d3c4b5a69788796a5b4c3d2e1f0";

    fn names(logs: &mut Logs) -> Names {
        let (names, dropped, outcome) = logs.refresh();
        outcome.unwrap();
        assert_eq!(dropped, 0);
        Names::clone(&names)
    }

    #[test]
    fn names_follow_the_directories() {
        let root = tempfile::tempdir().unwrap();
        let mut logs = Logs::new(root.path());
        assert_eq!(names(&mut logs), Names::default());
        let [pods, containers] =
            ["pods", "containers"].map(|d| root.path().join("var/log").join(d));
        fs::create_dir_all(&pods).unwrap();
        fs::create_dir_all(&containers).unwrap();
        assert_eq!(names(&mut logs), Names::default());
        for other in ["x", "a_b", "a_b_c", &format!("a_b_{UID}_d"), &format!("_b_{UID}")] {
            fs::create_dir(pods.join(other)).unwrap();
        }
        fs::create_dir(pods.join(format!("ml_train-0.x_{UID}"))).unwrap();
        for other in
            ["x.log".into(), format!("{ID}.log"), format!("a_b_c-{ID}"), "a_b_c-12.log".into()]
        {
            fs::write(containers.join(other), "").unwrap();
        }
        let link = containers.join(format!("train-0.x_ml_side-car-{ID}.log"));
        std::os::unix::fs::symlink("/var/log/pods/nowhere", &link).unwrap();
        let found = names(&mut logs);
        let pod = (UID.to_owned(), ("ml".to_owned(), "train-0.x".to_owned()));
        assert_eq!(found.pods, FxHashMap::from_iter([pod]));
        let container = (ID.to_owned(), "side-car".to_owned());
        assert_eq!(found.containers, FxHashMap::from_iter([container]));
        for _ in 0..3 {
            assert_eq!(names(&mut logs), found);
        }
        fs::remove_file(link).unwrap();
        fs::remove_dir_all(&pods).unwrap();
        assert_eq!(names(&mut logs), Names::default());
    }

    #[test]
    fn directory_that_has_settled_is_not_read_again() {
        let root = tempfile::tempdir().unwrap();
        let mut dir = Directory { path: root.path().into(), seen: None, settled: false };
        assert!(dir.changed().unwrap().is_some());
        assert!(dir.changed().unwrap().is_some());
        assert!(dir.changed().unwrap().is_none());
        fs::write(root.path().join("x"), "").unwrap();
        let past = SystemTime::UNIX_EPOCH;
        fs::File::open(root.path()).unwrap().set_modified(past).unwrap();
        assert_eq!(dir.changed().unwrap(), Some((vec!["x".into()], 0)));
    }

    #[test]
    fn directory_that_cannot_be_read_keeps_what_it_told() {
        let root = tempfile::tempdir().unwrap();
        let pods = root.path().join("var/log/pods");
        fs::create_dir_all(pods.join(format!("ml_train_{UID}"))).unwrap();
        let mut logs = Logs::new(root.path());
        let found = names(&mut logs);
        fs::remove_dir_all(&pods).unwrap();
        fs::write(&pods, "no directory").unwrap();
        let (names, _, outcome) = logs.refresh();
        assert_eq!(outcome.unwrap_err().0, pods);
        assert_eq!(*names, found);
    }
}
