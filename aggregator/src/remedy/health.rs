//! How healthy a cluster is: one number and what it is made of.
//!
//! A node that does not report has health 0. Another has the product, over what is open on it,
//! of `1 - w`: 0.5 for critical, 0.15 for warning, 0.02 for information, and a fifth of that for
//! what is only unusual (`surprise`). The score is 100 times the mean over the nodes; a
//! component's score is the same with what is open on that component alone. Where Kubernetes
//! says that a node is not ready, its health is 0; a pressure counts as critical. An API server
//! that should answer and does not costs 50 points.
//!
//! The status is CRITICAL with no node ready, a score under 50, or an API server that does not
//! answer; DEGRADED with a node that is not ready, anything critical open, or a score under 90;
//! else HEALTHY. So nothing that gets worse makes score or status better.

use std::collections::BTreeMap;
use std::sync::Arc;

use sextant_proto::v1::{
    Anomaly, ClusterHealthResponse, ClusterStatus, HealthComponent, HealthIssue, Node, Severity,
};

use super::facts::{Connection, NodeFacts};
use super::runbook::{Library, Runbook};
use crate::detect::Stale;

/// Issues that an answer shows, and recommendations.
const MAX_ISSUES: usize = 500;
const MAX_RECOMMENDATIONS: usize = 10;
/// What an API server that does not answer costs.
const API_SERVER_POINTS: f64 = 50.0;
const CRITICAL_BELOW: f64 = 50.0;
const HEALTHY_FROM: f64 = 90.0;
/// Everything that is not measured on a device.
const HOST: &str = "host";
/// What is wrong with a node as a whole.
const NODES: &str = "nodes";
const COMPONENTS: [&str; 5] = ["gpu", "ptp", "sriov", HOST, "agent"];

/// What is known of a cluster.
#[derive(Debug)]
pub struct Known<'a> {
    pub nodes: &'a [Node],
    /// What is open on them.
    pub anomalies: &'a [Anomaly],
    pub kubernetes: &'a [NodeFacts],
    pub connection: Connection,
    pub now_ms: i64,
    /// A node whose last data is older does not report.
    pub stale_after_ms: i64,
}

/// Judges.
#[must_use]
pub fn assess(known: &Known<'_>, library: &Library) -> ClusterHealthResponse {
    let mut answer = ClusterHealthResponse {
        kubernetes: known.connection.describe(),
        total_nodes: number(known.nodes.len()),
        ..ClusterHealthResponse::default()
    };
    if known.nodes.is_empty() {
        answer.cluster_status = ClusterStatus::Unknown.into();
        answer.warnings.push("no node has ever reported: is an agent running?".into());
        return answer;
    }
    let mut open: BTreeMap<(&str, &str), Vec<&Anomaly>> = BTreeMap::new();
    for anomaly in known.anomalies {
        open.entry((&anomaly.cluster, &anomaly.node)).or_default().push(anomaly);
    }
    let mut health = Vec::new();
    let mut parts: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
    let mut issues = Vec::new();
    for node in known.nodes {
        let anomalies = open.get(&(&*node.cluster, &*node.name)).map_or(&[][..], Vec::as_slice);
        let facts = known.kubernetes.iter().find(|f| f.name == node.name);
        let reports = reports(node, known);
        let ready = reports && facts.is_none_or(|f| f.ready);
        answer.ready_nodes += u32::from(ready);
        let pressures = facts.map_or(0, |f| f.pressures.len());
        let pressed = 0.5_f64.powi(i32::try_from(pressures).unwrap_or(i32::MAX));
        let of = |part: Option<&str>| -> f64 {
            let counted = anomalies.iter().filter(|a| part.is_none_or(|p| component(a) == p));
            counted.map(|a| 1.0 - weight(a)).product()
        };
        health.push(if ready { of(None) * pressed } else { 0.0 });
        for part in COMPONENTS {
            let own = of(Some(part)) * if part == HOST { pressed } else { 1.0 };
            parts.entry(part).or_default().push(own);
        }
        parts.entry(NODES).or_default().push(if ready { 1.0 } else { 0.0 });
        issues.extend(node_issues(node, reports, facts, library));
    }
    let lost = matches!(known.connection, Connection::Unreachable(_));
    let score = 100.0 * mean(&health) - if lost { API_SERVER_POINTS } else { 0.0 };
    let score = round(score.max(0.0));
    let critical = known.anomalies.iter().any(|a| a.severity() == Severity::Critical)
        || issues.iter().any(|i: &HealthIssue| i.severity() == Severity::Critical);
    answer.score = Some(score);
    answer.cluster_status = if answer.ready_nodes == 0 || score < CRITICAL_BELOW || lost {
        ClusterStatus::Critical
    } else if answer.ready_nodes < answer.total_nodes || critical || score < HEALTHY_FROM {
        ClusterStatus::Degraded
    } else {
        ClusterStatus::Healthy
    }
    .into();
    answer.components = components(&parts, known.anomalies);
    issues.extend(known.anomalies.iter().map(|a| issue(a, library)));
    issues.sort_by(|a, b| {
        // A node that is gone hides what else is wrong with it.
        let order = |i: &HealthIssue| {
            (std::cmp::Reverse(i.severity), i.component != NODES, i.since_unix_ms)
        };
        order(a).cmp(&order(b)).then_with(|| (&a.node, &a.rule).cmp(&(&b.node, &b.rule)))
    });
    answer.recommendations = recommendations(&issues, library);
    if issues.len() > MAX_ISSUES {
        answer.warnings.push(format!("only {MAX_ISSUES} of {} issues are shown", issues.len()));
        issues.truncate(MAX_ISSUES);
    }
    answer.issues = issues;
    answer
}

fn reports(node: &Node, known: &Known<'_>) -> bool {
    node.connected && known.now_ms.saturating_sub(node.last_seen_unix_ms) <= known.stale_after_ms
}

fn weight(anomaly: &Anomaly) -> f64 {
    let weight = match anomaly.severity() {
        Severity::Critical => 0.5,
        Severity::Warning => 0.15,
        Severity::Info | Severity::Unspecified => 0.02,
    };
    if anomaly.detector == "surprise" { weight / 5.0 } else { weight }
}

/// The component that an anomaly is of, by its metric or its rule.
fn component(anomaly: &Anomaly) -> &'static str {
    let of = |word: &str| {
        let prefix = format!("{word}_");
        anomaly.metric.starts_with(&prefix) || anomaly.rule.to_ascii_lowercase().starts_with(word)
    };
    match () {
        () if of("gpu") || anomaly.rule.starts_with("Nvswitch") => "gpu",
        () if of("ptp") => "ptp",
        () if of("sriov") => "sriov",
        () if anomaly.metric.starts_with("sextant_") => "agent",
        () => HOST,
    }
}

fn components(parts: &BTreeMap<&str, Vec<f64>>, anomalies: &[Anomaly]) -> Vec<HealthComponent> {
    let names = std::iter::once(NODES).chain(COMPONENTS);
    let component = |name: &str| {
        let own = anomalies.iter().filter(|a| component(a) == name);
        let mut part = HealthComponent {
            name: name.into(),
            score: round(100.0 * parts.get(name).map_or(1.0, |p| mean(p))),
            ..HealthComponent::default()
        };
        for anomaly in own {
            match anomaly.severity() {
                Severity::Critical => part.critical += 1,
                Severity::Warning => part.warning += 1,
                Severity::Info | Severity::Unspecified => part.info += 1,
            }
        }
        part
    };
    names.map(component).collect()
}

/// What is wrong with a node as a whole.
fn node_issues(
    node: &Node,
    reports: bool,
    facts: Option<&NodeFacts>,
    library: &Library,
) -> Vec<HealthIssue> {
    let issue = |text: String, since_unix_ms, book: Option<&Arc<Runbook>>| HealthIssue {
        cluster: node.cluster.clone(),
        node: node.name.clone(),
        component: NODES.into(),
        severity: Severity::Critical.into(),
        text,
        since_unix_ms,
        rule: String::new(),
        runbook: book.map(|b| b.id.clone()).unwrap_or_default(),
    };
    let of_error = |class| library.of_error(class).next();
    let mut issues = Vec::new();
    if !reports {
        let how = if node.connected { "sends nothing" } else { "is not connected" };
        let text = format!("the agent of {} {how}", node.name);
        issues.push(issue(text, node.last_seen_unix_ms, library.of_rule(Stale::RULE).next()));
    }
    if let Some(facts) = facts {
        if !facts.ready {
            let text = format!("Kubernetes says that {} is not ready", node.name);
            issues.push(issue(text, 0, of_error("NodeNotReady")));
        }
        for pressure in &facts.pressures {
            let text = format!("Kubernetes reports {pressure} of {}", node.name);
            issues.push(issue(text, 0, of_error("NodePressure")));
        }
    }
    issues
}

fn issue(anomaly: &Anomaly, library: &Library) -> HealthIssue {
    let book = library.of_rule(&anomaly.rule).next();
    HealthIssue {
        cluster: anomaly.cluster.clone(),
        node: anomaly.node.clone(),
        component: component(anomaly).into(),
        severity: anomaly.severity,
        text: anomaly.summary.clone(),
        since_unix_ms: anomaly.opened_unix_ms,
        rule: anomaly.rule.clone(),
        runbook: book.map(|b| b.id.clone()).unwrap_or_default(),
    }
}

/// What to do, the most urgent first: one line a runbook.
fn recommendations(issues: &[HealthIssue], library: &Library) -> Vec<String> {
    let mut nodes: Vec<(&str, Vec<&str>)> = Vec::new();
    for issue in issues.iter().filter(|i| i.severity > i32::from(Severity::Info)) {
        match nodes.iter_mut().find(|(book, _)| *book == issue.runbook) {
            Some((_, nodes)) if nodes.contains(&issue.node.as_str()) => {}
            Some((_, nodes)) => nodes.push(&issue.node),
            None => nodes.push((&issue.runbook, vec![&issue.node])),
        }
    }
    let line = |(book, nodes): (&str, Vec<&str>)| {
        let book = library.get(book)?;
        let shown = nodes.iter().take(5).copied().collect::<Vec<_>>().join(", ");
        let more = match nodes.len().saturating_sub(5) {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        Some(format!("{} ({shown}{more}): see runbook {}", book.title, book.id))
    };
    nodes.into_iter().filter_map(line).take(MAX_RECOMMENDATIONS).collect()
}

fn round(score: f64) -> f64 {
    (score * 10.0).round() / 10.0
}

#[expect(clippy::cast_precision_loss, reason = "a count of nodes")]
fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len().max(1) as f64
}

fn number(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}
