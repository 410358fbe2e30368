//! Where ptp4l's are: what runs, what configuration files say, and sockets at their usual places.
//!
//! The read-only socket is preferred where it is certain to be the instance's own. Several ptp4l
//! whose configurations do not name one share the default, and the last that started has it.

use std::fs::{self, Metadata};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use super::config_file::{Ptp4lConfig, file_argument};
use super::processes::{Process, Processes};
use crate::collectors::Paths;
use crate::collectors::ptp::config::{InstanceConfig, PtpConfig};

/// ptp4l's default for `uds_address`.
const DEFAULT_SOCKET: &str = "/var/run/ptp4l";
/// What is appended to it for `uds_ro_address`.
const READ_ONLY: &str = "ro";
/// A configuration that is longer is none of ptp4l's.
const MOST_CONFIG_BYTES: u64 = 1 << 20;
const MOST_TARGETS: usize = 32;

/// A ptp4l to ask.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Target {
    /// The label `instance`.
    pub(crate) name: String,
    /// Its sockets, the preferred one first; at least one.
    pub(crate) sockets: Vec<PathBuf>,
    /// `None`: to be found out.
    pub(crate) domain: Option<u8>,
    /// The domain is not to be doubted.
    pub(crate) domain_fixed: bool,
    pub(crate) transport_specific: u8,
    pub(crate) profile: Option<String>,
    /// Its configuration file as it was given.
    pub(crate) config: String,
    /// In the order of ports.
    pub(crate) interfaces: Vec<String>,
    /// Software time stamps, where the configuration says.
    pub(crate) software: Option<bool>,
}

/// Finds them.
pub(crate) struct Discovery {
    paths: Paths,
    config_files: Vec<PathBuf>,
    sockets: Vec<PathBuf>,
    instances: Vec<InstanceConfig>,
}

struct Found {
    target: Target,
    /// Neither socket is configured: the default read-only one may be its own.
    default_sockets: bool,
    /// It would have the default read-only socket.
    default_ro: bool,
    file: Option<(u64, u64)>,
}

impl Discovery {
    #[must_use]
    pub(crate) fn new(config: &PtpConfig, paths: &Paths) -> Self {
        Self {
            paths: paths.clone(),
            config_files: config.config_files.clone(),
            sockets: config.sockets.clone(),
            instances: config.instances.clone(),
        }
    }

    /// All that there are now, with different names.
    #[must_use]
    pub(crate) fn targets(&self, processes: &Processes) -> Vec<Target> {
        if !self.instances.is_empty() {
            return self.instances.iter().map(|instance| self.configured(instance)).collect();
        }
        let mut found: Vec<Found> =
            processes.named("ptp4l").map(|process| self.of_process(process)).collect();
        for file in self.files() {
            if let Some(of_file) = self.of_file(&file) {
                add(&mut found, of_file);
            }
        }
        for socket in &self.sockets {
            if let Some(of_socket) = self.of_socket(socket) {
                add(&mut found, of_socket);
            }
        }
        found.truncate(MOST_TARGETS);
        self.take_read_only(&mut found);
        let mut targets: Vec<Target> = Vec::new();
        for Found { mut target, .. } in found {
            let taken = |name: &str| targets.iter().any(|other| other.name == name);
            if taken(&target.name) {
                target.name = self.other_name(&target, taken);
            }
            targets.push(target);
        }
        targets
    }

    /// A name for one whose own is taken: its socket, if that stays when it is started anew.
    fn other_name(&self, target: &Target, taken: impl Fn(&str) -> bool) -> String {
        let socket = target.sockets.last().filter(|path| !path.starts_with(&self.paths.proc));
        let socket = socket.map(|path| path.display().to_string());
        let numbers = (2..).map(|number| format!("{}-{number}", target.name));
        socket.into_iter().chain(numbers).find(|name| !taken(name)).unwrap_or_default()
    }

    fn configured(&self, instance: &InstanceConfig) -> Target {
        Target {
            name: instance.name.clone().unwrap_or_else(|| stem(&instance.socket)),
            sockets: vec![self.locate(&instance.socket)],
            domain: instance.domain,
            domain_fixed: instance.domain.is_some(),
            transport_specific: instance.transport_specific,
            profile: instance.profile.clone(),
            config: String::new(),
            interfaces: instance.interfaces.clone(),
            software: None,
        }
    }

    fn of_process(&self, process: &Process) -> Found {
        let directory = self.paths.proc.join(process.pid.to_string());
        let file = file_argument(&process.arguments);
        let path = file.map(|file| self.of_mounts(&directory, Path::new(file)));
        let mut config = path.as_deref().and_then(read).unwrap_or_default();
        config.take_arguments(&process.arguments);
        let mut found = self.found(&config, file.unwrap_or_default(), |socket| {
            vec![self.of_mounts(&directory, socket)]
        });
        found.file = path.and_then(|path| identity(&path));
        found
    }

    fn of_file(&self, path: &Path) -> Option<Found> {
        let config = read(path)?;
        let is_ptp4l = stem(path).starts_with("ptp4l");
        if config.uds.is_none() && !is_ptp4l {
            return None;
        }
        // A container's view of the path may be another than the node's; a socket beside its
        // configuration is the one that is meant.
        let mut found = self.found(&config, &path.to_string_lossy(), |socket| {
            let beside = path.parent().zip(socket.file_name()).map(|(dir, name)| dir.join(name));
            beside.into_iter().chain([self.locate(socket)]).collect()
        });
        found.file = identity(path);
        found.target.sockets.iter().any(|socket| is_socket(socket)).then_some(found)
    }

    fn of_socket(&self, socket: &Path) -> Option<Found> {
        let rw = self.locate(socket);
        let ro = self.locate(&read_only(socket));
        if !is_socket(&rw) && !is_socket(&ro) {
            return None;
        }
        let sockets = if is_socket(&rw) { vec![rw] } else { vec![ro] };
        let target = Target { name: stem(socket), sockets, ..Target::default() };
        Some(Found { target, default_sockets: true, default_ro: true, file: None })
    }

    /// A target of a configuration; `places` of a socket, the first that is one is taken.
    fn found(
        &self,
        config: &Ptp4lConfig,
        file: &str,
        places: impl Fn(&Path) -> Vec<PathBuf>,
    ) -> Found {
        let place = |socket: &Path| {
            let mut places = places(socket);
            let is = places.iter().position(|path| is_socket(path));
            let first = is.unwrap_or(places.len().saturating_sub(1));
            (is.is_some(), places.swap_remove(first))
        };
        let rw = match &config.uds {
            Some(socket) => place(socket).1,
            None => {
                let usual = [Path::new(DEFAULT_SOCKET)].into_iter();
                let usual = usual.chain(self.sockets.iter().map(PathBuf::as_path)).map(&place);
                let mut usual: Vec<_> = usual.collect();
                let first = usual.iter().position(|(is, _)| *is).unwrap_or(0);
                usual.swap_remove(first).1
            }
        };
        let ro = config.uds_ro.as_deref().map(place).filter(|(is, _)| *is).map(|(_, path)| path);
        let name = if file.is_empty() {
            stem(config.uds.as_deref().unwrap_or(Path::new(DEFAULT_SOCKET)))
        } else {
            stem(Path::new(file))
        };
        let target = Target {
            name,
            sockets: ro.into_iter().chain([rw]).collect(),
            domain: config.domain,
            domain_fixed: false,
            transport_specific: config.transport_specific.unwrap_or(0),
            profile: config.profile.clone(),
            config: file.to_owned(),
            interfaces: config.interfaces.clone(),
            software: config.software,
        };
        Found {
            target,
            default_sockets: config.uds.is_none() && config.uds_ro.is_none(),
            default_ro: config.uds_ro.is_none(),
            file: None,
        }
    }

    /// Gives the default read-only socket to the one ptp4l that can have it.
    fn take_read_only(&self, found: &mut [Found]) {
        let mut sharing = found.iter_mut().filter(|found| found.default_ro);
        let (Some(only), None) = (sharing.next(), sharing.next()) else { return };
        if let Some(rw) = only.target.sockets.first().filter(|_| only.default_sockets) {
            let ro = read_only(rw);
            if is_socket(&ro) {
                only.target.sockets.insert(0, ro);
            }
        }
    }

    /// Configuration files, ptp4l's by their name first.
    fn files(&self) -> Vec<PathBuf> {
        let mut files: Vec<PathBuf> =
            self.config_files.iter().flat_map(|pattern| matching(&self.locate(pattern))).collect();
        files.sort_by_key(|path| (!stem(path).starts_with("ptp4l"), path.clone()));
        files
    }

    /// A path of the node as this process sees it.
    fn locate(&self, path: &Path) -> PathBuf {
        for run in ["/var/run", "/run"] {
            if let Ok(rest) = path.strip_prefix(run) {
                return self.paths.run.join(rest);
            }
        }
        self.paths.root.join(path.strip_prefix("/").unwrap_or(path))
    }

    /// A path of a process as this process sees it: the node's if it is the same file, since that
    /// stays when the process is started anew.
    fn of_mounts(&self, process: &Path, path: &Path) -> PathBuf {
        let theirs = match path.strip_prefix("/") {
            Ok(rest) => process.join("root").join(rest),
            Err(_) => process.join("cwd").join(path),
        };
        let node = self.locate(path);
        match identity(&theirs) {
            Some(file) if identity(&node) != Some(file) => theirs,
            _ if path.is_absolute() => node,
            _ => theirs,
        }
    }
}

/// Adds what is not there by another way.
fn add(found: &mut Vec<Found>, new: Found) {
    let sockets = |target: &Target| -> Vec<_> {
        target.sockets.iter().filter_map(|path| identity(path)).collect()
    };
    let own = sockets(&new.target);
    let known = found.iter().any(|known| {
        let same_file = known.file.is_some() && known.file == new.file;
        same_file || sockets(&known.target).iter().any(|socket| own.contains(socket))
    });
    if !known {
        found.push(new);
    }
}

/// Device and inode.
fn identity(path: &Path) -> Option<(u64, u64)> {
    fs::metadata(path).ok().map(|file: Metadata| (file.dev(), file.ino()))
}

fn is_socket(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|file| file.file_type().is_socket())
}

fn read(path: &Path) -> Option<Ptp4lConfig> {
    let file = fs::metadata(path).ok().filter(|file| file.is_file())?;
    if file.len() > MOST_CONFIG_BYTES {
        return None;
    }
    let text = fs::read(path).ok()?;
    Some(Ptp4lConfig::parse(&String::from_utf8_lossy(&text)))
}

/// "ptp4l.0" of `ptp4l.0.config` and `ptp4l.0.socket`, "ptp4l" of `ptp4lro`.
fn stem(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let stem = [".config", ".conf", ".cfg", ".socket", ".sock"]
        .into_iter()
        .find_map(|ending| name.strip_suffix(ending))
        .unwrap_or(&name);
    stem.strip_suffix(READ_ONLY).filter(|stem| !stem.is_empty()).unwrap_or(stem).to_owned()
}

fn read_only(socket: &Path) -> PathBuf {
    let mut path = socket.as_os_str().to_owned();
    path.push(READ_ONLY);
    path.into()
}

/// Files of a directory whose name is like the pattern's last part.
fn matching(pattern: &Path) -> Vec<PathBuf> {
    let name = pattern.file_name().unwrap_or_default().to_string_lossy();
    let Some((before, after)) = name.split_once('*') else { return vec![pattern.to_owned()] };
    let Some(directory) = pattern.parent() else { return Vec::new() };
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let matches = |name: &str| {
        name.len() >= before.len() + after.len()
            && name.starts_with(before)
            && name.ends_with(after)
    };
    let names = entries.filter(|entry| entry.file_name().to_str().is_some_and(matches));
    names.map(|entry| entry.path()).collect()
}

#[cfg(test)]
mod tests;
