//! What is in a directory of sysfs, listed now and then instead of at every tick.
//!
//! A device that appears is seen within [`RELIST`]; one that disappears at once, because its
//! attributes cannot be read any more.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// How old a listing may get.
pub(super) const RELIST: Duration = Duration::from_secs(60);

/// When something that is dear to read was last read.
#[derive(Default)]
pub(super) struct Due(Option<Instant>);

impl Due {
    /// Whether `period` has passed since this was last true.
    pub(super) fn every(&mut self, period: Duration) -> bool {
        let now = Instant::now();
        let due = self.0.is_none_or(|last| now.duration_since(last) >= period);
        if due {
            self.0 = Some(now);
        }
        due
    }

    /// Makes it due.
    pub(super) fn reset(&mut self) {
        self.0 = None;
    }
}

/// The entries of `dir` whose name is `prefix` and a number, in the order of the numbers, as
/// (number, path). A directory that cannot be read has none.
pub(super) fn numbered(dir: &Path, prefix: &str) -> Vec<(String, PathBuf)> {
    let mut found: Vec<(u64, String, PathBuf)> = names(dir)
        .into_iter()
        .filter_map(|name| {
            let digits = name.strip_prefix(prefix)?;
            let number = digits.parse().ok()?;
            Some((number, digits.to_owned(), dir.join(&name)))
        })
        .collect();
    found.sort();
    found.into_iter().map(|(_, digits, path)| (digits, path)).collect()
}

/// The names in `dir`, sorted. A directory that cannot be read has none.
pub(super) fn names(dir: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    let mut names: Vec<String> = entries.filter_map(|e| e.file_name().into_string().ok()).collect();
    names.sort_unstable();
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbered_entries_come_in_the_order_of_their_numbers() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["cpu10", "cpu2", "cpuidle", "cpu", "cpu0x", "node1"] {
            std::fs::create_dir(dir.path().join(name)).unwrap();
        }
        let found = numbered(dir.path(), "cpu");
        assert_eq!(found.iter().map(|f| f.0.as_str()).collect::<Vec<_>>(), ["2", "10"]);
        assert!(numbered(&dir.path().join("none"), "cpu").is_empty());
    }
}
