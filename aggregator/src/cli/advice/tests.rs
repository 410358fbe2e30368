//! Each command against an aggregator with fixed answers: the whole text that it prints.

use std::sync::Arc;

use parking_lot::Mutex;
use sextant_proto::v1::advice_server::{Advice, AdviceServer};
use sextant_proto::v1::{
    ClassifiedError, ClusterHealthRequest, ClusterHealthResponse, ClusterStatus, DiagnoseRequest,
    Diagnosis, DiagnosisEvidence, Fix, GetRunbookRequest, HealthComponent, HealthIssue,
    ListRunbooksRequest, ListRunbooksResponse, Risk, Runbook, RunbookMatch, RunbookStep, Severity,
    SuggestRunbookRequest, SuggestRunbookResponse, Urgency, Wording,
};
use tokio_util::task::TaskTracker;
use tonic::transport::server::TcpIncoming;
use tonic::{Request, Response, Status};

use super::super::CliError;
use super::super::fake::NOW_MS;
use super::super::run_in;
use super::super::tests::{assert_text, command, context};
use super::diagnose;
use crate::remedy::classify::MAX_TEXT_BYTES;

type Answer<T> = Result<Response<T>, Status>;

/// Answers with what it has, and keeps what it was asked last.
#[derive(Default)]
struct Fake {
    diagnosis: Diagnosis,
    runbooks: Vec<Runbook>,
    reload_error: String,
    suggested: SuggestRunbookResponse,
    health: ClusterHealthResponse,
    asked: Mutex<Option<DiagnoseRequest>>,
}

#[tonic::async_trait]
impl Advice for Fake {
    async fn diagnose(&self, request: Request<DiagnoseRequest>) -> Answer<Diagnosis> {
        *self.asked.lock() = Some(request.into_inner());
        Ok(Response::new(self.diagnosis.clone()))
    }

    async fn suggest_runbook(
        &self,
        request: Request<SuggestRunbookRequest>,
    ) -> Answer<SuggestRunbookResponse> {
        let mut answer = self.suggested.clone();
        answer.query = request.into_inner().text;
        Ok(Response::new(answer))
    }

    async fn list_runbooks(&self, _: Request<ListRunbooksRequest>) -> Answer<ListRunbooksResponse> {
        let (runbooks, reload_error) = (self.runbooks.clone(), self.reload_error.clone());
        Ok(Response::new(ListRunbooksResponse { runbooks, reload_error }))
    }

    async fn get_runbook(&self, request: Request<GetRunbookRequest>) -> Answer<Runbook> {
        let id = request.into_inner().id;
        let found = self.runbooks.iter().find(|b| b.id == id).cloned();
        found.map(Response::new).ok_or_else(|| Status::not_found("there is no such runbook"))
    }

    async fn cluster_health(
        &self,
        _: Request<ClusterHealthRequest>,
    ) -> Answer<ClusterHealthResponse> {
        Ok(Response::new(self.health.clone()))
    }
}

async fn ask(fake: Fake, line: &[&str]) -> (Result<String, CliError>, Arc<Fake>) {
    let fake = Arc::new(fake);
    let incoming = TcpIncoming::bind(([127, 0, 0, 1], 0).into()).expect("a free port");
    let endpoint = format!("http://{}", incoming.local_addr().expect("bound"));
    let service = AdviceServer::from_arc(Arc::clone(&fake));
    let server = tonic::transport::Server::builder().add_service(service);
    TaskTracker::new().spawn(server.serve_with_incoming(incoming));
    let mut out = Vec::new();
    let result = run_in(command(&endpoint, line), &context(), &mut out).await;
    (result.map(|()| String::from_utf8(out).expect("text")), fake)
}

async fn answer(fake: Fake, line: &[&str]) -> String {
    ask(fake, line).await.0.expect("answered")
}

fn strings(texts: &[&str]) -> Vec<String> {
    texts.iter().map(ToString::to_string).collect()
}

fn diagnosis() -> Diagnosis {
    Diagnosis {
        request_id: "0a1b2c3d".into(),
        time_unix_ms: NOW_MS,
        severity: Urgency::Critical.into(),
        error_category: "OOMKilled".into(),
        root_cause: "A process was killed.".into(),
        explanation: "Memory ran out.".into(),
        confidence: 0.93,
        evidence: vec![
            DiagnosisEvidence {
                kind: "text".into(),
                text: "OOM\x1b[2J".into(),
                ..DiagnosisEvidence::default()
            },
            DiagnosisEvidence {
                kind: "anomaly".into(),
                text: "goes with it: 2% of memory".into(),
                time_unix_ms: NOW_MS - 60_000,
                id: 4,
                ..DiagnosisEvidence::default()
            },
        ],
        fixes: vec![
            Fix {
                description: "Read how it ended.".into(),
                risk_level: Risk::Low.into(),
                commands: strings(&["kubectl -n shop get pod web-1", "kubectl top pod web-1"]),
                ..Fix::default()
            },
            Fix {
                description: "Restart the deployment.".into(),
                risk_level: Risk::High.into(),
                warning: "All pods are replaced.".into(),
                look_up: strings(&["the deployment: kubectl get deployments -A"]),
                ..Fix::default()
            },
        ],
        prevention_tips: strings(&["Set limits."]),
        related_runbooks: vec![RunbookMatch {
            id: "kubernetes-oom-killed".into(),
            title: "Memory ran out".into(),
            relevance_score: 1.0,
            ..RunbookMatch::default()
        }],
        classified_errors: vec![ClassifiedError {
            class: "OOMKilled".into(),
            severity: Urgency::Critical.into(),
            ..ClassifiedError::default()
        }],
        kubernetes: "Kubernetes is not connected".into(),
        notes: strings(&["the text is long"]),
        ..Diagnosis::default()
    }
}

#[tokio::test]
async fn diagnosis_is_a_text_from_cause_to_runbook() {
    let fake = Fake { diagnosis: diagnosis(), ..Fake::default() };
    let line = ["diagnose", "--pod", "web-1", "--namespace", "shop", "--node", "n1", "OOMKilled"];
    let (text, fake) = ask(fake, &line).await;
    assert_text(
        &text.expect("answered"),
        r"
CRITICAL  OOMKilled  93% sure
A process was killed.
Memory ran out.

EVIDENCE
  - text: OOM\u{1b}[2J
  - anomaly 2023-11-14T22:12:20Z: goes with it: 2% of memory

WHAT TO DO
  1. [LOW] Read how it ended.
     $ kubectl -n shop get pod web-1
     $ kubectl top pod web-1
  2. [HIGH] Restart the deployment.
     beware: All pods are replaced.
     first look up: the deployment: kubectl get deployments -A

SO THAT IT DOES NOT COME AGAIN
  - Set limits.

RUNBOOKS
  - kubernetes-oom-killed: Memory ran out

NOTES
  - the text is long
  - Kubernetes is not connected
",
    );
    let asked = fake.asked.lock().take().expect("asked");
    let want = DiagnoseRequest {
        error_message: "OOMKilled".into(),
        node: "n1".into(),
        namespace: "shop".into(),
        pod: "web-1".into(),
        ..DiagnoseRequest::default()
    };
    assert_eq!(asked, want);
}

#[tokio::test]
async fn words_of_a_model_are_marked_as_such() {
    let text = "It ran out.\nOf memory\x07.".into();
    let wording = Some(Wording { generated: true, model: "small".into(), text });
    let diagnosis = Diagnosis { wording, ..Diagnosis::default() };
    let (text, fake) =
        ask(Fake { diagnosis, ..Fake::default() }, &["diagnose", "--words", "OOM"]).await;
    let text = text.expect("answered");
    assert!(text.ends_with("\nGENERATED BY small\n  It ran out.\n  Of memory\\u{7}.\n"), "{text}");
    assert!(fake.asked.lock().take().is_some_and(|asked| asked.wording));
}

#[tokio::test]
async fn diagnosis_as_json_has_a_command_an_entry() {
    let fake = Fake { diagnosis: diagnosis(), ..Fake::default() };
    let text = answer(fake, &["diagnose", "--json", "OOMKilled"]).await;
    let json: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    let of = |pointer: &str| json.pointer(pointer).expect(pointer).clone();
    assert_eq!(of("/severity"), "CRITICAL");
    assert_eq!(of("/error_category"), "OOMKilled");
    assert_eq!(of("/timestamp"), "2023-11-14T22:13:20.000Z");
    assert_eq!(of("/fix_commands").as_array().map(Vec::len), Some(3));
    assert_eq!(of("/fix_commands/1/command"), "kubectl top pod web-1");
    assert_eq!(of("/fix_commands/2/command"), "");
    assert_eq!(of("/fix_commands/2/risk_level"), "HIGH");
    assert_eq!(of("/related_runbooks/0/filename"), "kubernetes-oom-killed.md");
    assert_eq!(of("/wording"), serde_json::Value::Null);
}

#[test]
fn input_is_read_whatever_its_bytes_and_bounded() {
    assert_eq!(diagnose::read(&b"a\xffb\n"[..]).expect("read"), "a\u{fffd}b\n");
    let most = vec![b'a'; MAX_TEXT_BYTES];
    assert_eq!(diagnose::read(&most[..]).expect("read").len(), MAX_TEXT_BYTES);
    let error = diagnose::read(std::io::repeat(b'a')).expect_err("endless");
    assert!(error.to_string().contains("over 10485760 bytes"), "{error}");
}

fn books() -> Vec<Runbook> {
    let gpu = Runbook {
        id: "gpu-lost".into(),
        title: "A GPU is gone".into(),
        severity: Urgency::Critical.into(),
        rules: strings(&["GpuXid79"]),
        events: strings(&["gpu.lost"]),
        error_classes: strings(&["GpuFallenOffBus"]),
        symptoms: strings(&["nvidia-smi does not list it"]),
        checks: vec![RunbookStep {
            description: "Look.".into(),
            risk_level: Risk::Low.into(),
            commands: strings(&["nvidia-smi -L"]),
            warning: String::new(),
        }],
        steps: vec![RunbookStep {
            description: "Reboot {node}.".into(),
            risk_level: Risk::High.into(),
            commands: strings(&["ssh {node} reboot"]),
            warning: "All of {node} stops.".into(),
        }],
        prevention: strings(&["Watch the power."]),
        sources: strings(&["NVIDIA"]),
        body: "It fell.\n\nOff the bus.".into(),
        file: "/etc/books/gpu-lost.md".into(),
        ..Runbook::default()
    };
    let other = Runbook { id: "x".into(), title: "X".into(), severity: 2, ..Runbook::default() };
    vec![gpu, other]
}

#[tokio::test]
async fn runbooks_are_listed_with_what_keeps_newer_ones_out() {
    let reload_error = "runbook a.md: line 3: no".to_owned();
    let fake = Fake { runbooks: books(), reload_error, ..Fake::default() };
    assert_text(
        &answer(fake, &["runbooks"]).await,
        "
ID        SEVERITY  TITLE
gpu-lost  critical  A GPU is gone
x         low       X
-- changes in the directory cannot be used: runbook a.md: line 3: no
",
    );
    assert_eq!(answer(Fake::default(), &["runbooks"]).await, "no runbooks\n");
}

#[tokio::test]
async fn search_shows_the_best_and_says_why() {
    let found = RunbookMatch {
        id: "gpu-lost".into(),
        title: "A GPU is gone".into(),
        relevance_score: 0.987,
        summary: "It fell.".into(),
        reasons: strings(&["it is of Xid 79", "it has the words xid79"]),
    };
    let suggested = SuggestRunbookResponse {
        results: vec![found],
        total_matched: 4,
        ..SuggestRunbookResponse::default()
    };
    let fake = || Fake { suggested: suggested.clone(), ..Fake::default() };
    assert_text(
        &answer(fake(), &["runbooks", "search", "xid 79"]).await,
        "
RELEVANCE  ID        TITLE          BECAUSE
     0.99  gpu-lost  A GPU is gone  it is of Xid 79; it has the words xid79
(1 of 4; --limit shows more)
",
    );
    let text = answer(fake(), &["runbooks", "search", "xid 79", "--json"]).await;
    let json: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!((&json["query"], &json["total_matched"]), (&"xid 79".into(), &4.into()));
    let none = answer(Fake::default(), &["runbooks", "search", "dog"]).await;
    assert_eq!(none, "no runbook has any of it\n");
}

#[tokio::test]
async fn runbook_is_shown_whole() {
    let fake = || Fake { runbooks: books(), ..Fake::default() };
    assert_text(
        &answer(fake(), &["runbook", "gpu-lost"]).await,
        "
CRITICAL  gpu-lost: A GPU is gone
from /etc/books/gpu-lost.md

SYMPTOMS
  - nvidia-smi does not list it

CHECK
  1. [LOW] Look.
     $ nvidia-smi -L

WHAT TO DO
  1. [HIGH] Reboot {node}.
     beware: All of {node} stops.
     $ ssh {node} reboot

SO THAT IT DOES NOT COME AGAIN
  - Watch the power.

It fell.

Off the bus.

ANSWERS
  - GpuXid79
  - gpu.lost
  - GpuFallenOffBus

SOURCES
  - NVIDIA
",
    );
    let (none, _) = ask(fake(), &["runbook", "y"]).await;
    assert_eq!(none.unwrap_err().to_string(), "get an answer: there is no such runbook");
    let text = answer(fake(), &["runbook", "gpu-lost", "--json"]).await;
    let json: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!(json["steps"][0]["risk_level"], "HIGH");
}

#[tokio::test]
async fn health_is_a_score_what_it_is_made_of_and_what_to_do() {
    let health = ClusterHealthResponse {
        cluster_status: ClusterStatus::Degraded.into(),
        score: Some(75.0),
        total_nodes: 2,
        ready_nodes: 1,
        components: vec![HealthComponent {
            name: "gpu".into(),
            score: 50.0,
            critical: 1,
            ..HealthComponent::default()
        }],
        issues: vec![HealthIssue {
            cluster: "lab".into(),
            node: "a".into(),
            component: "gpu".into(),
            severity: Severity::Critical.into(),
            text: "GPU 0 is lost".into(),
            since_unix_ms: NOW_MS - 303_000,
            rule: "GpuLost".into(),
            runbook: "gpu-lost".into(),
        }],
        recommendations: strings(&["A GPU is gone (a): see runbook gpu-lost"]),
        kubernetes: "Kubernetes is not connected".into(),
        warnings: strings(&["one is old"]),
    };
    let fake = || Fake { health: health.clone(), ..Fake::default() };
    assert_text(
        &answer(fake(), &["cluster-health", "--cluster", "lab"]).await,
        "
DEGRADED  75.0 of 100  1 of 2 nodes ready

COMPONENT  SCORE  CRITICAL  WARNING  INFO
gpu         50.0         1        0     0

SEVERITY  FOR    NODE   WHAT           RUNBOOK
critical  5m 3s  lab/a  GPU 0 is lost  gpu-lost

WHAT TO DO
  - A GPU is gone (a): see runbook gpu-lost

NOTES
  - one is old
  - Kubernetes is not connected
",
    );
    let text = answer(fake(), &["cluster-health", "--json"]).await;
    let json: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!((&json["cluster_status"], &json["score"]), (&"DEGRADED".into(), &75.0.into()));
    let nothing = answer(Fake::default(), &["cluster-health"]).await;
    assert_eq!(nothing, "UNKNOWN  0 of 0 nodes ready\n");
}
