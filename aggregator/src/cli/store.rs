//! `backup`, `restore` and `check`: commands that work on a data directory itself. The first and
//! the last do so beside a running aggregator, as the user that owns its files.

use std::io::Write;
use std::path::PathBuf;

use super::CliError;
use crate::config::Config;
use crate::storage::{self, Copied, Report};

/// Which data directory.
#[derive(Debug, clap::Args)]
pub(super) struct Place {
    /// The data directory; without it, that of the configuration
    #[arg(long, value_name = "DIR", conflicts_with = "config")]
    data_dir: Option<PathBuf>,
    /// The aggregator's configuration file
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
pub struct CopyArgs {
    #[command(flatten)]
    place: Place,
    /// The directory of the copy
    copy: PathBuf,
}

#[derive(Debug, clap::Args)]
pub struct CheckArgs {
    #[command(flatten)]
    place: Place,
}

impl Place {
    fn directory(&self) -> Result<PathBuf, CliError> {
        match &self.data_dir {
            Some(directory) => Ok(directory.clone()),
            None => Ok(Config::load(self.config.as_deref())?.data_dir),
        }
    }
}

pub(super) fn backup(args: &CopyArgs, out: &mut impl Write) -> Result<(), CliError> {
    let directory = args.place.directory()?;
    let Copied { files, bytes } = storage::backup(&directory, &args.copy)?;
    let (from, to) = (directory.display(), args.copy.display());
    Ok(writeln!(out, "{from}: {files} files, {bytes} bytes copied to {to}")?)
}

pub(super) fn restore(args: &CopyArgs, out: &mut impl Write) -> Result<(), CliError> {
    let directory = args.place.directory()?;
    let Copied { files, bytes } = storage::restore(&args.copy, &directory)?;
    let (from, to) = (args.copy.display(), directory.display());
    Ok(writeln!(out, "{to}: {files} files, {bytes} bytes restored from {from}")?)
}

pub(super) fn check(args: &CheckArgs, out: &mut impl Write) -> Result<(), CliError> {
    let directory = args.place.directory()?;
    let report = storage::check(&directory)?;
    for fault in &report.faults {
        writeln!(out, "{}: {}", fault.path.display(), fault.what)?;
    }
    let mut told = None;
    for fault in &report.faults {
        if told != Some(&fault.path) {
            writeln!(out, "{}: {}", fault.path.display(), fault.remedy)?;
        }
        told = Some(&fault.path);
    }
    if report.more > 0 {
        writeln!(out, "and {} more faults", report.more)?;
    }
    let Report { files, bytes, frames, blocks, samples, compared, .. } = &report;
    writeln!(
        out,
        "{}: {files} files, {bytes} bytes, {frames} frames in the journal, {blocks} blocks, \
         {samples} samples, rollups of {compared} days of layouts compared",
        directory.display()
    )?;
    if report.is_clean() {
        return Ok(writeln!(out, "no fault found")?);
    }
    out.flush()?;
    Err(CliError::Damaged(report.faults.len() + report.more))
}
