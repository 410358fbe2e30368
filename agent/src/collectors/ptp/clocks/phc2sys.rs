//! What a phc2sys does, by its arguments: not every one sets the system clock.

/// Options that take a value (phc2sys 3.1 to 4.4).
const WITH_VALUE: &str = "EFILMNOPRScdfilnstuz";
const SYSTEM: &str = "CLOCK_REALTIME";

/// The clock that is copied to the system clock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Phc2sysSource {
    /// The one of the port that follows, which ptp4l tells.
    Automatic,
    /// `/dev/ptpN`.
    Phc(i32),
    /// The one of a network device.
    Netdev(String),
}

impl Phc2sysSource {
    /// Reads a command line, the program's name first. `None` for a phc2sys that does not set
    /// the system clock, but a PHC or NTP's shared memory.
    #[must_use]
    pub fn parse(arguments: &[String]) -> Option<Self> {
        let (mut automatic, mut system, mut shared) = (false, false, false);
        let (mut source, mut sinks) = (None, Vec::new());
        let mut rest = arguments.iter().skip(1).map(String::as_str);
        while let Some(argument) = rest.next() {
            let Some(flags) = argument.strip_prefix('-').filter(|f| !f.starts_with('-')) else {
                continue;
            };
            for (at, flag) in flags.char_indices() {
                match flag {
                    'a' => automatic = true,
                    'r' => system = true,
                    _ => {}
                }
                if WITH_VALUE.contains(flag) {
                    let joined = &flags[at + flag.len_utf8()..];
                    let value = if joined.is_empty() { rest.next()? } else { joined };
                    match flag {
                        's' | 'i' => source = Some(value),
                        'c' => sinks.push(value),
                        'E' => shared = value == "ntpshm",
                        _ => {}
                    }
                    break;
                }
            }
        }
        if shared {
            return None;
        }
        if automatic {
            return system.then_some(Self::Automatic);
        }
        if source == Some(SYSTEM) || !(sinks.is_empty() || sinks.contains(&SYSTEM)) {
            return None;
        }
        Some(match source {
            // A PPS device alone.
            None => Self::Automatic,
            Some(device) => match device.strip_prefix("/dev/ptp").map(str::parse) {
                Some(Ok(index)) => Self::Phc(index),
                _ => Self::Netdev(device.to_owned()),
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_tell_what_is_copied_to_the_system_clock() {
        let f = |line: &str, want: Option<Phc2sysSource>| {
            let arguments: Vec<String> = line.split(' ').map(str::to_owned).collect();
            assert_eq!(Phc2sysSource::parse(&arguments), want, "{line}");
        };
        let netdev = |name: &str| Some(Phc2sysSource::Netdev(name.into()));
        f("phc2sys -a -r -n 24", Some(Phc2sysSource::Automatic));
        f("phc2sys -arr -z /var/run/ptp4l", Some(Phc2sysSource::Automatic));
        f("phc2sys -a", None);
        f("phc2sys -s eth0 -w -m", netdev("eth0"));
        f("phc2sys -seth0 -O -37", netdev("eth0"));
        f("phc2sys -O -37 -s /dev/ptp3 -c CLOCK_REALTIME", Some(Phc2sysSource::Phc(3)));
        f("phc2sys -s CLOCK_REALTIME -c eth0", None);
        f("phc2sys -s eth0 -c eth1", None);
        f("phc2sys -s eth0 -c eth1 -c CLOCK_REALTIME", netdev("eth0"));
        f("phc2sys -s eth0 -E ntpshm -M 1", None);
        f("phc2sys -d /dev/pps0", Some(Phc2sysSource::Automatic));
        f("phc2sys --step_threshold 1 -mqs ens1f0", netdev("ens1f0"));
        f("phc2sys -f /etc/a.conf -s /dev/ptp-x", netdev("/dev/ptp-x"));
        f("phc2sys -s", None);
    }
}
