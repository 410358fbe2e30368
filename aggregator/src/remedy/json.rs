//! Answers as JSON, with names in `snake_case` and enumerations as words in capitals.

use serde_json::{Map, Value, json};
use sextant_proto::v1::{
    ClusterHealthResponse, ClusterStatus, Diagnosis, DiagnosisEvidence, Fix, Label, Risk, Runbook,
    RunbookMatch, RunbookStep, Severity, SuggestRunbookResponse, Urgency,
};

/// A diagnosis.
#[must_use]
pub fn diagnosis(d: &Diagnosis) -> Value {
    let labels = |labels: &[Label]| -> Map<String, Value> {
        labels.iter().map(|l| (l.name.clone(), l.value.clone().into())).collect()
    };
    let class = |c: &sextant_proto::v1::ClassifiedError| {
        json!({
            "category": c.class,
            "severity": urgency(c.severity()),
            "explanation": c.explanation,
            "line": c.line,
            "source": c.source,
        })
    };
    json!({
        "request_id": d.request_id,
        "timestamp": time(d.time_unix_ms),
        "severity": urgency(d.severity()),
        "error_category": d.error_category,
        "root_cause": d.root_cause,
        "explanation": d.explanation,
        "confidence": d.confidence,
        "evidence": d.evidence.iter().map(evidence).collect::<Vec<_>>(),
        "fix_commands": d.fixes.iter().flat_map(fix_commands).collect::<Vec<_>>(),
        "prevention_tips": d.prevention_tips,
        "related_runbooks": d.related_runbooks.iter().map(matched).collect::<Vec<_>>(),
        "k8s_context": { "state": d.kubernetes },
        "classified_errors": d.classified_errors.iter().map(class).collect::<Vec<_>>(),
        "notes": d.notes,
        "names": labels(&d.names),
        "cluster_health": d.cluster_health.as_ref().map(cluster_health),
        "wording": d.wording.as_ref().map(|w| {
            json!({ "generated": w.generated, "model": w.model, "text": w.text })
        }),
    })
}

fn evidence(e: &DiagnosisEvidence) -> Value {
    json!({
        "kind": e.kind,
        "text": e.text,
        "timestamp": (e.time_unix_ms > 0).then(|| time(e.time_unix_ms)),
        "cluster": e.cluster,
        "node": e.node,
        "id": e.id,
    })
}

/// One entry a command; a step without one has an entry with an empty command.
fn fix_commands(fix: &Fix) -> Vec<Value> {
    let entry = |command: &str| {
        json!({
            "command": command,
            "description": fix.description,
            "risk_level": risk(fix.risk_level()),
            "warning": fix.warning,
            "look_up": fix.look_up,
            "runbook": fix.runbook,
        })
    };
    if fix.commands.is_empty() {
        return vec![entry("")];
    }
    fix.commands.iter().map(|command| entry(command)).collect()
}

fn matched(m: &RunbookMatch) -> Value {
    json!({
        "title": m.title,
        "id": m.id,
        "filename": format!("{}.md", m.id),
        "relevance_score": m.relevance_score,
        "summary": m.summary,
        "reasons": m.reasons,
    })
}

/// Suggested runbooks.
#[must_use]
pub fn suggestions(s: &SuggestRunbookResponse) -> Value {
    json!({
        "query": s.query,
        "results": s.results.iter().map(matched).collect::<Vec<_>>(),
        "total_matched": s.total_matched,
    })
}

/// A runbook.
#[must_use]
pub fn runbook(b: &Runbook) -> Value {
    let step = |s: &RunbookStep| {
        json!({
            "description": s.description,
            "risk_level": risk(s.risk_level()),
            "commands": s.commands,
            "warning": s.warning,
        })
    };
    json!({
        "id": b.id,
        "title": b.title,
        "severity": urgency(b.severity()),
        "rules": b.rules,
        "events": b.events,
        "error_classes": b.error_classes,
        "keywords": b.keywords,
        "symptoms": b.symptoms,
        "checks": b.checks.iter().map(step).collect::<Vec<_>>(),
        "steps": b.steps.iter().map(step).collect::<Vec<_>>(),
        "prevention": b.prevention,
        "sources": b.sources,
        "body": b.body,
        "file": b.file,
    })
}

/// A cluster's health.
#[must_use]
pub fn cluster_health(h: &ClusterHealthResponse) -> Value {
    let component = |c: &sextant_proto::v1::HealthComponent| {
        json!({
            "name": c.name,
            "score": c.score,
            "critical": c.critical,
            "warning": c.warning,
            "info": c.info,
        })
    };
    let issue = |i: &sextant_proto::v1::HealthIssue| {
        json!({
            "cluster": i.cluster,
            "node": i.node,
            "component": i.component,
            "severity": severity(i.severity()),
            "text": i.text,
            "since": (i.since_unix_ms > 0).then(|| time(i.since_unix_ms)),
            "rule": i.rule,
            "runbook": i.runbook,
        })
    };
    json!({
        "cluster_status": cluster_status(h.cluster_status()),
        "score": h.score,
        "total_nodes": h.total_nodes,
        "ready_nodes": h.ready_nodes,
        "components": h.components.iter().map(component).collect::<Vec<_>>(),
        "issues": h.issues.iter().map(issue).collect::<Vec<_>>(),
        "recommendations": h.recommendations,
        "kubernetes": h.kubernetes,
        "warnings": h.warnings,
    })
}

/// A cluster's status as a word.
#[must_use]
pub fn cluster_status(status: ClusterStatus) -> &'static str {
    match status {
        ClusterStatus::Unknown => "UNKNOWN",
        ClusterStatus::Healthy => "HEALTHY",
        ClusterStatus::Degraded => "DEGRADED",
        ClusterStatus::Critical => "CRITICAL",
    }
}

/// An urgency as a word.
#[must_use]
pub fn urgency(urgency: Urgency) -> &'static str {
    match urgency {
        Urgency::Unspecified => "UNKNOWN",
        Urgency::Info => "INFO",
        Urgency::Low => "LOW",
        Urgency::Medium => "MEDIUM",
        Urgency::High => "HIGH",
        Urgency::Critical => "CRITICAL",
    }
}

/// A risk as a word.
#[must_use]
pub fn risk(risk: Risk) -> &'static str {
    match risk {
        Risk::Unspecified => "UNKNOWN",
        Risk::Low => "LOW",
        Risk::Medium => "MEDIUM",
        Risk::High => "HIGH",
    }
}

fn severity(severity: Severity) -> &'static str {
    match severity {
        Severity::Unspecified => "UNKNOWN",
        Severity::Info => "INFO",
        Severity::Warning => "WARNING",
        Severity::Critical => "CRITICAL",
    }
}

fn time(unix_ms: i64) -> String {
    let since = std::time::Duration::from_millis(u64::try_from(unix_ms).unwrap_or(0));
    humantime::format_rfc3339_millis(std::time::UNIX_EPOCH + since).to_string()
}
