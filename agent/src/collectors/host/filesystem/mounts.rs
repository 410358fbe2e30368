//! Which file systems are mounted: the lines of /proc/1/mounts that are not excluded.

use std::path::{Path, PathBuf};

use crate::collectors::host::filter::Filter;

/// A mounted file system; together the three are its identity.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Mount {
    pub(super) device: String,
    /// As the node sees it.
    pub(super) mount_point: String,
    pub(super) fs_type: String,
    /// Where it is for the agent.
    pub(super) path: PathBuf,
    /// The mount options say `ro`.
    pub(super) readonly: bool,
}

/// Parses mounts(5), leaving out what is excluded, what is hidden by a later mount of the same
/// thing, and lines that are not whole.
pub(super) fn parse(
    text: &str,
    root: &Path,
    points: &mut Filter,
    types: &mut Filter,
) -> Vec<Mount> {
    let mut mounts: Vec<Mount> = Vec::new();
    for line in text.lines() {
        let mut fields = line.split(' ');
        let (Some(device), Some(point), Some(fs_type)) =
            (fields.next(), fields.next(), fields.next())
        else {
            continue;
        };
        if point.is_empty() || types.excludes(fs_type) {
            continue;
        }
        let seen_at = unescape(point);
        let mount_point = below(&seen_at, root);
        if points.excludes(mount_point) {
            continue;
        }
        let options = fields.next().unwrap_or_default();
        let mount = Mount {
            device: unescape(device),
            mount_point: mount_point.to_owned(),
            fs_type: fs_type.to_owned(),
            path: root.join(mount_point.trim_start_matches('/')),
            readonly: options.split(',').any(|o| o == "ro"),
        };
        let same = |m: &Mount| {
            m.device == mount.device && m.mount_point == mount.mount_point && m.fs_type == fs_type
        };
        if !mounts.iter().any(same) {
            mounts.push(mount);
        }
    }
    mounts
}

/// The mount point without the place where the node's root is mounted for the agent, which a
/// container's own list of mounts has.
fn below<'a>(point: &'a str, root: &Path) -> &'a str {
    let root = root.to_str().unwrap_or_default().trim_end_matches('/');
    match point.strip_prefix(root) {
        Some("") => "/",
        Some(rest) if rest.starts_with('/') => rest,
        _ => point,
    }
}

/// Takes back the escapes of mounts(5): space, tab, newline, backslash and "#" as octal.
fn unescape(field: &str) -> String {
    let mut out = String::with_capacity(field.len());
    let mut rest = field;
    while let Some(at) = rest.find('\\') {
        out.push_str(&rest[..at]);
        let code = rest.get(at + 1..at + 4).and_then(|d| u8::from_str_radix(d, 8).ok());
        match code.filter(u8::is_ascii) {
            Some(byte) => {
                out.push(char::from(byte));
                rest = &rest[at + 4..];
            }
            None => {
                out.push('\\');
                rest = &rest[at + 1..];
            }
        }
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn points(text: &str, root: &str) -> Vec<(String, String)> {
        let mut points = Filter::new("^/proc($|/)").unwrap();
        let mut types = Filter::new("^tmpfs$").unwrap();
        let mounts = parse(text, Path::new(root), &mut points, &mut types);
        mounts.into_iter().map(|m| (m.mount_point, m.path.to_str().unwrap().to_owned())).collect()
    }

    #[test]
    fn odd_lines_are_skipped_and_duplicates_left_out() {
        let text = "/dev/a / ext4 rw 0 0\n/dev/a / ext4 rw 0 0\n\nx\na b\nproc /proc proc rw\n\
                    none /run tmpfs rw\n/dev/b /mnt/a\\040b\\011c xfs ro,x\n";
        let found = points(text, "/");
        assert_eq!(found, [("/".into(), "/".into()), ("/mnt/a b\tc".into(), "/mnt/a b\tc".into())]);
    }

    #[test]
    fn mount_points_are_the_nodes_and_paths_the_agents() {
        let text = "/dev/a /host ext4 rw\n/dev/b /host/data ext4 rw\n/dev/c /hostile ext4 rw\n";
        assert_eq!(
            points(text, "/host"),
            [
                ("/".into(), "/host/".into()),
                ("/data".into(), "/host/data".into()),
                ("/hostile".into(), "/host/hostile".into()),
            ]
        );
    }

    #[test]
    fn escapes_that_are_none_stay() {
        for (field, expected) in [
            ("a\\040b", "a b"),
            ("a\\", "a\\"),
            ("\\04", "\\04"),
            ("\\777é", "\\777é"),
            ("\\é", "\\é"),
        ] {
            assert_eq!(unescape(field), expected);
        }
    }
}
