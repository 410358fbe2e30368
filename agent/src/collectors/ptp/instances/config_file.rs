//! What ptp4l's configuration says about how to reach it: its file, and its command line, which
//! goes before the file.

use std::path::PathBuf;

/// Sections that are no network device's.
const OTHER_SECTIONS: [&str; 3] = ["global", "unicast_master_table", "nmea"];

/// What there is to know of a ptp4l; `None` where it does not say.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Ptp4lConfig {
    pub(crate) domain: Option<u8>,
    pub(crate) uds: Option<PathBuf>,
    pub(crate) uds_ro: Option<PathBuf>,
    pub(crate) transport_specific: Option<u8>,
    pub(crate) software: Option<bool>,
    /// In the order of ports.
    pub(crate) interfaces: Vec<String>,
    /// linuxptp-daemon writes the profile's name in a comment.
    pub(crate) profile: Option<String>,
}

impl Ptp4lConfig {
    /// Reads a file's text. What it does not understand it leaves to ptp4l.
    #[must_use]
    pub(crate) fn parse(text: &str) -> Self {
        let mut config = Self::default();
        let mut global = true;
        for line in text.lines().map(str::trim) {
            if let Some(profile) = line.strip_prefix("#profile:") {
                config.profile = Some(profile.trim().to_owned()).filter(|name| !name.is_empty());
            } else if let Some(section) = line.strip_prefix('[').and_then(|l| l.strip_suffix(']')) {
                let section = section.trim();
                global = section == "global";
                if !OTHER_SECTIONS.contains(&section) {
                    config.interface(section);
                }
            } else if global
                && !line.starts_with('#')
                && let Some((key, value)) = line.split_once(char::is_whitespace)
            {
                config.set(key, value.trim());
            }
        }
        config
    }

    /// Takes what a command line says besides its file (see [`file_argument`]).
    pub(crate) fn take_arguments(&mut self, arguments: &[String]) {
        // Ports of the command line are made before those of the file.
        let of_file = std::mem::take(&mut self.interfaces);
        for (option, value) in options(arguments) {
            match option {
                Opt::Long(key) => self.set(key, value),
                Opt::Short('i') => self.interface(value),
                Opt::Short('S') => self.software = Some(true),
                Opt::Short('H') => self.software = Some(false),
                Opt::Short(_) => {}
            }
        }
        for interface in of_file {
            self.interface(&interface);
        }
    }

    fn interface(&mut self, name: &str) {
        if !self.interfaces.iter().any(|known| known == name) {
            self.interfaces.push(name.to_owned());
        }
    }

    fn set(&mut self, key: &str, value: &str) {
        match key {
            "domainNumber" => self.domain = number(value).or(self.domain),
            "uds_address" => self.uds = Some(value.into()),
            "uds_ro_address" => self.uds_ro = Some(value.into()),
            "transportSpecific" => {
                let nibble = number(value).filter(|number| *number < 16);
                self.transport_specific = nibble.or(self.transport_specific);
            }
            "time_stamping" => self.software = Some(value == "software"),
            _ => {}
        }
    }
}

/// The file of a command line.
#[must_use]
pub(crate) fn file_argument(arguments: &[String]) -> Option<&str> {
    options(arguments).find_map(|(option, value)| (option == Opt::Short('f')).then_some(value))
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Opt<'a> {
    Short(char),
    Long(&'a str),
}

/// The options of a command line, the program's name first, as getopt_long(3) takes them apart.
fn options(arguments: &[String]) -> impl Iterator<Item = (Opt<'_>, &str)> {
    let mut arguments = arguments.iter().skip(1).map(String::as_str);
    let mut flags = "";
    std::iter::from_fn(move || {
        loop {
            if flags.is_empty() {
                let argument = arguments.next()?;
                if let Some(long) = argument.strip_prefix("--") {
                    let (key, value) = match long.split_once('=') {
                        Some(pair) => pair,
                        None => (long, arguments.next().unwrap_or_default()),
                    };
                    return Some((Opt::Long(key), value));
                }
                flags = argument.strip_prefix('-').unwrap_or_default();
                continue;
            }
            let mut rest = flags.chars();
            let flag = rest.next()?;
            flags = rest.as_str();
            let value = match flag {
                'f' | 'i' | 'p' | 'l' if flags.is_empty() => arguments.next().unwrap_or_default(),
                'f' | 'i' | 'p' | 'l' => std::mem::take(&mut flags),
                _ => "",
            };
            return Some((Opt::Short(flag), value));
        }
    })
}

/// A number as strtol(3) reads it with base 0.
fn number(text: &str) -> Option<u8> {
    match text.strip_prefix("0x") {
        Some(hex) => u8::from_str_radix(hex, 16).ok(),
        None => text.parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_of_linuxptp_daemon_is_understood() {
        let config = Ptp4lConfig::parse(
            "#profile: grandmaster\n\n[global]\ntwoStepFlag 1\ndomainNumber  0x18\n# domainNumber 3\n\
             uds_address /var/run/ptp4l.0.socket\ntransportSpecific 0x1\ntime_stamping hardware\n\
             [unicast_master_table]\ntable_id 1\ndomainNumber 9\n[nmea]\nts2phc.master 1\n\
             [ens1f0]\nmasterOnly 0\ndomainNumber 7\n[ens1f1]\n",
        );
        let want = Ptp4lConfig {
            domain: Some(24),
            uds: Some("/var/run/ptp4l.0.socket".into()),
            uds_ro: None,
            transport_specific: Some(1),
            software: Some(false),
            interfaces: vec!["ens1f0".into(), "ens1f1".into()],
            profile: Some("grandmaster".into()),
        };
        assert_eq!(config, want);
        assert_eq!(Ptp4lConfig::parse("\0\u{fffd}[[\n]\n#profile:\nx"), Ptp4lConfig::default());
        assert_eq!(Ptp4lConfig::parse("[global]\ndomainNumber many").domain, None);
    }

    #[test]
    fn command_line_goes_before_the_file() {
        let f = |line: &str, file: Option<&str>, want: &dyn Fn(&Ptp4lConfig) -> bool| {
            let arguments: Vec<_> = line.split(' ').map(String::from).collect();
            assert_eq!(file_argument(&arguments), file, "{line}");
            let mut config = Ptp4lConfig::parse("[global]\ndomainNumber 24\n[eth0]");
            config.take_arguments(&arguments);
            assert!(want(&config), "{line}: {config:?}");
        };
        f("ptp4l -f /etc/ptp4l.conf -m", Some("/etc/ptp4l.conf"), &|c| c.domain == Some(24));
        f("ptp4l -mqf/a -i eth2 -ieth1", Some("/a"), &|c| c.interfaces == ["eth2", "eth1", "eth0"]);
        f("/usr/sbin/ptp4l -Ss --domainNumber=44", None, &|c| {
            c.domain == Some(44) && c.software == Some(true)
        });
        f("ptp4l --uds_address /x -i", None, &|c| c.uds == Some("/x".into()));
        f("ptp4l", None, &|c| c.interfaces == ["eth0"]);
        f("ptp4l -", None, &|c| c.interfaces == ["eth0"]);
    }
}
