//! What NVIDIA's drivers write into the kernel's log, read from one message.
//!
//! The driver prints `NVRM: Xid (PCI:dddd:bb:dd[ GPU-I:nn[ GPU-CI:nn]]): N[, pid=P, name=C], text`
//! (`krcReportXid` of the open kernel modules); older ones leave out `name=`, `pid=` or `PCI:`.
//! A message counts only if it begins so: text further in may be a process's own choice.

mod details;
#[cfg(test)]
mod tests;

use super::address::PciAddress;
use crate::sample::clipped;

/// Longest text kept of a message, in bytes.
const TEXT: usize = 512;
/// Longest process name kept; the kernel's have 15 bytes.
const NAME: usize = 64;

/// A message that matters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Line {
    Xid(Xid),
    Sxid(Sxid),
    /// A GPU does not answer on the bus any more; often, not always, beside an Xid 79.
    FallenOff {
        address: PciAddress,
        text: String,
    },
    /// A GPU could not be started.
    InitFailed {
        address: Option<PciAddress>,
        text: String,
    },
    /// A program's driver libraries are of another version than the kernel's module.
    Mismatch {
        client: Option<String>,
        module: Option<String>,
    },
    /// Which GPU is at an address: said once before its first Xid.
    Uuid {
        address: PciAddress,
        uuid: String,
    },
}

/// An error of a GPU.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Xid {
    pub(super) address: PciAddress,
    pub(super) xid: u32,
    pub(super) pid: Option<u32>,
    pub(super) process: Option<String>,
    pub(super) gpu_instance: Option<u32>,
    pub(super) compute_instance: Option<u32>,
    /// What follows the number and the process.
    pub(super) text: String,
    /// What the text says, by name.
    pub(super) details: Vec<(&'static str, String)>,
}

impl Xid {
    /// One of the details.
    pub(super) fn detail(&self, name: &str) -> Option<&str> {
        self.details.iter().find(|detail| detail.0 == name).map(|detail| detail.1.as_str())
    }
}

/// An error of an NVSwitch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Sxid {
    pub(super) address: PciAddress,
    pub(super) sxid: u32,
    /// "nvidia-nvswitch3".
    pub(super) switch: String,
    pub(super) fatal: Option<bool>,
    pub(super) link: Option<u32>,
    pub(super) text: String,
}

/// Whether a message can be one of the driver's, from its first bytes.
pub(super) fn is_candidate(text: &[u8]) -> bool {
    text.starts_with(b"NVRM: ") || text.starts_with(b"nvidia-nvswitch")
}

/// Reads a message.
pub(super) fn parse(text: &str) -> Option<Line> {
    let text = text.trim_end();
    let Some(rest) = text.strip_prefix("NVRM: ") else { return sxid(text).map(Line::Sxid) };
    if let Some(rest) = rest.strip_prefix("Xid (") {
        return xid(rest).map(Line::Xid);
    }
    if let Some(rest) = rest.strip_prefix("API mismatch:") {
        let [client, module] = versions(rest);
        return Some(Line::Mismatch { client, module });
    }
    let kept = || clipped(rest, TEXT).to_owned();
    if rest.contains("fallen off the bus") {
        return PciAddress::find(rest).map(|address| Line::FallenOff { address, text: kept() });
    }
    if rest.contains("RmInitAdapter failed!") {
        return Some(Line::InitFailed { address: PciAddress::find(rest), text: kept() });
    }
    let at = rest.strip_prefix("GPU at ")?;
    let (address, uuid) = at.strip_prefix("PCI:").unwrap_or(at).split_once(": ")?;
    let address = PciAddress::parse(address)?;
    let is_uuid = uuid.starts_with("GPU-") && uuid.len() <= 64 && uuid.is_ascii();
    is_uuid.then(|| Line::Uuid { address, uuid: uuid.to_owned() })
}

/// What follows `NVRM: Xid (`.
fn xid(rest: &str) -> Option<Xid> {
    let (place, rest) = rest.split_once("):")?;
    let mut place = place.split(' ');
    let address = place.next()?;
    let address = PciAddress::parse(address.strip_prefix("PCI:").unwrap_or(address))?;
    let mut instances = [None; 2];
    for word in place {
        for (prefix, instance) in ["GPU-I:", "GPU-CI:"].into_iter().zip(&mut instances) {
            *instance = instance.or(word.strip_prefix(prefix).and_then(|id| id.parse().ok()));
        }
    }
    let (xid, rest) = number(rest.trim_start())?;
    let mut text = rest.strip_prefix(',').unwrap_or(rest).trim_start();
    let pid = field(&mut text, "pid=").and_then(|pid| pid.parse().ok());
    let process = field(&mut text, "name=").map(|name| clipped(name, NAME).to_owned());
    Some(Xid {
        address,
        xid,
        pid,
        process,
        gpu_instance: instances[0],
        compute_instance: instances[1],
        text: clipped(text, TEXT).to_owned(),
        details: details::of(xid, text),
    })
}

/// Takes a leading `key=value` off a text; none as well where the driver does not know it.
fn field<'a>(text: &mut &'a str, key: &str) -> Option<&'a str> {
    let rest = text.strip_prefix(key)?;
    let (value, rest) = rest.split_once(',').unwrap_or((rest, ""));
    *text = rest.trim_start();
    let value = value.trim().trim_matches('\'');
    (!value.is_empty() && !value.starts_with('<')).then_some(value)
}

/// The number at the start and what follows it.
fn number(text: &str) -> Option<(u32, &str)> {
    let end = text.bytes().position(|b| !b.is_ascii_digit()).unwrap_or(text.len());
    Some((text[..end].parse().ok()?, &text[end..]))
}

/// The number that follows the first `word`.
fn number_after(text: &str, word: &str) -> Option<u32> {
    let at = text.find(word)? + word.len();
    number(text[at..].trim_start()).map(|(number, _)| number)
}

/// `nvidia-nvswitchN: SXid (PCI:address): number, Fatal|Non-fatal, Link N text`. The lines that
/// follow with registers have the same number and are no errors of their own.
fn sxid(text: &str) -> Option<Sxid> {
    let (switch, rest) = text.split_once(' ')?;
    let switch = switch.trim_end_matches(':');
    let index = switch.strip_prefix("nvidia-nvswitch")?;
    if index.is_empty() || !index.bytes().all(|b| b.is_ascii_digit()) || index.len() > 4 {
        return None;
    }
    let (address, rest) = rest.strip_prefix("SXid (PCI:")?.split_once("):")?;
    let address = PciAddress::parse(address)?;
    let (sxid, rest) = number(rest.trim_start())?;
    let text = rest.strip_prefix(',').unwrap_or(rest).trim_start();
    if text.starts_with("Severity ") || text.starts_with("Data {") {
        return None;
    }
    let fatal = match text.split(',').next().unwrap_or_default().trim() {
        "Fatal" => Some(true),
        "Non-fatal" | "Nonfatal" => Some(false),
        _ => None,
    };
    Some(Sxid {
        address,
        sxid,
        switch: switch.to_owned(),
        fatal,
        link: number_after(text, "Link "),
        text: clipped(text, TEXT).to_owned(),
    })
}

/// The client's and the module's version in a message about a mismatch.
fn versions(text: &str) -> [Option<String>; 2] {
    let mut words = text.split_whitespace().map(|word| word.trim_end_matches([',', '.']));
    let mut version = || {
        let is_version = |word: &str| {
            word.len() <= 32
                && word.contains('.')
                && word.bytes().all(|b| b.is_ascii_digit() || b == b'.')
        };
        words.find(|word| is_version(word)).map(str::to_owned)
    };
    [version(), version()]
}
