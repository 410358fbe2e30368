//! Attributes, links and directories of sysfs.
//!
//! An attribute that cannot be read is absent: drivers refuse many of them (EOPNOTSUPP for
//! `phys_port_name`, EINVAL for `speed` without a link), and a device may go at any time.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// The kernel's largest attribute.
const ATTRIBUTE_BYTES: usize = 4096;

/// Reads attributes into one buffer.
pub(super) struct Reader {
    bytes: Box<[u8; ATTRIBUTE_BYTES]>,
    path: PathBuf,
}

impl Default for Reader {
    fn default() -> Self {
        Self { bytes: Box::new([0; ATTRIBUTE_BYTES]), path: PathBuf::new() }
    }
}

impl Reader {
    /// The text of the attribute `name` of `dir` without the space around it; `None` if it
    /// cannot be read or is empty.
    pub(super) fn text(&mut self, dir: &Path, name: &str) -> Option<&str> {
        self.path.as_mut_os_string().clear();
        self.path.push(dir);
        self.path.push(name);
        let mut file = File::open(&self.path).ok()?;
        let length = file.read(&mut self.bytes[..]).ok()?;
        let text = std::str::from_utf8(&self.bytes[..length]).ok()?.trim();
        (!text.is_empty()).then_some(text)
    }

    /// The text, owned; empty if there is none.
    pub(super) fn label(&mut self, dir: &Path, name: &str) -> String {
        self.text(dir, name).unwrap_or_default().to_owned()
    }

    /// The number that an attribute is.
    pub(super) fn number<T: FromStr>(&mut self, dir: &Path, name: &str) -> Option<T> {
        self.text(dir, name)?.parse().ok()
    }
}

/// The last part of what the link `name` in `dir` points to: a device's driver, group or
/// address. What it points to need not exist.
pub(super) fn link(dir: &Path, name: &str) -> Option<String> {
    let target = std::fs::read_link(dir.join(name)).ok()?;
    Some(target.file_name()?.to_str()?.to_owned())
}

/// The names in `dir`, sorted. A directory that cannot be read has none.
pub(super) fn names(dir: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    let mut names: Vec<String> = entries.filter_map(|e| e.file_name().into_string().ok()).collect();
    names.sort_unstable();
    names
}

/// The first name in `dir`, or nothing.
pub(super) fn first(dir: &Path) -> String {
    names(dir).into_iter().next().unwrap_or_default()
}
