//! A physical function's link and counters, read every second from files of sysfs that stay
//! open. Netlink would need one call instead of ten reads, but that call waits for the lock of
//! all networking, which others hold for long; these files do not take it.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use super::metrics as m;
use crate::sample::{EntityValues, Metric};

/// Files of a network device's directory and their metrics.
static FILES: [(&str, &Metric); 9] = [
    ("carrier_changes", &m::PF_CARRIER_CHANGES),
    ("statistics/rx_bytes", &m::PF_RX_BYTES),
    ("statistics/tx_bytes", &m::PF_TX_BYTES),
    ("statistics/rx_packets", &m::PF_RX_PACKETS),
    ("statistics/tx_packets", &m::PF_TX_PACKETS),
    ("statistics/rx_dropped", &m::PF_RX_DROPPED),
    ("statistics/tx_dropped", &m::PF_TX_DROPPED),
    ("statistics/rx_errors", &m::PF_RX_ERRORS),
    ("statistics/tx_errors", &m::PF_TX_ERRORS),
];
const OPERSTATE: &str = "operstate";
/// More than the digits of a counter or the longest state.
const VALUE_BYTES: usize = 32;

/// The open files of a network device. They stay valid when it is renamed.
pub(super) struct Counters {
    operstate: File,
    files: [Option<File>; FILES.len()],
}

impl Counters {
    /// Opens what there is.
    pub(super) fn open(netdev: &Path) -> io::Result<Self> {
        let operstate = File::open(netdev.join(OPERSTATE))?;
        let files = std::array::from_fn(|i| File::open(netdev.join(FILES[i].0)).ok());
        Ok(Self { operstate, files })
    }

    /// Whether the link is up; an error when the device is gone.
    pub(super) fn is_up(&self) -> io::Result<bool> {
        let mut bytes = [0; VALUE_BYTES];
        Ok(read(&self.operstate, &mut bytes)?.trim_ascii() == b"up")
    }

    /// Sets the counters that the device has.
    pub(super) fn set(&self, values: &mut EntityValues<'_>) {
        for (file, (_, metric)) in self.files.iter().zip(&FILES) {
            if let Some(file) = file {
                values.set_opt(metric, number(file).map(|value| value as f64));
            }
        }
    }
}

fn read<'a>(file: &File, bytes: &'a mut [u8; VALUE_BYTES]) -> io::Result<&'a [u8]> {
    let length = file.read_at(bytes, 0)?;
    Ok(&bytes[..length])
}

fn number(file: &File) -> Option<u64> {
    let mut bytes = [0; VALUE_BYTES];
    let text = read(file, &mut bytes).ok()?;
    std::str::from_utf8(text).ok()?.trim_ascii().parse().ok()
}
