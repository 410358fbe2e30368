//! The `[collectors.ptp]` section: which ptp4l there are, how they are asked, and what offset
//! and holdover each is allowed.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::clocks::ClocksConfig;
use super::state::profiles::{self, ProfileConfig};
use crate::collectors::check_interval;

/// Where daemons and distributions put ptp4l's configuration. `*` stands for anything within a
/// file's name.
const CONFIG_FILES: [&str; 3] =
    ["/var/run/ptp/ptp4l.*.config", "/etc/linuxptp/*.conf", "/etc/ptp4l.conf"];
/// ptp4l's own defaults: the second pair since the versions after 4.4.
const SOCKETS: [&str; 2] = ["/var/run/ptp4l", "/var/run/ptp/ptp4l"];
/// A wait longer than this would make one wedged ptp4l delay the others beyond a tick.
const LONGEST_TIMEOUT: Duration = Duration::from_secs(1);

/// The `[collectors.ptp]` section.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PtpConfig {
    pub enabled: bool,
    #[serde(with = "humantime_serde")]
    pub interval: Duration,
    /// How often instances are asked while their state changes.
    #[serde(with = "humantime_serde")]
    pub fast_interval: Duration,
    /// How often what hardly changes is read.
    #[serde(with = "humantime_serde")]
    pub slow_interval: Duration,
    /// How often instances are looked for.
    #[serde(with = "humantime_serde")]
    pub discovery_interval: Duration,
    /// How long ptp4l may take for one answer.
    #[serde(with = "humantime_serde")]
    pub request_timeout: Duration,
    /// Where to bind sockets for answers, for a ptp4l of another network namespace, which cannot
    /// answer to an abstract address. Empty: abstract addresses, and no file is made.
    pub reply_dir: PathBuf,
    /// Files that say how a ptp4l runs.
    pub config_files: Vec<PathBuf>,
    /// Sockets that are looked for besides; each with its read-only sister (`…ro`).
    pub sockets: Vec<PathBuf>,
    /// The profile of instances that name none.
    pub profile: String,
    pub os_clock: OsClockConfig,
    pub clocks: ClocksConfig,
    /// The instances; empty: they are looked for.
    pub instances: Vec<InstanceConfig>,
    /// Profiles by name, besides the budgets that are known by theirs.
    pub profiles: BTreeMap<String, ProfileConfig>,
}

/// What is expected of the system clock.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct OsClockConfig {
    /// While phc2sys steers it.
    #[serde(with = "humantime_serde")]
    pub offset_limit: Duration,
    /// While it follows NTP.
    #[serde(with = "humantime_serde")]
    pub ntp_offset_limit: Duration,
    #[serde(with = "humantime_serde")]
    pub holdover: Duration,
}

impl Default for OsClockConfig {
    fn default() -> Self {
        Self {
            offset_limit: Duration::from_micros(1),
            ntp_offset_limit: Duration::from_millis(10),
            holdover: Duration::from_secs(5),
        }
    }
}

/// A ptp4l that is not looked for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InstanceConfig {
    /// As ptp4l's configuration names it (`uds_address` or `uds_ro_address`), below `paths.root`.
    pub socket: PathBuf,
    /// The label `instance`; by default the socket's name.
    pub name: Option<String>,
    /// By default it is found out.
    pub domain: Option<u8>,
    pub profile: Option<String>,
    /// 1 for gPTP (IEEE 802.1AS); ptp4l's `transportSpecific`.
    #[serde(default)]
    pub transport_specific: u8,
    /// Network devices in the order of the ports, where ptp4l does not tell them.
    #[serde(default)]
    pub interfaces: Vec<String>,
}

impl Default for PtpConfig {
    fn default() -> Self {
        Self {
            enabled: true,
            interval: Duration::from_secs(1),
            fast_interval: Duration::from_millis(250),
            slow_interval: Duration::from_secs(30),
            discovery_interval: Duration::from_secs(10),
            request_timeout: Duration::from_millis(200),
            reply_dir: PathBuf::new(),
            config_files: CONFIG_FILES.map(PathBuf::from).to_vec(),
            sockets: SOCKETS.map(PathBuf::from).to_vec(),
            profile: "default".into(),
            os_clock: OsClockConfig::default(),
            clocks: ClocksConfig::default(),
            instances: Vec::new(),
            profiles: BTreeMap::new(),
        }
    }
}

impl PtpConfig {
    /// Checks the values.
    ///
    /// # Errors
    /// The key and what is wrong with it.
    pub fn check(&self) -> Result<(), String> {
        check_interval("collectors.ptp.interval", self.interval)?;
        check_interval("collectors.ptp.fast_interval", self.fast_interval)?;
        check_interval("collectors.ptp.slow_interval", self.slow_interval)?;
        check_interval("collectors.ptp.discovery_interval", self.discovery_interval)?;
        if self.request_timeout.is_zero() || self.request_timeout > LONGEST_TIMEOUT {
            return Err(format!(
                "collectors.ptp.request_timeout {:?} is not between 0 and {LONGEST_TIMEOUT:?}",
                self.request_timeout
            ));
        }
        for (name, profile) in &self.profiles {
            profile.check().map_err(|error| format!("collectors.ptp.profiles.{name}.{error}"))?;
        }
        self.check_profile("collectors.ptp.profile", &self.profile)?;
        self.clocks.check()?;
        let mut names = rustc_hash::FxHashSet::default();
        for instance in &self.instances {
            let socket = instance.socket.display();
            if instance.socket.as_os_str().is_empty() {
                return Err("collectors.ptp.instances: socket is empty".into());
            }
            if let Some(profile) = &instance.profile {
                let key = format!("collectors.ptp.instances: profile of {socket}");
                self.check_profile(&key, profile)?;
            }
            if instance.transport_specific > 0xf {
                return Err(format!(
                    "collectors.ptp.instances: transport_specific of {socket} is not below 16"
                ));
            }
            let name = instance.name.as_ref().map_or_else(|| socket.to_string(), String::clone);
            if !names.insert(name.clone()) {
                return Err(format!("collectors.ptp.instances: {name} is there twice"));
            }
        }
        Ok(())
    }

    fn check_profile(&self, key: &str, name: &str) -> Result<(), String> {
        if self.profiles.contains_key(name) || profiles::budget(name).is_some() {
            return Ok(());
        }
        Err(format!("{key} {name:?} is neither in collectors.ptp.profiles nor a known budget"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bad_values_name_their_key() {
        let f = |text: &str, want: &str| {
            let config: PtpConfig = toml::from_str(text).unwrap();
            let error = config.check().unwrap_err();
            assert!(error.contains(want), "{text}: {error}");
        };
        f("fast_interval = '1ms'", "collectors.ptp.fast_interval");
        f("request_timeout = '0s'", "collectors.ptp.request_timeout");
        f("request_timeout = '2s'", "collectors.ptp.request_timeout");
        f("profile = 'x'", "collectors.ptp.profile \"x\"");
        f("[[instances]]\nsocket = ''", "socket is empty");
        f("[[instances]]\nsocket = '/a'\nprofile = 'x'", "profile of /a");
        f("[[instances]]\nsocket = '/a'\ntransport_specific = 16", "transport_specific of /a");
        f("[[instances]]\nsocket = '/a'\n[[instances]]\nsocket = '/a'", "twice");
        f("[profiles.x]\nbudget = 'y'", "collectors.ptp.profiles.x.budget");
        f("[profiles.x]\nsamples_to_lock = 0", "collectors.ptp.profiles.x.samples_to_lock");
    }

    #[test]
    fn instances_and_profiles_are_read() {
        let config: PtpConfig = toml::from_str(
            "[[instances]]\nsocket = '/run/a'\ndomain = 24\nprofile = 'cell'\n\
             [profiles.cell]\nbudget = 'G.8271.1'\nholdover = '10s'",
        )
        .unwrap();
        config.check().unwrap();
        assert_eq!(config.instances[0].domain, Some(24));
        assert_eq!(config.profiles["cell"].holdover, Some(Duration::from_secs(10)));
    }
}
