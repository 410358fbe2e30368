//! `faults`: what breaks in a fleet, done to real processes under load; then what is stored is
//! compared with what was sent, sample by sample, on disk.
//!
//! An acknowledged sample that is not there is lost; one that is there twice is duplicated. What
//! the product gives up by design it counts, and its count must be what is missing.

mod access;
mod audit;
mod clocks;
mod daemon;
mod damage;
mod disks;
mod kills;
mod ledger;
mod links;
mod moves;
mod namespaces;
mod nodes;
mod pauses;
mod proxy;
pub(crate) mod sender;
mod soak;
mod stage;

use std::path::PathBuf;
use std::pin::Pin;
use std::time::Duration;

use anyhow::{Context as _, bail};
use tokio::time::{Instant, timeout};

use self::stage::{Outcome, Stage};
use crate::aggregator;
use crate::progress;
use crate::report::{Figures, Report, Row};

/// A run that takes longer hangs.
const RUN_TIMEOUT: Duration = Duration::from_secs(400);

/// What is to be broken.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Only a few faults, once each, within a minute
    #[arg(long)]
    quick: bool,
    /// How often each fault is done [default: 3, with --quick 1]
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..=1_000))]
    runs: Option<u64>,
    /// Only faults whose name has this in it
    #[arg(long, value_name = "NAME")]
    only: Option<String>,
    /// Restarts at random for so long, then memory and store are looked at
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration, conflicts_with_all = ["quick", "runs", "only"])]
    soak: Option<Duration>,
    /// Other moments come from another seed
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// The aggregator's program [default: the one beside this program]
    #[arg(long, value_name = "PATH")]
    aggregator: Option<PathBuf>,
}

type Running = Pin<Box<dyn Future<Output = anyhow::Result<Outcome>>>>;

/// Something that breaks.
struct Fault {
    name: &'static str,
    /// Whether `--quick` does it.
    quick: bool,
    /// Why it cannot be done here; `None`: it can.
    absent: fn() -> Option<String>,
    run: fn(Stage) -> Running,
}

/// A fault that can be done everywhere.
const fn fault(name: &'static str, run: fn(Stage) -> Running) -> Fault {
    Fault { name, quick: false, absent: || None, run }
}

impl Fault {
    /// Done with `--quick` too.
    const fn quick(self) -> Self {
        Self { quick: true, ..self }
    }

    /// Done only where something is there.
    const fn needs(self, absent: fn() -> Option<String>) -> Self {
        Self { absent, ..self }
    }
}

/// Why what only root may do cannot be done.
fn root() -> Option<String> {
    (!rustix::process::geteuid().is_root()).then(|| "needs root".into())
}

fn all() -> impl Iterator<Item = Fault> {
    let families = [
        kills::faults(),
        pauses::faults(),
        links::faults(),
        namespaces::faults(),
        disks::faults(),
        damage::faults(),
        clocks::faults(),
        nodes::faults(),
        moves::faults(),
        access::faults(),
    ];
    families.into_iter().flatten()
}

/// Breaks things; beside the report what is wrong with what was stored.
pub(crate) async fn run(arguments: Arguments) -> anyhow::Result<(Report, Option<String>)> {
    let (program, system) = aggregator::program(arguments.aggregator.as_deref())?;
    let began = Instant::now();
    if let Some(duration) = arguments.soak {
        return soak::run(&program, system, arguments.seed, duration).await;
    }
    let only = arguments.only.as_deref();
    let wanted = |fault: &Fault| {
        only.is_none_or(|only| fault.name.contains(only)) && (fault.quick || !arguments.quick)
    };
    let faults: Vec<Fault> = all().filter(wanted).collect();
    if faults.is_empty() {
        bail!("no fault has that name: {}", all().map(|f| f.name).collect::<Vec<_>>().join(", "));
    }
    let runs = arguments.runs.unwrap_or(if arguments.quick { 1 } else { 3 });
    let load = Duration::from_millis(if arguments.quick { 500 } else { 2_000 });
    let (mut rows, mut wrong) = (Vec::new(), Vec::new());
    let bar = progress::bar("breaking", faults.len() as u64 * runs);
    for fault in &faults {
        if let Some(why) = (fault.absent)() {
            rows.push(Row {
                absent: Some(format!("{}: {why}", fault.name)),
                ..Row::of(fault.name, &system, Figures::default())
            });
            continue;
        }
        let mut sum = Outcome::default();
        let mut done = 0;
        for run in 0..runs {
            let stage = Stage::new(&program, arguments.seed.wrapping_mul(1_000) + run, load)?;
            let outcome = timeout(RUN_TIMEOUT, (fault.run)(stage)).await.context("it hangs");
            match outcome.and_then(|outcome| outcome) {
                Ok(outcome) => {
                    sum.merge(outcome);
                    done += 1;
                }
                Err(error) => wrong.push(format!("{}, run {run}: {error:#}", fault.name)),
            }
            bar.inc(1);
        }
        if done > 0 && !sum.is_right() {
            let Outcome { lost, duplicated, unexplained, .. } = &sum;
            wrong.push(format!(
                "{}: {lost} lost, {duplicated} duplicated, {unexplained} missing that were not \
                 counted, or the other way round",
                fault.name
            ));
        }
        rows.push(Row::of(fault.name, &system, figures(done, &mut sum)));
    }
    bar.finish_and_clear();
    let seconds = began.elapsed().as_secs_f64();
    let report = Report { bench: "faults", seconds, rows, goals: Vec::new(), notes: &[] };
    Ok((report, (!wrong.is_empty()).then(|| wrong.join("\n"))))
}

fn figures(runs: u64, sum: &mut Outcome) -> Figures {
    let mut figures = Figures::default();
    figures
        .count("runs", runs)
        .count("sent", sum.sent)
        .count("acked", sum.acked)
        .count("stored", sum.stored)
        .count("lost", sum.lost)
        .count("duplicated", sum.duplicated)
        .count("lost_by_design", sum.lost_by_design)
        .count("killed_in_memory", sum.killed_in_memory);
    if sum.hidden_by_damage > 0 {
        figures.count("hidden_by_damage", sum.hidden_by_damage);
    }
    if sum.counted_but_stored > 0 {
        figures.count("counted_but_stored", sum.counted_but_stored);
    }
    sum.recoveries_ms.sort_unstable();
    if let Some(median) = sum.recoveries_ms.get(sum.recoveries_ms.len() / 2) {
        figures.count("recovery_ms_p50", *median);
    }
    figures
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_have_names_of_their_own_and_quick_has_some() {
        let mut names: Vec<_> = all().map(|fault| fault.name).collect();
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        assert!(names.len() == count && count >= 25, "{count}: {names:?}");
        assert!((4..=8).contains(&all().filter(|fault| fault.quick).count()));
    }
}
