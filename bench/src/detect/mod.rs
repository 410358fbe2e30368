//! What the detectors find: on the public benchmark of labelled series, and on made-up faults.
//!
//! Each way of measuring is a folder here with its own arguments; `detect` runs those that were
//! asked for, in one report.

mod nab;
mod scenarios;

use std::time::Instant;

use crate::report::Report;

/// What to measure the detectors on.
#[derive(Debug, clap::Args)]
#[group(skip)]
pub(crate) struct Arguments {
    #[command(flatten)]
    nab: nab::Arguments,
    #[command(flatten)]
    scenarios: scenarios::Arguments,
}

/// Measures; beside the report what is wrong with what was measured.
pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<(Report, Option<String>)> {
    let asked = arguments.nab.nab.is_some() || arguments.scenarios.scenarios;
    anyhow::ensure!(asked, "nothing is asked for: --nab FOLDER, --scenarios, or both");
    let started = Instant::now();
    let mut rows = Vec::new();
    if let Some(folder) = &arguments.nab.nab {
        rows.extend(nab::run(folder, &arguments.nab)?);
    }
    if arguments.scenarios.scenarios {
        rows.extend(scenarios::run(&arguments.scenarios)?);
    }
    let seconds = started.elapsed().as_secs_f64();
    Ok((Report { bench: "detect", seconds, rows, goals: Vec::new(), notes: &[] }, None))
}
