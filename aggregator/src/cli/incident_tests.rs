//! The commands about incidents and maintenance, against an aggregator with fixed answers.

use std::sync::Arc;

use sextant_proto::v1::{
    AffectedPod, Cause, Component, Evidence, Incident, IncidentEntry, IncidentMember,
    IncidentState, Severity,
};

use super::fake::{Fake, NOW_MS};
use super::tests::{answer, ask, assert_text};

fn gpu() -> Option<Component> {
    let name = |text: &str| text.to_owned();
    let (kind, cluster, node) = (name("gpu"), name("lab"), name("a"));
    Some(Component { kind, cluster, node, name: name("GPU-1") })
}

fn incident() -> Incident {
    let evidence = |kind: &str, ago: i64, text: &str| Evidence {
        kind: kind.into(),
        time_unix_ms: NOW_MS - ago,
        text: text.into(),
        ..Evidence::default()
    };
    let member = |id: u64, rule: &str, ago: i64, closed: i64| IncidentMember {
        anomaly_id: id,
        component: gpu(),
        detector: "rules".into(),
        rule: rule.into(),
        severity: Severity::Critical.into(),
        opened_unix_ms: NOW_MS - ago,
        closed_unix_ms: closed,
        summary: format!("{rule}\x1b[2J"),
        explained: closed == 0,
        ..IncidentMember::default()
    };
    Incident {
        id: 12,
        state: IncidentState::Open.into(),
        title: "gpu GPU-1 of a fell off the PCIe bus; 1 more symptom".into(),
        severity: Severity::Critical.into(),
        paged: true,
        page_reason: "critical: GpuXid79".into(),
        opened_unix_ms: NOW_MS - 303_000,
        component: gpu(),
        causes: vec![Cause {
            class: "gpu.off_bus".into(),
            title: "gpu GPU-1 of a fell off the PCIe bus".into(),
            component: gpu(),
            score: 8.25,
            explains: 0.97,
            evidence_for: vec![evidence("anomaly", 303_000, "Xid 79 on GPU-1")],
            evidence_against: vec![evidence("healthy", 303_000, "expected and not seen: gpu.lost")],
            ..Cause::default()
        }],
        confidence: 0.91,
        discriminating_check: "lspci shows the device with revision ff".into(),
        members: vec![member(4, "GpuXid79", 303_000, 0), member(5, "GpuLost", 301_000, NOW_MS)],
        member_count: 2,
        open_members: 1,
        affected: vec![AffectedPod {
            cluster: "lab".into(),
            node: "a".into(),
            namespace: "ml".into(),
            pod: "train-0".into(),
            container: "main".into(),
            device: "gpu GPU-1".into(),
        }],
        nodes: vec!["lab/a".into()],
        actions: vec!["reboot or power-cycle the node".into()],
        ..Incident::default()
    }
}

fn with_incidents() -> Fake {
    let closed = Incident {
        id: 7,
        state: IncidentState::Closed.into(),
        title: "filesystem /var of b is full".into(),
        severity: Severity::Warning.into(),
        paged: false,
        undetermined: true,
        opened_unix_ms: NOW_MS - 7_200_000,
        closed_unix_ms: NOW_MS - 3_600_000,
        nodes: vec!["lab/b".into(), "lab/c".into()],
        ..incident()
    };
    let entry = |ago: i64, kind: &str, by: &str, text: &str| IncidentEntry {
        time_unix_ms: NOW_MS - ago,
        kind: kind.into(),
        by: by.into(),
        text: text.into(),
    };
    let timeline = vec![
        entry(302_000, "opened", "", "gpu GPU-1 of a fell off the PCIe bus"),
        entry(60_000, "acknowledged", "ann", "acknowledged: on it"),
    ];
    let fake = Fake { timeline, ..Fake::default() };
    *fake.incidents.lock() = vec![closed, incident()];
    fake
}

#[tokio::test]
async fn incidents_are_the_open_ones_unless_all_are_asked_for() {
    assert_eq!(answer(Fake::default(), &["incidents"]).await, "no open incidents\n");
    let none = answer(Fake::default(), &["incidents", "--all"]).await;
    assert_eq!(none, "no incidents in the last 1day\n");
    let fake = Arc::new(with_incidents());
    assert_text(
        &ask(&fake, &["incidents"]).await.0,
        "
ID  SINCE                 STATE           SEVERITY  PAGED  NODES  ANOMALIES  CAUSE  TITLE
12  2023-11-14T22:08:17Z  open for 5m 3s  critical  yes    lab/a          2    91%  gpu GPU-1 of a fell off the PCIe bus; 1 more symptom
",
    );
    assert_text(
        &ask(&fake, &["incidents", "--all"]).await.0,
        "
ID  SINCE                 STATE               SEVERITY  PAGED  NODES     ANOMALIES  CAUSE  TITLE
12  2023-11-14T22:08:17Z  open for 5m 3s      critical  yes    lab/a             2    91%  gpu GPU-1 of a fell off the PCIe bus; 1 more symptom
 7  2023-11-14T20:13:20Z  closed after 1h 0m  warning   no     lab/b +1          2      ?  filesystem /var of b is full
",
    );
}

#[tokio::test]
async fn incident_is_shown_with_causes_evidence_members_and_history() {
    assert_text(
        &answer(with_incidents(), &["incident", "12"]).await,
        r"
incident 12: gpu GPU-1 of a fell off the PCIe bus; 1 more symptom
state:     open for 5m 3s, critical
paged:     yes (critical: GpuXid79)
since:     2023-11-14T22:08:17Z
nodes:     lab/a

CAUSE  the first is right with 91%
  1. gpu GPU-1 of a fell off the PCIe bus (gpu.off_bus; score 8.2, explains 97%)
     + 2023-11-14T22:08:17Z  anomaly: Xid 79 on GPU-1
     - 2023-11-14T22:08:17Z  healthy: expected and not seen: gpu.lost
  to tell: lspci shows the device with revision ff

DO
  - reboot or power-cycle the node

AFFECTED
  ml/train-0/main on lab/a: gpu GPU-1

ANOMALIES  2, 1 open
  ID  OPENED                STATE               SEVERITY  ON              RULE            EXPLAINED  SUMMARY
   4  2023-11-14T22:08:17Z  open for 5m 3s      critical  gpu GPU-1 of a  rules/GpuXid79  yes        GpuXid79\u{1b}[2J
   5  2023-11-14T22:08:19Z  closed after 5m 1s  critical  gpu GPU-1 of a  rules/GpuLost   no         GpuLost\u{1b}[2J

HISTORY
  2023-11-14T22:08:18Z  opened: gpu GPU-1 of a fell off the PCIe bus
  2023-11-14T22:12:20Z  acknowledged by ann: acknowledged: on it
",
    );
    let (_, refused) = ask(&Arc::new(with_incidents()), &["incident", "99"]).await;
    assert_eq!(refused.expect_err("none").to_string(), "get an answer: no incident 99");
}

#[tokio::test]
async fn acknowledging_says_who_looks() {
    let fake = Arc::new(with_incidents());
    let (text, _) = ask(&fake, &["ack", "12", "--note", "on it"]).await;
    assert_eq!(text, "incident 12 is acknowledged by ann\n");
    let (list, _) = ask(&fake, &["incidents"]).await;
    assert!(list.contains("open for 5m 3s, ann looks"), "{list}");
    let (one, _) = ask(&fake, &["incident", "12"]).await;
    assert!(one.contains("looked at: by ann since 2023-11-14T22:13:20Z: on it"), "{one}");
}

#[tokio::test]
async fn maintenance_is_added_listed_and_ended() {
    let fake = Arc::new(Fake::default());
    assert_eq!(ask(&fake, &["maintenance", "list"]).await.0, "no maintenance\n");
    let add =
        ["maintenance", "add", "--cluster", "lab", "--node", "a", "--for", "2h", "--reason", "fan"];
    let (text, _) = ask(&fake, &add).await;
    assert_eq!(text, "maintenance 1 for lab/a until 2023-11-15T00:13:20Z\n");
    let add = [
        "maintenance",
        "add",
        "--cluster",
        "lab",
        "--in",
        "1h",
        "--for",
        "30m",
        "--reason",
        "x",
        "--entity-type",
        "gpu",
    ];
    ask(&fake, &add).await.1.expect("added");
    let (text, _) = ask(&fake, &["maintenance", "end", "1"]).await;
    assert_eq!(text, "maintenance 1 for lab/a has ended\n");
    assert_text(
        &ask(&fake, &["maintenance", "list", "--all"]).await.0,
        "
ID  STATE            FROM                  TO                    FOR             BY   REASON
 1  ended by ann     2023-11-14T22:13:20Z  2023-11-15T00:13:20Z  lab/a           ann  fan
 2  begins in 1h 0m  2023-11-14T23:13:20Z  2023-11-14T23:43:20Z  lab/*, all gpu  ann  x
",
    );
}
