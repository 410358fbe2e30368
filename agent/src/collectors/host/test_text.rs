//! For tests of sources: a /proc of a few files, and what a source makes of it.

use std::path::PathBuf;

use sextant_proto::layout;
use sextant_proto::v1::Event;

use super::{Buffer, Paths, Source};
use crate::collectors::CollectError;
use crate::sample::Batch;

/// A directory that is proc, sys, run and root at once.
pub(super) struct Text {
    dir: tempfile::TempDir,
    pub(super) paths: Paths,
}

impl Text {
    pub(super) fn new(file: &str, content: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path: PathBuf = dir.path().into();
        let paths = Paths {
            proc: path.clone(),
            sys: path.clone(),
            run: path.clone(),
            root: path,
            ..Paths::default()
        };
        let text = Self { dir, paths };
        text.write(file, content);
        text
    }

    pub(super) fn write(&self, file: &str, content: impl AsRef<[u8]>) {
        let path = self.dir.path().join(file);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }
}

/// The samples of one read, those that are absent aside, as sorted lines of Prometheus text, its result and its events.
pub(super) fn tick(source: &mut dyn Source) -> (Vec<String>, Result<(), CollectError>, Vec<Event>) {
    let mut batch = Batch::default();
    batch.begin();
    let result = source.read(&mut batch, &mut Buffer::default());
    let tick = batch.finish("test", 1000);
    let layout = layout::decode(tick.layout.0, &tick.layout.1).unwrap();
    let mut values = tick.values.iter();
    let mut rows = Vec::new();
    for entity in &layout.entities {
        for series in &entity.series {
            let labels = entity.labels.iter().chain(&series.labels);
            let labels: Vec<_> = labels.map(|l| format!("{}={:?}", l.name, l.value)).collect();
            let name = &layout.metrics[series.metric as usize].name;
            let value = values.next().unwrap();
            if value.is_nan() {
                continue;
            }
            rows.push(match labels.join(",") {
                none if none.is_empty() => format!("{name} {value}"),
                some => format!("{name}{{{some}}} {value}"),
            });
        }
    }
    rows.sort();
    (rows, result, tick.events)
}

/// The lines of a read that may well find nothing, but must not fail.
pub(super) fn rows(source: &mut dyn Source) -> Vec<String> {
    let (rows, result, _) = tick(source);
    assert!(matches!(result, Ok(()) | Err(CollectError::Absent(_))), "{result:?}");
    rows
}
