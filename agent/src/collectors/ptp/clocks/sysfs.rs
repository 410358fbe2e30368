//! Reading sysfs: lists, attributes, and where links lead.

use std::path::Path;

/// The names in `dir`, sorted. A directory that cannot be read has none.
pub(super) fn names(dir: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    let mut names: Vec<String> = entries.filter_map(|e| e.file_name().into_string().ok()).collect();
    names.sort_unstable();
    names
}

/// An attribute's text without the space around it; `None` if it cannot be read, as attributes
/// of many drivers cannot.
pub(super) fn text(dir: &Path, name: &str) -> Option<String> {
    let bytes = std::fs::read(dir.join(name)).ok()?;
    Some(String::from_utf8_lossy(&bytes).trim().to_owned())
}

/// The number that an attribute is.
pub(super) fn number(dir: &Path, name: &str) -> Option<f64> {
    text(dir, name)?.parse::<i64>().ok().map(|value| value as f64)
}

/// The last part of where a link leads.
pub(super) fn link(dir: &Path, name: &str) -> Option<String> {
    let target = std::fs::read_link(dir.join(name)).ok()?;
    Some(target.file_name()?.to_str()?.to_owned())
}
