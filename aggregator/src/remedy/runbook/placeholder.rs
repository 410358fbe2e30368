//! Placeholders of commands, and the names that fill them.
//!
//! A command is pasted into a shell. What fills it comes from nodes and from error texts, so a
//! name is taken only if no shell and no program can read anything else in it: letters, digits
//! and `._:/@-`, not beginning with `-`. Anything else counts as not known.

use std::collections::BTreeMap;

use sextant_proto::v1::Label;

/// Every placeholder, and how to look its name up when it is not known.
pub const PLACEHOLDERS: [(&str, &str); 29] = [
    ("array", "the md array: cat /proc/mdstat"),
    ("cluster", "the cluster's name: sextant-aggregator nodes"),
    ("collector", "the collector: sextant-aggregator query sextant_collector_up"),
    ("config", "the configuration file that the process was started with: ps -C ptp4l -o args"),
    ("container", "the container: kubectl get pod POD -o jsonpath='{.spec.containers[*].name}'"),
    ("deployment", "the deployment that owns the pod: kubectl get deployments -A"),
    ("device", "the device: lsblk, or ip -brief link"),
    ("dpll", "the DPLL: sextant-aggregator query ptp_dpll_lock_status"),
    ("gpu_index", "the GPU's index: nvidia-smi -L"),
    ("gpu_uuid", "the GPU's UUID: nvidia-smi -L"),
    ("image", "the image: kubectl get pod POD -o jsonpath='{.spec.containers[*].image}'"),
    ("instance", "the PTP instance: sextant-aggregator query ptp_instance_up"),
    ("interface", "the interface: ip -brief link"),
    ("link", "the NVLink: nvidia-smi nvlink --status"),
    ("lock_id", "the lock's id: it stands in Terraform's message as ID"),
    ("metric", "the metric: sextant-aggregator anomalies"),
    ("mountpoint", "where it is mounted: findmnt"),
    ("namespace", "the namespace: kubectl get pods -A"),
    ("node", "the node: sextant-aggregator nodes"),
    ("pci", "the PCI address: lspci -D"),
    ("pf", "the physical function's interface: ip -brief link"),
    ("phc", "the hardware clock: ls /sys/class/ptp"),
    ("pid", "the process: it stands in the kernel's message"),
    ("pod", "the pod: kubectl get pods -A -o wide"),
    ("port", "the port: ibstat, or the DPDK application's log"),
    ("process", "the process: ps -e"),
    ("vf", "the VF's number: ip link show"),
    ("volume", "the volume: kubectl get pvc -A"),
    ("xid", "the Xid's number: dmesg | grep Xid"),
];

/// The longest name that is taken: that of a Kubernetes object.
const MAX_NAME_BYTES: usize = 253;

/// Names that placeholders stand for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Names(BTreeMap<&'static str, String>);

impl Names {
    /// Takes a name for a placeholder that has none yet, if it is fit for a command.
    pub fn offer(&mut self, placeholder: &str, name: &str) {
        let known = PLACEHOLDERS.iter().find(|(p, _)| *p == placeholder);
        if let Some((placeholder, _)) = known.filter(|_| is_plain(name)) {
            self.0.entry(placeholder).or_insert_with(|| name.to_owned());
        }
    }

    /// The name of a placeholder.
    #[must_use]
    pub fn get(&self, placeholder: &str) -> Option<&str> {
        self.0.get(placeholder).map(String::as_str)
    }

    /// These names, and those of others where these have none.
    #[must_use]
    pub fn or(mut self, others: &Self) -> Self {
        for (placeholder, name) in &others.0 {
            self.0.entry(placeholder).or_insert_with(|| name.clone());
        }
        self
    }

    /// The wire's form of them.
    #[must_use]
    pub fn to_wire(&self) -> Vec<Label> {
        self.0.iter().map(|(n, v)| Label { name: (*n).into(), value: v.clone() }).collect()
    }

    /// A text with its placeholders filled; the placeholders that have no name, if any.
    ///
    /// # Errors
    /// The placeholders without a name.
    pub fn fill(&self, text: &str) -> Result<String, Vec<&'static str>> {
        let (mut filled, mut missing) = (String::with_capacity(text.len()), Vec::new());
        for part in parts(text) {
            match part {
                Part::Text(text) => filled.push_str(text),
                Part::Placeholder(name) => match (self.0.get(name), known(name)) {
                    (Some(name), _) => filled.push_str(name),
                    (None, Some((placeholder, _))) => missing.push(placeholder),
                    (None, None) => {}
                },
            }
        }
        missing.sort_unstable();
        missing.dedup();
        if missing.is_empty() { Ok(filled) } else { Err(missing) }
    }

    /// A sentence with its placeholders filled where a name is known, and named where not.
    #[must_use]
    pub fn describe(&self, text: &str) -> String {
        let words = parts(text).map(|part| match part {
            Part::Text(text) => text.to_owned(),
            Part::Placeholder(name) => match self.0.get(name) {
                Some(name) => name.clone(),
                None => format!("the {}", name.replace('_', " ")),
            },
        });
        words.collect()
    }
}

/// The placeholder and how to look its name up.
#[must_use]
pub fn known(name: &str) -> Option<(&'static str, &'static str)> {
    PLACEHOLDERS.into_iter().find(|(p, _)| *p == name)
}

/// What a text names in braces and there is no placeholder of.
pub(super) fn unknown(text: &str) -> Option<&str> {
    parts(text).find_map(|part| match part {
        Part::Placeholder(name) if known(name).is_none() => Some(name),
        _ => None,
    })
}

fn is_plain(name: &str) -> bool {
    let fit = |c: char| c.is_ascii_alphanumeric() || "._:/@-".contains(c);
    !name.is_empty()
        && name.len() <= MAX_NAME_BYTES
        && !name.starts_with('-')
        && !name.contains("..")
        && name.chars().all(fit)
}

enum Part<'a> {
    Text(&'a str),
    Placeholder(&'a str),
}

/// A text in parts. A placeholder is a word of small letters and `_` in braces; other braces
/// (JSONPath, awk) are text.
fn parts(text: &str) -> impl Iterator<Item = Part<'_>> {
    let mut rest = text;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let mut from = 0;
        while let Some(open) = rest[from..].find('{').map(|at| from + at) {
            let word = &rest[open + 1..];
            let end = word.find(|c: char| !c.is_ascii_lowercase() && c != '_');
            match end {
                Some(end) if end > 0 && word[end..].starts_with('}') => {
                    if open > 0 {
                        let (text, after) = rest.split_at(open);
                        rest = after;
                        return Some(Part::Text(text));
                    }
                    rest = &word[end + 1..];
                    return Some(Part::Placeholder(&word[..end]));
                }
                _ => from = open + 1,
            }
        }
        Some(Part::Text(std::mem::take(&mut rest)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(pairs: &[(&str, &str)]) -> Names {
        let mut names = Names::default();
        pairs.iter().for_each(|(placeholder, name)| names.offer(placeholder, name));
        names
    }

    #[test]
    fn command_is_filled_or_says_what_is_missing() {
        let names = names(&[("node", "gpu-7"), ("pci", "0000:3b:00.0")]);
        let filled = names.fill("ssh {node} lspci -s {pci} | awk '{print $1}'");
        assert_eq!(
            filled.expect("all known"),
            "ssh gpu-7 lspci -s 0000:3b:00.0 | awk '{print $1}'"
        );
        let missing = names.fill("kubectl -n {namespace} logs {pod} -c {container} {pod}");
        assert_eq!(missing.expect_err("three"), ["container", "namespace", "pod"]);
        assert_eq!(names.describe("drain {node} and {gpu_index}"), "drain gpu-7 and the gpu index");
    }

    #[test]
    fn name_that_a_shell_would_read_is_not_taken() {
        for hostile in
            ["a; rm -rf /", "$(id)", "`id`", "-o", "a b", "a'b", "a\nb", "", "../etc", "a|b", "ü"]
        {
            assert_eq!(names(&[("pod", hostile)]), Names::default(), "{hostile:?}");
        }
        assert_eq!(names(&[("pod", &"a".repeat(254))]), Names::default());
        assert_eq!(names(&[("colour", "red")]), Names::default());
        assert_eq!(names(&[("pod", "a"), ("pod", "b")]).get("pod"), Some("a"));
    }

    #[test]
    fn braces_that_are_no_placeholder_are_text() {
        for text in ["{.items[*]}", "{", "{}", "a{b", "{Node}", "'{print $1}'", "{ node }"] {
            assert_eq!(Names::default().fill(text).as_deref(), Ok(text));
            assert_eq!(unknown(text), None);
        }
        assert_eq!(unknown("a {node} {colour}"), Some("colour"));
    }
}
