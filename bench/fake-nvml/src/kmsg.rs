//! Kernel log records of Xids, in the form that a read of `/dev/kmsg` gives.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Instant;

use crate::gpu::Identity;

static SEQUENCE: AtomicU64 = AtomicU64::new(1000);

/// Appends the driver's line about an Xid.
pub(crate) fn xid(path: &Path, gpu: &Identity, code: u64) {
    let (domain, bus, device) = gpu.pci_address;
    let detail = match code {
        79 => "GPU has fallen off the bus.",
        48 => {
            "An uncorrectable double bit error (DBE) has been detected on GPU in the framebuffer at partition 0, subpartition 1."
        }
        63 => "Row Remapper: New row marked for remapping, reset gpu to activate.",
        94 => "Contained memory error",
        119 => {
            "Timeout after 6s of waiting for RPC response from GPU0 GSP! Expected function 76 (GSP_RM_CONTROL)."
        }
        _ => "Ch 00000008, intr 00000000",
    };
    let sequence = SEQUENCE.fetch_add(1, Relaxed);
    let uptime = Instant::now().duration_since(crate::runtime::start()).as_micros() + 1_000_000;
    let record = format!(
        "4,{sequence},{uptime},-;NVRM: Xid (PCI:{domain:04x}:{bus:02x}:{device:02x}): {code}, pid='<unknown>', name=<unknown>, {detail}\n"
    );
    let written = OpenOptions::new()
        .append(true)
        .create(true)
        .open(path)
        .and_then(|mut file| file.write_all(record.as_bytes()));
    if let Err(error) = written {
        crate::runtime::complain(&format!("{}: {error}", path.display()));
    }
}
