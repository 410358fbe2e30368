//! Prometheus blocks of any length, which promtool makes from OpenMetrics text: its server writes
//! a block only when there are three hours of samples.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::Path;

use anyhow::{Context as _, bail};
use sextant_bench::telemetry::Telemetry;
use sextant_proto::frame::is_absent;

use crate::material::Node;
use crate::process;

/// Makes blocks of all rounds of the nodes below `dir`; the bytes on disk and the samples.
///
/// # Errors
/// When promtool is not there or refuses the text.
pub(crate) fn import<T: Telemetry>(
    nodes: Vec<Node<T>>,
    rounds: usize,
    dir: &Path,
) -> anyhow::Result<(u64, u64)> {
    let promtool = process::in_path("promtool").context("promtool is not installed")?;
    let (text, data) = (dir.join("openmetrics.txt"), dir.join("blocks"));
    let mut file = BufWriter::new(File::create(&text)?);
    for mut node in nodes {
        let names: Vec<Vec<_>> = node
            .labels()
            .iter()
            .map(|shape| shape.iter().map(|series| name(&series.labels)).collect())
            .collect();
        for round in node.rounds(rounds) {
            let seconds = round.time_ms as f64 / 1e3;
            for (shape, values) in &round.parts {
                let present = names[*shape].iter().zip(values).filter(|(_, v)| !is_absent(**v));
                for (name, value) in present {
                    writeln!(file, "{name} {value} {seconds}")?;
                }
            }
        }
    }
    file.write_all(b"# EOF\n")?;
    file.into_inner().context("write OpenMetrics")?;
    let text = text.to_string_lossy();
    let arguments = ["tsdb", "create-blocks-from", "openmetrics", &text, &data.to_string_lossy()];
    process::output(&promtool, &arguments)?;
    blocks(&data)
}

/// A series as the format names it.
fn name(labels: &[(String, String)]) -> String {
    let metric = labels.iter().find(|(name, _)| name == "__name__");
    let mut text = metric.map_or_else(String::new, |(_, value)| value.clone());
    let mut separator = '{';
    for (name, value) in labels.iter().filter(|(name, _)| name != "__name__") {
        write!(text, "{separator}{name}={value:?}").expect("a String takes any text");
        separator = ',';
    }
    text.push('}');
    text
}

/// Bytes on disk and samples of the finished blocks in a directory.
pub(super) fn blocks(data: &Path) -> anyhow::Result<(u64, u64)> {
    let (mut bytes, mut samples) = (0, 0);
    for entry in std::fs::read_dir(data)? {
        let block = entry?.path();
        let Ok(text) = std::fs::read_to_string(block.join("meta.json")) else { continue };
        let meta: serde_json::Value = serde_json::from_str(&text)?;
        let count = meta["stats"]["numSamples"].as_u64();
        samples += count.with_context(|| format!("{} has no samples", block.display()))?;
        bytes += process::disk_bytes(&block)?;
    }
    if samples == 0 {
        bail!("prometheus has no finished block");
    }
    Ok((bytes, samples))
}
