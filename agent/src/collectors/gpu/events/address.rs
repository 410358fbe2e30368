//! PCI addresses as they are written in the kernel's log, by NVML and in sysfs.

use std::fmt;

/// A device on the PCI bus. Functions are left out: the driver's messages have none, and a GPU
/// is function 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct PciAddress {
    domain: u32,
    bus: u8,
    device: u8,
}

impl PciAddress {
    /// Reads `[domain:]bus:device[.function]` in hexadecimal of either case, with a domain of up
    /// to eight digits.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let text = match text.split_once('.') {
            Some((address, function)) => {
                hex(function, 1)?;
                address
            }
            None => text,
        };
        let mut parts = text.rsplit(':');
        let device = u8::try_from(hex(parts.next()?, 2)?).ok()?;
        let bus = u8::try_from(hex(parts.next()?, 2)?).ok()?;
        let domain = parts.next().map_or(Some(0), |domain| hex(domain, 8))?;
        parts.next().is_none().then_some(Self { domain, bus, device })
    }

    /// The first word of a sentence that is an address with a bus, a device and a function.
    pub(super) fn find(text: &str) -> Option<Self> {
        let punctuation = |c: char| matches!(c, ':' | ',' | '(' | ')' | ';');
        text.split_whitespace()
            .map(|word| word.trim_matches(punctuation))
            .find_map(|word| word.contains('.').then(|| Self::parse(word)).flatten())
    }
}

fn hex(digits: &str, most: usize) -> Option<u32> {
    let plain = digits.len() <= most && digits.bytes().all(|b| b.is_ascii_hexdigit());
    plain.then(|| u32::from_str_radix(digits, 16).ok()).flatten()
}

impl fmt::Display for PciAddress {
    /// As sysfs names it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04x}:{:02x}:{:02x}.0", self.domain, self.bus, self.device)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_way_of_writing_an_address_means_the_same() {
        for (text, want) in [
            ("0000:3b:00", Some("0000:3b:00.0")),
            ("0000:3B:00", Some("0000:3b:00.0")),
            ("00000000:3B:00.0", Some("0000:3b:00.0")),
            ("3b:00.0", Some("0000:3b:00.0")),
            ("0019:01:00", Some("0019:01:00.0")),
            ("00010000:01:00.0", Some("10000:01:00.0")),
            ("0000:10:1c", Some("0000:10:1c.0")),
            ("0000:3b:00.10", None),
            ("000000000:3b:00", None),
            ("0000:13b:00", None),
            ("0:0000:3b:00", None),
            ("+1:3b:00", None),
            ("::", None),
            ("", None),
        ] {
            let got = PciAddress::parse(text).map(|address| address.to_string());
            assert_eq!(got.as_deref(), want, "{text}");
        }
    }

    #[test]
    fn address_is_found_in_a_sentence() {
        let got = PciAddress::find("NVRM: GPU at 0000:01:00.0 has fallen off the bus.");
        assert_eq!(got, PciAddress::parse("0000:01:00"));
        assert_eq!(PciAddress::find("version 535.54.03, at 12:30"), None);
    }
}
