//! What the text of an Xid says beyond its number, as names and values.
//!
//! Only what a rule can act on: which link, whether fatal, which recovery, what it follows from.
//! A text of another form has no details; nothing is guessed.

use super::super::xid::{NVLINK5, RECOVERY_ACTION};
use super::{number, number_after};

/// What [`super::super::xid`] and the rules call the recovery actions of field 230, by the words
/// of drivers that leave out the number.
const ACTIONS: [(&str, &str); 8] = [
    ("None", "0"),
    ("GPU Reset Required", "1"),
    ("Reset", "1"),
    ("Node Reboot Required", "2"),
    ("OS Reboot", "2"),
    ("Drain P2P", "3"),
    ("Drain and Reset", "4"),
    ("IMEX", "5"),
];

/// The details of an Xid with this text.
pub(super) fn of(xid: u32, text: &str) -> Vec<(&'static str, String)> {
    let mut out = Vec::new();
    if let Some(cause) = number_after(text, "caused by previous Xid ") {
        out.push(("caused_by_xid", cause.to_string()));
    }
    match xid {
        13 => place(text, &mut out),
        63 | 64 => retirement(text, &mut out),
        74 => link(text, &mut out),
        94 | 95 => containment(text, &mut out),
        RECOVERY_ACTION => recovery(text, &mut out),
        _ if NVLINK5.contains(&xid) => nvlink5(text, &mut out),
        _ => {}
    }
    out
}

type Details = Vec<(&'static str, String)>;

/// `(GPC 7, TPC 7, SM 0)`: the same place twice is a sign of bad hardware.
fn place(text: &str, out: &mut Details) {
    for (name, word) in [("gpc", "GPC "), ("tpc", "TPC "), ("sm", ", SM ")] {
        if let Some(number) = number_after(text, word) {
            out.push((name, number.to_string()));
        }
    }
}

/// `Row Remapper: New row marked for remapping, reset gpu to activate.` and
/// `Dynamic Page Retirement: New page retired, reboot to activate (0x…).`
fn retirement(text: &str, out: &mut Details) {
    let kind = match text {
        _ if text.starts_with("Row Remapper") || text.starts_with("Row remapper") => "row_remap",
        _ if text.contains("age retire") || text.contains("age Retirement") => "page",
        _ => return,
    };
    out.push(("retirement", kind.to_owned()));
    if text.contains("to activate") {
        out.push(("pending", "true".to_owned()));
    }
}

/// `NVLink: fatal error detected on link 14(0x0, 0x0, 0x10000, 0x0, 0x0, 0x0, 0x0)`
fn link(text: &str, out: &mut Details) {
    let Some(at) = text.find("on link ") else { return };
    let Some((link, rest)) = number(&text[at + "on link ".len()..]) else { return };
    out.push(("link", link.to_string()));
    if let Some(registers) = rest.strip_prefix('(').and_then(|rest| rest.split_once(')')) {
        out.push(("registers", registers.0.replace(',', "")));
    }
}

/// `Contained: CE User Channel (0x9). RST: No, D-RST: No`
fn containment(text: &str, out: &mut Details) {
    let Some((word, rest)) = text.split_once(": ") else { return };
    if !matches!(word, "Contained" | "Uncontained") {
        return;
    }
    let location = rest.split(". ").next().and_then(|rest| rest.split(" (").next());
    out.push(("location", location.unwrap_or_default().to_owned()));
    for (name, word) in [("reset_required", " RST: "), ("drain_reset_required", "D-RST: ")] {
        let Some(at) = rest.find(word) else { continue };
        let yes = rest[at + word.len()..].starts_with("Yes");
        out.push((name, yes.to_string()));
    }
}

/// `GPU recovery action changed from 0x0 (None) to 0x1 (GPU Reset Required)`
fn recovery(text: &str, out: &mut Details) {
    let Some((before, action)) = text.rsplit_once(" to ") else { return };
    if !before.contains("recovery action changed") {
        return;
    }
    let code = action.strip_prefix("0x").and_then(|digits| {
        let end = digits.find(|c: char| !c.is_ascii_hexdigit()).unwrap_or(digits.len());
        u32::from_str_radix(&digits[..end], 16).ok()
    });
    let words = action.split_once('(').map_or(action, |(_, words)| words);
    let words = words.trim_end_matches([')', '.']).trim();
    let known = || ACTIONS.iter().find(|(name, _)| words.starts_with(name)).map(|a| a.1.to_owned());
    if let Some(code) = code.map(|code| code.to_string()).or_else(known) {
        out.push(("recovery_action", code));
    }
    out.push(("recovery_action_text", words.to_owned()));
}

/// `NETIR_LINK_EVT Fatal XC0 i0 Link 00 (0x026001c6 0x00000000 0x… 0x… 0x… 0x…)`: the first
/// register names the subcode in its bits 20 to 25, the second is the error's status.
fn nvlink5(text: &str, out: &mut Details) {
    let mut words = text.split(' ');
    let (Some(unit), Some(fatal)) = (words.next(), words.next()) else { return };
    let fatal = match fatal {
        "Fatal" => true,
        "Nonfatal" | "Non-fatal" => false,
        _ => return,
    };
    out.push(("unit", unit.to_owned()));
    out.push(("fatal", fatal.to_string()));
    if let Some(link) = number_after(text, " Link ") {
        out.push(("link", link.to_string()));
    }
    let Some((_, registers)) = text.split_once('(') else { return };
    let mut registers = registers.split([' ', ',', ')']).filter(|register| !register.is_empty());
    let mut register = || {
        let register = registers.next()?.strip_prefix("0x")?;
        u32::from_str_radix(register, 16).ok()
    };
    if let Some(interrupt) = register() {
        out.push(("subcode", (interrupt >> 20 & 0x3f).to_string()));
        out.push(("interrupt_info", format!("{interrupt:#010x}")));
        if let Some(status) = register() {
            out.push(("error_status", format!("{status:#010x}")));
        }
    }
}
