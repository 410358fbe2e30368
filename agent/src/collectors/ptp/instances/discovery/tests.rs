//! Node file systems with ptp4l's in them.

use std::os::unix::net::UnixDatagram;
use std::time::Duration;

use super::*;

struct NodeRoot {
    directory: tempfile::TempDir,
    sockets: Vec<UnixDatagram>,
}

impl NodeRoot {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        for name in ["run/ptp", "proc", "etc/linuxptp", "sys"] {
            fs::create_dir_all(directory.path().join(name)).unwrap();
        }
        Self { directory, sockets: Vec::new() }
    }

    fn path(&self, path: &str) -> PathBuf {
        self.directory.path().join(path)
    }

    fn socket(&mut self, path: &str) {
        let path = self.path(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        self.sockets.push(UnixDatagram::bind(path).unwrap());
    }

    fn file(&self, path: &str, text: &str) {
        fs::create_dir_all(self.path(path).parent().unwrap()).unwrap();
        fs::write(self.path(path), text).unwrap();
    }

    /// A process whose root is the node's, or another directory of it.
    fn process(&self, pid: u32, cmdline: &str, root: &str) {
        let name = cmdline.split(' ').next().unwrap();
        self.file(&format!("proc/{pid}/comm"), &format!("{name}\n"));
        self.file(&format!("proc/{pid}/cmdline"), &(cmdline.replace(' ', "\0") + "\0"));
        let stat = format!("{pid} ({name}) S {}100 0\n", "1 ".repeat(18));
        self.file(&format!("proc/{pid}/stat"), &stat);
        let link = self.path(&format!("proc/{pid}/root"));
        std::os::unix::fs::symlink(self.path(root), link).unwrap();
    }

    fn targets(&self, config: &PtpConfig) -> Vec<Target> {
        let root = self.directory.path();
        let paths = Paths {
            proc: root.join("proc"),
            sys: root.join("sys"),
            run: root.join("run"),
            root: root.to_owned(),
            ..Paths::default()
        };
        let mut processes = Processes::new(&paths.proc);
        processes.scan(Duration::ZERO, true);
        Discovery::new(config, &paths).targets(&processes)
    }

    /// Name and sockets below the root.
    fn found(&self) -> Vec<(String, Vec<String>)> {
        let below = |path: &PathBuf| {
            let path = path.strip_prefix(self.directory.path()).unwrap();
            path.display().to_string()
        };
        let targets = self.targets(&PtpConfig::default()).into_iter();
        targets.map(|target| (target.name, target.sockets.iter().map(below).collect())).collect()
    }
}

fn one(name: &str, sockets: &[&str]) -> (String, Vec<String>) {
    (name.into(), sockets.iter().map(|s| (*s).into()).collect())
}

#[test]
fn nothing_is_found_where_only_configurations_are() {
    let node = NodeRoot::new();
    node.file("etc/linuxptp/ptp4l.conf", "[global]\n");
    node.file("run/ptp/ptp4l.0.config", "[global]\nuds_address /var/run/ptp4l.0.socket\n");
    node.file("run/ptp4l", "no socket");
    assert_eq!(node.found(), []);
}

#[test]
fn default_sockets_are_found_and_the_read_only_one_preferred() {
    let mut node = NodeRoot::new();
    node.socket("run/ptp4l");
    assert_eq!(node.found(), [one("ptp4l", &["run/ptp4l"])]);
    node.socket("run/ptp4lro");
    assert_eq!(node.found(), [one("ptp4l", &["run/ptp4lro", "run/ptp4l"])]);
    node.file("etc/linuxptp/ptp4l.conf", "[global]\ndomainNumber 24\n[eth0]\n");
    let targets = node.targets(&PtpConfig::default());
    assert_eq!(targets.len(), 1);
    assert_eq!((targets[0].domain, targets[0].domain_fixed), (Some(24), false));
    assert_eq!(targets[0].interfaces, ["eth0"]);
    assert_eq!(targets[0].sockets[0], node.path("run/ptp4lro"));
}

#[test]
fn instances_that_share_the_default_read_only_socket_are_asked_on_their_own() {
    let mut node = NodeRoot::new();
    node.socket("run/ptp4lro");
    for (number, ro) in [(0, ""), (1, "uds_ro_address /var/run/ptp4l.1.ro\n")] {
        node.socket(&format!("run/ptp/ptp4l.{number}.socket"));
        let text = format!(
            "#profile: slave{number}\n[global]\ndomainNumber 24\n\
             uds_address /var/run/ptp4l.{number}.socket\n{ro}[ens{number}f0]\n"
        );
        node.file(&format!("run/ptp/ptp4l.{number}.config"), &text);
    }
    node.socket("run/ptp/ptp4l.1.ro");
    assert_eq!(
        node.found(),
        [
            one("ptp4l.0", &["run/ptp/ptp4l.0.socket"]),
            one("ptp4l.1", &["run/ptp/ptp4l.1.ro", "run/ptp/ptp4l.1.socket"]),
            one("ptp4l", &["run/ptp4lro"]),
        ]
    );
    let targets = node.targets(&PtpConfig::default());
    assert_eq!(targets[1].profile.as_deref(), Some("slave1"));
}

#[test]
fn process_and_its_file_are_one_instance() {
    let mut node = NodeRoot::new();
    node.socket("run/ptp4l.a");
    node.file("etc/a.conf", "[global]\ndomainNumber 24\nuds_address /run/ptp4l.a\n[eth0]\n");
    node.process(7, "ptp4l -f /etc/a.conf -m --domainNumber=44", ".");
    assert_eq!(node.found(), [one("a", &["run/ptp4l.a"])]);
    let config = PtpConfig { config_files: vec!["/etc/a.conf".into()], ..PtpConfig::default() };
    let targets = node.targets(&config);
    assert_eq!(targets.len(), 1);
    assert_eq!((targets[0].domain, targets[0].config.as_str()), (Some(44), "/etc/a.conf"));
}

#[test]
fn process_in_a_container_is_asked_in_its_own_file_system() {
    let mut node = NodeRoot::new();
    node.socket("run/ptp4l");
    node.socket("pod/var/run/ptp4l");
    node.file("pod/etc/ptp4l.conf", "[global]\n[eth0]\n");
    node.process(7, "ptp4l -f /etc/ptp4l.conf", "pod");
    let other = node.path("run/ptp4l").display().to_string();
    let all = node.found();
    let want = [one("ptp4l", &["proc/7/root/var/run/ptp4l"]), one(&other, &["run/ptp4l"])];
    assert_eq!(all, want);
}

#[test]
fn processes_of_one_name_are_told_apart() {
    let mut node = NodeRoot::new();
    for (pid, pod) in [(7, "a"), (8, "b"), (9, "c")] {
        node.socket(&format!("{pod}/var/run/ptp4l"));
        node.file(&format!("{pod}/etc/ptp4l.conf"), "[global]\n[eth0]\n");
        node.process(pid, "ptp4l -f /etc/ptp4l.conf", pod);
    }
    let names: Vec<_> = node.found().into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["ptp4l", "ptp4l-2", "ptp4l-3"]);
}

#[test]
fn process_without_a_socket_is_told_and_not_left_out() {
    let node = NodeRoot::new();
    node.process(7, "ptp4l -i eth0 -s", ".");
    let targets = node.targets(&PtpConfig::default());
    assert_eq!(targets[0].sockets, [node.path("run/ptp4l")]);
    assert_eq!((targets[0].name.as_str(), targets[0].domain), ("ptp4l", None));
    assert_eq!(targets[0].interfaces, ["eth0"]);
}

#[test]
fn configured_instances_are_the_only_ones() {
    let mut node = NodeRoot::new();
    node.socket("run/ptp4l");
    let config: PtpConfig =
        toml::from_str("[[instances]]\nsocket = '/var/run/x.socket'\ndomain = 5").unwrap();
    let targets = node.targets(&config);
    assert_eq!(targets.len(), 1);
    assert_eq!(targets[0].sockets, [node.path("run/x.socket")]);
    assert_eq!((targets[0].name.as_str(), targets[0].domain_fixed), ("x", true));
}
