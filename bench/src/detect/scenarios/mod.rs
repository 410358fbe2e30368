//! The product's own measure of detection: made-up faults, and what looks like faults, in a fleet
//! whose physics and telemetry are known, against what the detectors say.
//!
//! `spec` reads the data files, `plan` decides what happens when, `world` lets it happen and
//! tells it as agents would, `method` looks, `score` compares, `table` writes. Time is virtual:
//! a day of a fleet takes minutes.

mod contract;
mod fault;
mod findings;
mod method;
mod plan;
mod rng;
mod run;
mod score;
mod shape;
mod spec;
mod table;
#[cfg(test)]
mod tests;
mod world;

use std::path::{Path, PathBuf};
use std::str::FromStr;

use anyhow::Context as _;

use self::score::score;
use self::spec::{Seeds, Spec};
use crate::progress;
use crate::report::Row;

/// What to make.
#[derive(Debug, clap::Args)]
#[group(skip)]
pub(crate) struct Arguments {
    /// Made-up faults in a fleet, in virtual time.
    #[arg(long)]
    pub(crate) scenarios: bool,
    /// Fewer and shorter runs: some faults of each class, within a minute.
    #[arg(long, requires = "scenarios")]
    quick: bool,
    /// `train`, `heldback`, or the number of the first seed. Nothing is tuned on `heldback`.
    #[arg(long, default_value = "train", requires = "scenarios")]
    seed_set: SeedSet,
    /// Write the tables to this file, as Markdown: between its lines `<!-- train:begin -->` and
    /// `<!-- train:end -->` (or another set of seeds), or as all of it where it has no such lines.
    #[arg(long, requires = "scenarios")]
    markdown: Option<PathBuf>,
    /// Write what was found, and what was true, to this file: an object of JSON a line.
    #[arg(long, requires = "scenarios")]
    findings: Option<PathBuf>,
    /// Threads to make runs on.
    #[arg(long, default_value_t = 2, requires = "scenarios")]
    threads: usize,
}

/// Where seeds come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum SeedSet {
    Train,
    Heldback,
    From(u64),
}

impl FromStr for SeedSet {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "train" => Ok(Self::Train),
            "heldback" => Ok(Self::Heldback),
            number => match number.parse() {
                Ok(seed) => Ok(Self::From(seed)),
                Err(_) => Err(format!("{number:?} is neither train, heldback nor a number")),
            },
        }
    }
}

impl SeedSet {
    fn first(self, seeds: Seeds) -> u64 {
        match self {
            Self::Train => seeds.train,
            Self::Heldback => seeds.heldback,
            Self::From(seed) => seed,
        }
    }

    fn name(self) -> String {
        match self {
            Self::Train => "train".into(),
            Self::Heldback => "heldback".into(),
            Self::From(seed) => format!("from {seed}"),
        }
    }
}

/// Makes the runs and scores them.
///
/// # Errors
/// When a data file is wrong or the tables cannot be written.
pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<Vec<Row>> {
    let spec = Spec::load()?;
    let plan = if arguments.quick { spec.runs.quick } else { spec.runs.full };
    let bytes = run::bytes_per_series(&spec, &crate::overhead::allocations::live_bytes)?;
    let tasks = run::tasks(&plan, arguments.seed_set.first(spec.runs.seeds));
    let bar = progress::bar("runs", tasks.len() as u64);
    let outcomes = run::all(&spec, &plan, &tasks, arguments.threads, &|| bar.inc(1))?;
    bar.finish_and_clear();
    let scores: Vec<_> = outcomes.iter().map(|(name, of)| (name.clone(), score(of))).collect();
    if let Some(path) = &arguments.markdown {
        let set = arguments.seed_set.name();
        let text = table::markdown(&scores, &plan, &set, bytes);
        write_between(path, &set, &text).with_context(|| format!("write {}", path.display()))?;
    }
    if let Some(path) = &arguments.findings {
        findings::write(path, &outcomes).with_context(|| format!("write {}", path.display()))?;
    }
    Ok(scores.iter().enumerate().map(|(n, s)| table::row(s, (n == 0).then_some(bytes))).collect())
}

/// Replaces what stands between a set's marks, or all of the file.
fn write_between(path: &Path, set: &str, text: &str) -> std::io::Result<()> {
    let [begin, end] = ["begin", "end"].map(|edge| format!("<!-- {set}:{edge} -->"));
    let known = std::fs::read_to_string(path).unwrap_or_default();
    let parts = known.split_once(&begin).and_then(|(head, rest)| {
        let (_, tail) = rest.split_once(&end)?;
        Some((head, tail))
    });
    match parts {
        Some((head, tail)) => std::fs::write(path, format!("{head}{begin}\n\n{text}\n{end}{tail}")),
        None => std::fs::write(path, text),
    }
}
