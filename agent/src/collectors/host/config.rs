//! The `[collectors.host]` section.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::filter::Filter;

/// What of the host is read, and how often.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HostConfig {
    /// Whether the host is read at all.
    pub enabled: bool,
    /// How often CPU, memory, load and pressure are read.
    #[serde(with = "humantime_serde")]
    pub interval: Duration,
    /// How often everything else is read.
    #[serde(with = "humantime_serde")]
    pub slow_interval: Duration,
    /// Whether `node_interrupts_total` is sent: a series per CPU and line of /proc/interrupts,
    /// which is tens of thousands on large nodes.
    pub interrupts: bool,
    /// Mount points that are not looked at: a regular expression; empty for none.
    pub filesystem_mount_points_exclude: String,
    /// Types of file systems that are not looked at: a regular expression; empty for none.
    pub filesystem_types_exclude: String,
    /// How long a file system may take to answer before it is called stuck.
    #[serde(with = "humantime_serde")]
    pub filesystem_timeout: Duration,
    /// Network devices whose traffic is not counted: a regular expression; empty for none.
    pub netdev_exclude: String,
    /// Network devices whose properties are not read: a regular expression; empty for none.
    pub netclass_exclude: String,
    /// Disks that are left out: a regular expression; empty for none.
    pub disk_exclude: String,
}

impl Default for HostConfig {
    fn default() -> Self {
        Self {
            enabled: true,
            interval: Duration::from_secs(1),
            slow_interval: Duration::from_secs(10),
            interrupts: false,
            filesystem_mount_points_exclude: concat!(
                r"^/(dev|proc|sys|run/(credentials|containerd|k3s/containerd)/.+|",
                r"var/lib/(docker|containers/storage|kubelet/(pods|plugins))/.+)($|/)",
            )
            .into(),
            filesystem_types_exclude: concat!(
                "^(autofs|binfmt_misc|bpf|cgroup2?|configfs|debugfs|devpts|devtmpfs|fusectl|",
                "hugetlbfs|iso9660|mqueue|nsfs|overlay|proc|procfs|pstore|rpc_pipefs|securityfs|",
                "selinuxfs|squashfs|sysfs|tracefs)$",
            )
            .into(),
            filesystem_timeout: Duration::from_secs(5),
            netdev_exclude: "^lo$".into(),
            netclass_exclude: String::new(),
            disk_exclude: r"^(ram|loop|fd|(h|s|v|xv)d[a-z]|nvme\d+n\d+p)\d+$".into(),
        }
    }
}

/// Why a configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum HostConfigError {
    /// A key whose value is not a regular expression, or too large a one.
    #[error("collectors.host.{key} is not a usable regular expression")]
    Regex { key: &'static str, source: regex::Error },
    /// A key that must be longer than nothing.
    #[error("collectors.host.{0} must be longer than 0")]
    Zero(&'static str),
    /// `slow_interval` below `interval`.
    #[error("collectors.host.slow_interval must not be shorter than interval")]
    Order,
}

/// The exclusions, compiled.
pub(super) struct Filters {
    pub(super) mount_points: Filter,
    pub(super) types: Filter,
    pub(super) netdev: Filter,
    pub(super) netclass: Filter,
    pub(super) disk: Filter,
}

impl Filters {
    /// Exclusions that exclude nothing.
    pub(super) fn none() -> Self {
        Self {
            mount_points: Filter::default(),
            types: Filter::default(),
            netdev: Filter::default(),
            netclass: Filter::default(),
            disk: Filter::default(),
        }
    }
}

impl HostConfig {
    /// Whether the configuration can be used.
    ///
    /// # Errors
    /// [`HostConfigError`] names the key that is wrong.
    pub fn check(&self) -> Result<(), HostConfigError> {
        if self.interval.is_zero() {
            return Err(HostConfigError::Zero("interval"));
        }
        if self.slow_interval < self.interval {
            return Err(HostConfigError::Order);
        }
        self.filters().map(|_| ())
    }

    pub(super) fn filters(&self) -> Result<Filters, HostConfigError> {
        let compile = |key: &'static str, pattern: &str| {
            Filter::new(pattern).map_err(|source| HostConfigError::Regex { key, source })
        };
        Ok(Filters {
            mount_points: compile(
                "filesystem_mount_points_exclude",
                &self.filesystem_mount_points_exclude,
            )?,
            types: compile("filesystem_types_exclude", &self.filesystem_types_exclude)?,
            netdev: compile("netdev_exclude", &self.netdev_exclude)?,
            netclass: compile("netclass_exclude", &self.netclass_exclude)?,
            disk: compile("disk_exclude", &self.disk_exclude)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn default_is_usable_and_wrong_values_are_named() {
        assert!(HostConfig::default().check().is_ok());
        let bad = HostConfig { disk_exclude: "(".into(), ..HostConfig::default() };
        let error = bad.check().unwrap_err().to_string();
        assert_eq!(error, "collectors.host.disk_exclude is not a usable regular expression");
        let huge = HostConfig { netdev_exclude: "a{1000}{1000}".into(), ..HostConfig::default() };
        assert!(matches!(huge.check(), Err(HostConfigError::Regex { .. })));
        let zero = HostConfig { interval: Duration::ZERO, ..HostConfig::default() };
        assert!(matches!(zero.check(), Err(HostConfigError::Zero("interval"))));
        let slow = Duration::from_millis(500);
        let order = HostConfig { slow_interval: slow, ..HostConfig::default() };
        assert!(matches!(order.check(), Err(HostConfigError::Order)));
    }

    #[test]
    fn default_exclusions_leave_out_what_containers_bring() {
        let mut filters = HostConfig::default().filters().unwrap();
        let cases = [
            ("/var/lib/kubelet/pods/1/volumes/x", true),
            ("/run/containerd/io.containerd.grpc.v1.cri/sandboxes/1/shm", true),
            ("/proc/fs/nfsd", true),
            ("/", false),
            ("/run", false),
            ("/var/lib/kubelet", false),
            ("/home", false),
        ];
        for (mount_point, out) in cases {
            assert_eq!(filters.mount_points.excludes(mount_point), out, "{mount_point}");
        }
        for (disk, out) in [("nvme0n1", false), ("nvme0n1p2", true), ("sda", false), ("sda1", true)]
        {
            assert_eq!(filters.disk.excludes(disk), out, "{disk}");
        }
    }
}
