//! Lists of CPUs as the kernel writes them, and which NUMA nodes they are of.

use std::fmt::Write as _;
use std::ops::RangeInclusive;
use std::path::Path;

/// "0-3,8,10-11" of sorted numbers, each once.
pub(super) fn list(numbers: &[u32]) -> String {
    let mut text = String::new();
    for run in numbers.chunk_by(|a, b| a.checked_add(1) == Some(*b)) {
        let [first, .., last] = run else {
            push(&mut text, format_args!("{}", run[0]));
            continue;
        };
        push(&mut text, format_args!("{first}-{last}"));
    }
    text
}

fn push(text: &mut String, piece: std::fmt::Arguments<'_>) {
    let comma = if text.is_empty() { "" } else { "," };
    write!(text, "{comma}{piece}").expect("a String takes everything");
}

/// The CPUs of each NUMA node, in the order of the nodes.
pub(super) struct NumaNodes(Vec<(u32, Vec<RangeInclusive<u32>>)>);

impl NumaNodes {
    /// What sysfs says; nothing where it has no nodes.
    pub(super) fn read(sys: &Path) -> Self {
        let mut nodes = Vec::new();
        let entries = std::fs::read_dir(sys.join("devices/system/node")).into_iter().flatten();
        for entry in entries.flatten() {
            let name = entry.file_name();
            let number = name.to_str().and_then(|n| n.strip_prefix("node")?.parse().ok());
            let Some(number) = number else { continue };
            let text = std::fs::read_to_string(entry.path().join("cpulist")).unwrap_or_default();
            nodes.push((number, text.trim().split(',').filter_map(range).collect()));
        }
        nodes.sort_by_key(|(number, _)| *number);
        Self(nodes)
    }

    /// The nodes that the CPUs are of, as a list; empty if that is not known.
    pub(super) fn of(&self, cpus: &[u32]) -> String {
        let has = |ranges: &[RangeInclusive<u32>]| {
            ranges.iter().any(|range| cpus.iter().any(|cpu| range.contains(cpu)))
        };
        let nodes = self.0.iter().filter(|(_, ranges)| has(ranges));
        list(&nodes.map(|(number, _)| *number).collect::<Vec<_>>())
    }
}

fn range(text: &str) -> Option<RangeInclusive<u32>> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    Some(first.parse().ok()?..=last.parse().ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_as_the_kernel_writes_them() {
        let cases: [(&[u32], &str); 5] = [
            (&[], ""),
            (&[7], "7"),
            (&[0, 1], "0-1"),
            (&[0, 1, 2, 3, 8, 10, 11], "0-3,8,10-11"),
            (&[u32::MAX - 1, u32::MAX], "4294967294-4294967295"),
        ];
        for (numbers, text) in cases {
            assert_eq!(list(numbers), text);
        }
    }

    #[test]
    fn numa_nodes_are_those_of_the_cpus() {
        let sys = tempfile::tempdir().unwrap();
        for (node, cpus) in [("node0", "0-3,8-11\n"), ("node1", "4-7,12\n"), ("node10", "\n")] {
            let dir = sys.path().join("devices/system/node").join(node);
            std::fs::create_dir_all(&dir).unwrap();
            std::fs::write(dir.join("cpulist"), cpus).unwrap();
        }
        let nodes = NumaNodes::read(sys.path());
        assert_eq!(nodes.of(&[2, 8]), "0");
        assert_eq!(nodes.of(&[3, 4]), "0-1");
        assert_eq!(nodes.of(&[12]), "1");
        assert_eq!(nodes.of(&[99]), "");
        assert_eq!(NumaNodes::read(&sys.path().join("none")).of(&[0]), "");
    }
}
