//! How bad an Xid is, as far as one event tells. What to do about it is the aggregator's.
//!
//! After NVIDIA's Xid catalogue and what operators learned: a fault of the application is no
//! fault of the GPU; what only a reset or a replacement cures is critical; what is not known is
//! a warning.

use sextant_proto::v1::Severity;

use super::nvrm::Xid;

/// Application faults and what needs no action.
const INFO: &[u32] = &[
    8, 11, 13, 25, 31, 32, 37, 39, 40, 41, 43, 45, 60, 68, 69, 70, 71, 72, 73, 75, 76, 77, 80, 85,
    93, 126, 127, 128, 129, 130, 131, 132, 133, 134, 135, 137, 138, 139, 141, 142, 152, 153, 160,
    162, 163, 164,
];
/// The GPU is of no use until it is reset, or for good.
const CRITICAL: &[u32] = &[
    46, 48, 54, 61, 62, 64, 74, 79, 95, 110, 119, 120, 136, 140, 143, 155, 157, 158, 167, 169, 171,
    172, 173,
];
/// NVLink 5 engines: the message says whether it is fatal.
pub(super) const NVLINK5: std::ops::RangeInclusive<u32> = 144..=150;
/// The recovery action changed: the message says to which.
pub(super) const RECOVERY_ACTION: u32 = 154;
/// The GPU has fallen off the bus.
pub(super) const FALLEN_OFF: u32 = 79;

/// By the number, and by what the kernel's log says where there is that.
pub(super) fn severity(xid: u32, message: Option<&Xid>) -> Severity {
    match xid {
        RECOVERY_ACTION => match message.and_then(|m| m.detail("recovery_action")) {
            Some("0") => Severity::Info,
            Some("1" | "2" | "4") => Severity::Critical,
            _ => Severity::Warning,
        },
        _ if NVLINK5.contains(&xid) => match message.and_then(|m| m.detail("fatal")) {
            Some("true") => Severity::Critical,
            _ => Severity::Warning,
        },
        _ if INFO.contains(&xid) => Severity::Info,
        _ if CRITICAL.contains(&xid) => Severity::Critical,
        _ => Severity::Warning,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::collectors::gpu::events::nvrm::{self, Line};

    #[test]
    fn severity_follows_number_and_message() {
        for (xid, want) in [
            (13, Severity::Info),
            (63, Severity::Warning),
            (79, Severity::Critical),
            (94, Severity::Warning),
            (95, Severity::Critical),
            (149, Severity::Warning),
            (154, Severity::Warning),
            (9_999, Severity::Warning),
        ] {
            assert_eq!(severity(xid, None), want, "{xid}");
        }
        for (text, want) in [
            ("149, NETIR_LINK_EVT Fatal XC0 i0 Link 00 (0x1 0x2)", Severity::Critical),
            ("145, RLW_RXPIPE Nonfatal XC0 i0 Link 13 (0x1 0x2)", Severity::Warning),
            (
                "154, GPU recovery action changed from 0x0 (None) to 0x2 (Node Reboot Required)",
                Severity::Critical,
            ),
            (
                "154, GPU recovery action changed from 0x1 (GPU Reset Required) to 0x0 (None)",
                Severity::Info,
            ),
            (
                "154, GPU recovery action changed from 0x0 (None) to 0x3 (Drain P2P)",
                Severity::Warning,
            ),
        ] {
            let Some(Line::Xid(xid)) = nvrm::parse(&format!("NVRM: Xid (PCI:0000:01:00): {text}"))
            else {
                panic!("{text}");
            };
            assert_eq!(severity(xid.xid, Some(&xid)), want, "{text}");
        }
    }

    #[test]
    fn no_number_is_in_two_lists() {
        assert!(!INFO.iter().any(|xid| CRITICAL.contains(xid)));
        assert!(INFO.is_sorted() && CRITICAL.is_sorted());
    }
}
