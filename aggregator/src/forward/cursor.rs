//! How far a target has got: the last tick of each layout that it took. Kept in a file of the
//! data directory, replaced as a whole. A layout without one begins where the target did.

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use rustc_hash::FxHashMap;
use serde::{Deserialize, Serialize};

use crate::series::{LayoutId, NodeLayout};

/// Why positions cannot be read or kept.
#[derive(Debug, thiserror::Error)]
pub enum CursorError {
    #[error("{what} {path}")]
    Io { what: &'static str, path: PathBuf, source: std::io::Error },
    #[error("parse {path}: delete it to forward from now on")]
    Parse { path: PathBuf, source: serde_json::Error },
}

/// Positions in all layouts.
#[derive(Debug)]
pub(super) struct Cursors {
    path: PathBuf,
    /// What is older than this was before the target.
    since_ms: i64,
    layouts: FxHashMap<LayoutId, Position>,
    changed: bool,
}

/// A number of a layout may be given again once nothing is stored of it: node and hash tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Position {
    layout: u32,
    node: u32,
    hash: u64,
    tick_ms: i64,
}

#[derive(Serialize, Deserialize)]
struct Kept {
    since_ms: i64,
    layouts: Vec<Position>,
}

impl Cursors {
    /// Reads the file; a target without one begins now.
    pub(super) fn open(directory: &Path, name: &str, now_ms: i64) -> Result<Self, CursorError> {
        let path = directory.join(format!("forward-{name}.json"));
        let (kept, changed) = match std::fs::read(&path) {
            Ok(bytes) => {
                let parsed = serde_json::from_slice(&bytes);
                let failed = |source| CursorError::Parse { path: path.clone(), source };
                (parsed.map_err(failed)?, false)
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                (Kept { since_ms: now_ms, layouts: Vec::new() }, true)
            }
            Err(source) => return Err(CursorError::Io { what: "read", path, source }),
        };
        let layouts = kept.layouts.into_iter().map(|p| (LayoutId(p.layout), p)).collect();
        Ok(Self { path, since_ms: kept.since_ms, layouts, changed })
    }

    /// The last tick that was taken, and whether there was one.
    pub(super) fn of(&self, layout: &NodeLayout) -> (i64, bool) {
        let same = |p: &&Position| p.node == layout.node.id.0 && p.hash == layout.hash;
        let known = self.layouts.get(&layout.id).filter(same);
        known.map_or((self.since_ms - 1, false), |p| (p.tick_ms, true))
    }

    pub(super) fn set(&mut self, layout: &NodeLayout, tick_ms: i64) {
        let (id, node) = (layout.id, layout.node.id.0);
        let position = Position { layout: id.0, node, hash: layout.hash, tick_ms };
        self.changed |= self.layouts.insert(id, position) != Some(position);
    }

    /// Forgets layouts that are no more.
    pub(super) fn retain(&mut self, lives: impl Fn(LayoutId) -> bool) {
        self.layouts.retain(|id, _| lives(*id));
    }

    /// What has to be written, if anything changed.
    pub(super) fn take(&mut self) -> Option<(PathBuf, Vec<u8>)> {
        if !std::mem::take(&mut self.changed) {
            return None;
        }
        let layouts = self.layouts.values().copied().collect();
        let kept = Kept { since_ms: self.since_ms, layouts };
        let bytes = serde_json::to_vec(&kept).expect("numbers can always be written");
        Some((self.path.clone(), bytes))
    }

    /// What was taken could not be written.
    pub(super) fn untake(&mut self) {
        self.changed = true;
    }
}

/// Replaces the file: after a crash it is the old one or the new one.
pub(super) fn write(path: &Path, bytes: &[u8]) -> Result<(), CursorError> {
    let new = path.with_extension("json.new");
    let failed = |what, path: &Path| {
        let path = path.to_owned();
        move |source| CursorError::Io { what, path, source }
    };
    let mut file = File::create(&new).map_err(failed("create", &new))?;
    file.write_all(bytes).map_err(failed("write", &new))?;
    file.sync_all().map_err(failed("sync", &new))?;
    std::fs::rename(&new, path).map_err(failed("replace", path))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::series::{NodeId, NodeKey};

    fn layout(id: u32, hash: u64) -> NodeLayout {
        let node = NodeKey { id: NodeId(3), cluster: "c".into(), name: "n".into() };
        NodeLayout {
            id: LayoutId(id),
            node: Arc::new(node),
            hash,
            collector: "host".into(),
            interval_ms: 1000,
            columns: vec![],
        }
    }

    #[test]
    fn positions_survive_and_belong_to_their_layout_only() {
        let dir = tempfile::tempdir().expect("directory");
        let mut cursors = Cursors::open(dir.path(), "a", 100).expect("opens");
        assert_eq!(cursors.of(&layout(1, 7)), (99, false));
        cursors.set(&layout(1, 7), 250);
        let (path, bytes) = cursors.take().expect("it changed");
        assert!(cursors.take().is_none());
        write(&path, &bytes).expect("writes");
        let again = Cursors::open(dir.path(), "a", 900).expect("opens");
        assert_eq!(again.of(&layout(1, 7)), (250, true));
        assert_eq!(again.of(&layout(1, 8)), (99, false));
        std::fs::write(&path, b"{").expect("writes");
        let error = Cursors::open(dir.path(), "a", 900).expect_err("damaged").to_string();
        assert!(error.contains("forward-a.json"), "{error}");
    }
}
