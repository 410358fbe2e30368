//! One incident in full: causes with what speaks for and against them, what to do, who is
//! affected, its anomalies and its history.

use std::io::{self, Write};

use sextant_proto::v1::{AffectedPod, Cause, Evidence, Incident, IncidentEntry};

use crate::cli::format::{self, escape};
use crate::cli::table::Side::{Left, Right};
use crate::cli::table::Table;
use crate::incident::describe;

/// Pods that are listed.
const MAX_PODS: usize = 20;

pub(super) fn write(
    incident: &Incident,
    timeline: &[IncidentEntry],
    now_ms: i64,
    out: &mut impl Write,
) -> io::Result<()> {
    writeln!(out, "incident {}: {}", incident.id, escape(&incident.title))?;
    let severity = format::severity(incident.severity);
    writeln!(out, "state:     {}, {severity}", super::state(incident, now_ms))?;
    let paged = super::paged(incident);
    writeln!(out, "paged:     {paged} ({})", escape(&incident.page_reason))?;
    writeln!(out, "since:     {}", format::time(incident.opened_unix_ms))?;
    writeln!(out, "nodes:     {}", escape(&incident.nodes.join(", ")))?;
    if !incident.acknowledged_by.is_empty() {
        let note = match &*incident.acknowledged_note {
            "" => String::new(),
            note => format!(": {}", escape(note)),
        };
        let time = format::time(incident.acknowledged_unix_ms);
        writeln!(out, "looked at: by {} since {time}{note}", escape(&incident.acknowledged_by))?;
    }
    causes(incident, out)?;
    if !incident.actions.is_empty() {
        writeln!(out, "\nDO")?;
        for action in &incident.actions {
            writeln!(out, "  - {}", escape(action))?;
        }
    }
    pods(&incident.affected, out)?;
    members(incident, now_ms, out)?;
    if !timeline.is_empty() {
        writeln!(out, "\nHISTORY")?;
        for entry in timeline {
            let by = if entry.by.is_empty() { String::new() } else { format!(" by {}", entry.by) };
            let time = format::time(entry.time_unix_ms);
            writeln!(out, "  {time}  {}{}: {}", entry.kind, escape(&by), escape(&entry.text))?;
        }
    }
    Ok(())
}

fn causes(incident: &Incident, out: &mut impl Write) -> io::Result<()> {
    let sure = format::percent(incident.confidence);
    if incident.undetermined {
        writeln!(out, "\nCAUSE  undetermined; the first is right with {sure}")?;
    } else {
        writeln!(out, "\nCAUSE  the first is right with {sure}")?;
    }
    for (number, cause) in (1..).zip(&incident.causes) {
        write_cause(number, cause, out)?;
    }
    if !incident.discriminating_check.is_empty() {
        writeln!(out, "  to tell: {}", escape(&incident.discriminating_check))?;
    }
    Ok(())
}

fn write_cause(number: usize, cause: &Cause, out: &mut impl Write) -> io::Result<()> {
    let explains = format::percent(cause.explains);
    writeln!(
        out,
        "  {number}. {} ({}; score {:.1}, explains {explains})",
        escape(&cause.title),
        cause.class,
        cause.score,
    )?;
    for evidence in &cause.evidence_for {
        writeln!(out, "     + {}", text(evidence))?;
    }
    for evidence in &cause.evidence_against {
        writeln!(out, "     - {}", text(evidence))?;
    }
    Ok(())
}

fn text(evidence: &Evidence) -> String {
    format!(
        "{}  {}: {}",
        format::time(evidence.time_unix_ms),
        evidence.kind,
        escape(&evidence.text)
    )
}

fn pods(affected: &[AffectedPod], out: &mut impl Write) -> io::Result<()> {
    if affected.is_empty() {
        return Ok(());
    }
    writeln!(out, "\nAFFECTED")?;
    for pod in affected.iter().take(MAX_PODS) {
        let container =
            if pod.container.is_empty() { String::new() } else { format!("/{}", pod.container) };
        let name = format!("{}/{}{container}", pod.namespace, pod.pod);
        let node = format::node(&pod.cluster, &pod.node);
        writeln!(out, "  {} on {}: {}", escape(&name), escape(&node), escape(&pod.device))?;
    }
    if affected.len() > MAX_PODS {
        writeln!(out, "  and {} more", affected.len() - MAX_PODS)?;
    }
    Ok(())
}

fn members(incident: &Incident, now_ms: i64, out: &mut impl Write) -> io::Result<()> {
    let listed = incident.members.len();
    let count = incident.member_count as usize;
    let rest = if count > listed { format!(", the first {listed}") } else { String::new() };
    writeln!(out, "\nANOMALIES  {count}, {} open{rest}", incident.open_members)?;
    let mut table = Table::new(&[
        ("  ID", Right),
        ("OPENED", Left),
        ("STATE", Left),
        ("SEVERITY", Left),
        ("ON", Left),
        ("RULE", Left),
        ("EXPLAINED", Left),
        ("SUMMARY", Left),
    ]);
    for member in &incident.members {
        let state = match member.closed_unix_ms {
            0 => format!("open for {}", format::age(now_ms, member.opened_unix_ms)),
            closed => format!("closed after {}", format::age(closed, member.opened_unix_ms)),
        };
        let c = member.component.clone().unwrap_or_default();
        table.row(vec![
            format!("  {}", member.anomaly_id),
            format::time(member.opened_unix_ms),
            state,
            format::severity(member.severity).into(),
            describe(&c.kind, &c.node, &c.name),
            format!("{}/{}", member.detector, member.rule),
            if member.explained { "yes" } else { "no" }.into(),
            member.summary.clone(),
        ]);
    }
    table.write(out)
}
