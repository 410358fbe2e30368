//! What was found and what was true, for whoever wants to know why a figure is what it is.

use std::io::{BufWriter, Write as _};
use std::path::Path;

use serde_json::json;

use super::score::{Outcome, belongs};

/// Methods whose findings are written: the product's incidents and anomalies. Those of plain
/// statistics are some ten thousand a node and day.
const METHODS: usize = 2;

/// Writes an object a line: `fault`, `calm` or `found`, by run.
///
/// # Errors
/// When the file cannot be written.
pub(crate) fn write(path: &Path, methods: &[(String, Vec<Outcome>)]) -> std::io::Result<()> {
    let mut out = BufWriter::new(std::fs::File::create(path)?);
    for (number, (name, outcomes)) in methods.iter().take(METHODS).enumerate() {
        for Outcome { sort, seed, faults, calm, found, .. } in outcomes {
            let run = json!({ "sort": sort.name(), "seed": seed });
            for (index, fault) in faults.iter().enumerate().filter(|_| number == 0) {
                let line = json!({
                    "run": run, "fault": index, "class": fault.class.name(),
                    "begin_s": fault.begin_s, "end_s": fault.end_s,
                    "root": format!("{:?}", fault.root), "draw": fault.draw,
                    "observable_ms": fault.observable_ms,
                    "parameters": format!("{:?}", fault.parameters),
                });
                writeln!(out, "{line}")?;
            }
            for calm in calm.iter().filter(|_| number == 0) {
                let line = json!({
                    "run": run, "calm": calm.kind.name(), "node": calm.node,
                    "begin_s": calm.begin_s, "end_s": calm.end_s,
                });
                writeln!(out, "{line}")?;
            }
            for one in found {
                let line = json!({
                    "run": run, "found": name, "by": one.rule, "level": format!("{:?}", one.level),
                    "begin_s": one.begin_ms / 1000, "end_s": one.end_ms.map(|ms| ms / 1000),
                    "component": format!("{:?}", one.component),
                    "causes": one.causes.iter().map(|c| format!("{c:?}")).collect::<Vec<_>>(),
                    "score": one.score, "of_fault": belongs(faults, one),
                });
                writeln!(out, "{line}")?;
            }
        }
    }
    out.flush()
}
