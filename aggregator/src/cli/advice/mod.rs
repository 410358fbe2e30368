//! The commands that say what to do: `diagnose`, `runbooks`, `runbook` and `cluster-health`.

pub(super) mod diagnose;
pub(super) mod health;
pub(super) mod runbooks;

#[cfg(test)]
mod tests;

use std::io::Write;

use serde_json::Value;

use super::CliError;
use super::format;

/// A heading and its lines, each behind a dash; nothing where there are no lines.
fn list(out: &mut impl Write, heading: &str, lines: &[String]) -> Result<(), CliError> {
    if lines.is_empty() {
        return Ok(());
    }
    writeln!(out, "\n{heading}")?;
    for line in lines {
        writeln!(out, "  - {}", format::escape(line))?;
    }
    Ok(())
}

fn json(out: &mut impl Write, answer: &Value) -> Result<(), CliError> {
    Ok(writeln!(out, "{answer:#}")?)
}

/// A step: what to do, its risk, its commands, and what stands beside them.
fn step(
    out: &mut impl Write,
    number: usize,
    risk: &str,
    text: &str,
    commands: &[String],
    beside: &[(&str, &str)],
) -> Result<(), CliError> {
    writeln!(out, "  {number}. [{risk}] {}", format::escape(text))?;
    for (what, text) in beside.iter().filter(|(_, text)| !text.is_empty()) {
        writeln!(out, "     {what}: {}", format::escape(text))?;
    }
    for command in commands {
        writeln!(out, "     $ {}", format::escape(command))?;
    }
    Ok(())
}
