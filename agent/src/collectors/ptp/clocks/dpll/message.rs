//! Answers of the generic netlink family `dpll` (Linux 6.7), by the numbers of `linux/dpll.h`.
//!
//! A device is a phase-locked loop; a pin is an input or output of one or more of them, and what
//! a pin is to each of its parents is nested.

use crate::netlink::Attributes;

/// A pin's parents beyond are left out.
const MOST_PARENTS: usize = 16;

const A_ID: u16 = 1;
const A_MODULE_NAME: u16 = 2;
const A_CLOCK_ID: u16 = 4;
const A_MODE: u16 = 5;
const A_LOCK_STATUS: u16 = 7;
const A_TEMP: u16 = 8;
const A_TYPE: u16 = 9;
const A_LOCK_STATUS_ERROR: u16 = 10;

const PIN_ID: u16 = 1;
const PIN_PARENT_ID: u16 = 2;
const PIN_BOARD_LABEL: u16 = 6;
const PIN_PANEL_LABEL: u16 = 7;
const PIN_PACKAGE_LABEL: u16 = 8;
const PIN_TYPE: u16 = 9;
const PIN_PRIO: u16 = 15;
const PIN_STATE: u16 = 16;
const PIN_PARENT_DEVICE: u16 = 18;
const PIN_PHASE_OFFSET: u16 = 23;
const PIN_FREQUENCY_OFFSET: u16 = 24;

/// `DPLL_TEMP_DIVIDER`.
const TEMPERATURE_DIVIDER: f64 = 1_000.0;
/// Phase offsets are picoseconds times `DPLL_PHASE_OFFSET_DIVIDER`, which is 1000.
const PHASE_DIVIDER: f64 = 1e15;
/// Frequency offsets are parts per million.
const PPM: f64 = 1e6;

/// A device.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Device<'a> {
    pub(super) id: u32,
    pub(super) module: &'a str,
    pub(super) clock_id: u64,
    pub(super) mode: &'static str,
    pub(super) kind: &'static str,
    /// 1 unlocked, 2 locked, 3 locked with holdover acquired, 4 holdover.
    pub(super) lock: Option<u32>,
    /// 0 none, 1 undefined, 2 media down, 3 frequency offset too high.
    pub(super) lock_error: Option<u32>,
    pub(super) celsius: Option<f64>,
}

impl<'a> Device<'a> {
    /// `None` if an attribute is not as it must be, or there is no id.
    pub(super) fn parse(mut attributes: Attributes<'a>) -> Option<Self> {
        let mut device = Self::default();
        let mut id = None;
        for a in attributes.by_ref() {
            match a.kind {
                A_ID => id = Some(a.u32()?),
                A_MODULE_NAME => device.module = a.text()?,
                A_CLOCK_ID => device.clock_id = a.u64()?,
                A_MODE => device.mode = word(&["manual", "automatic"], a.u32()?),
                A_LOCK_STATUS => device.lock = Some(a.u32()?),
                A_TEMP => {
                    let raw = i32::from_ne_bytes(a.u32()?.to_ne_bytes());
                    device.celsius = Some(f64::from(raw) / TEMPERATURE_DIVIDER);
                }
                A_TYPE => device.kind = word(&["pps", "eec"], a.u32()?),
                // The kernel counts from 1.
                A_LOCK_STATUS_ERROR => device.lock_error = a.u32()?.checked_sub(1),
                _ => {}
            }
        }
        device.id = id?;
        (!attributes.is_damaged()).then_some(device)
    }
}

/// What a pin is to a device.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Parent {
    pub(super) dpll: u32,
    pub(super) priority: Option<u32>,
    /// 1 connected, 2 disconnected, 3 selectable.
    pub(super) state: Option<u32>,
    pub(super) phase_seconds: Option<f64>,
}

impl Parent {
    fn parse(mut attributes: Attributes<'_>) -> Option<Self> {
        let mut parent = Self::default();
        let mut id = None;
        for a in attributes.by_ref() {
            match a.kind {
                PIN_PARENT_ID => id = Some(a.u32()?),
                PIN_PRIO => parent.priority = Some(a.u32()?),
                PIN_STATE => parent.state = Some(a.u32()?),
                PIN_PHASE_OFFSET => parent.phase_seconds = Some(a.sint()? as f64 / PHASE_DIVIDER),
                _ => {}
            }
        }
        parent.dpll = id?;
        (!attributes.is_damaged()).then_some(parent)
    }
}

/// A pin; its parents go into a list that is kept.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Pin<'a> {
    pub(super) id: u32,
    /// The best name that it has: on the panel, on the board, on the package.
    pub(super) label: &'a str,
    pub(super) kind: &'static str,
    pub(super) frequency_offset: Option<f64>,
}

impl<'a> Pin<'a> {
    /// `None` if an attribute is not as it must be, or there is no id.
    pub(super) fn parse(mut attributes: Attributes<'a>, parents: &mut Vec<Parent>) -> Option<Self> {
        const KINDS: [&str; 5] = ["mux", "ext", "synce-eth-port", "int-oscillator", "gnss"];
        let mut pin = Self::default();
        let mut id = None;
        let mut labels = [""; 3];
        parents.clear();
        for a in attributes.by_ref() {
            match a.kind {
                PIN_ID => id = Some(a.u32()?),
                PIN_PANEL_LABEL => labels[0] = a.text()?,
                PIN_BOARD_LABEL => labels[1] = a.text()?,
                PIN_PACKAGE_LABEL => labels[2] = a.text()?,
                PIN_TYPE => pin.kind = word(&KINDS, a.u32()?),
                PIN_FREQUENCY_OFFSET => pin.frequency_offset = Some(a.sint()? as f64 / PPM),
                PIN_PARENT_DEVICE => {
                    let parent = Parent::parse(a.nested())?;
                    if parents.len() < MOST_PARENTS {
                        parents.push(parent);
                    }
                }
                _ => {}
            }
        }
        pin.id = id?;
        pin.label = labels.into_iter().find(|label| !label.is_empty()).unwrap_or("");
        (!attributes.is_damaged()).then_some(pin)
    }
}

/// The word for a number that counts from 1; empty for one that is not known yet.
fn word(words: &[&'static str], number: u32) -> &'static str {
    let at = number.checked_sub(1).and_then(|at| usize::try_from(at).ok());
    at.and_then(|at| words.get(at)).copied().unwrap_or("")
}
