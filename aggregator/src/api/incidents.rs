//! Incidents over gRPC. Reading needs the role that all queries need; what changes something
//! needs an operator, and is recorded as an event of the nodes that it is about.

use std::sync::Arc;

use sextant_proto::v1::{self, Event, Label, Severity};
use tonic::{Request, Response, Status};

use super::grpc::{QueryService, given};
use crate::auth::{Principal, Role};
use crate::clock;
use crate::incident::{IncidentError, selects_node};
use crate::pipeline::Job;
use crate::storage::IncidentQuery;

/// Nodes whose events tell of one maintenance window.
const MAX_TOLD: usize = 100;

type Answer<T> = Result<Response<T>, Status>;

impl From<IncidentError> for Status {
    fn from(error: IncidentError) -> Self {
        let text = error.to_string();
        match error {
            IncidentError::Invalid(_) => Self::invalid_argument(text),
            IncidentError::NotFound { .. } => Self::not_found(text),
            IncidentError::Off => Self::failed_precondition(text),
            IncidentError::Busy => Self::resource_exhausted(text),
        }
    }
}

pub(super) async fn list_incidents(
    service: &QueryService,
    request: Request<v1::ListIncidentsRequest>,
) -> Answer<v1::ListIncidentsResponse> {
    let r = request.into_inner();
    let query = IncidentQuery {
        cluster: given(r.cluster),
        node: given(r.node),
        active_only: r.active_only,
        start_ms: r.start_unix_ms,
        end_ms: r.end_unix_ms,
        limit: r.limit as usize,
    };
    let incidents = service.ask(move |q| q.incidents(query)).await?;
    Ok(Response::new(v1::ListIncidentsResponse { incidents }))
}

pub(super) async fn get_incident(
    service: &QueryService,
    request: Request<v1::GetIncidentRequest>,
) -> Answer<v1::GetIncidentResponse> {
    let id = request.into_inner().id;
    let found = service.ask(move |q| q.incident(id)).await?;
    let (incident, timeline) =
        found.ok_or_else(|| Status::not_found(format!("no incident {id}")))?;
    Ok(Response::new(v1::GetIncidentResponse { incident: Some(incident), timeline }))
}

pub(super) async fn acknowledge_incident(
    service: &QueryService,
    request: Request<v1::AcknowledgeIncidentRequest>,
) -> Answer<v1::AcknowledgeIncidentResponse> {
    let by = operator(&request)?;
    let v1::AcknowledgeIncidentRequest { id, note } = request.into_inner();
    let incident = service.queries.incidents.acknowledge(id, by.clone(), note.clone()).await?;
    if let Some((cluster, node)) = incident.nodes.first().and_then(|n| n.split_once('/')) {
        let text = format!("{by} acknowledged incident {id}: {}", incident.title);
        let event = audit(
            "incident.acknowledged",
            &by,
            text,
            &[("incident", &id.to_string()), ("note", &note)],
        );
        record(service, |c, n| c == cluster && n == node, &event).await;
    }
    Ok(Response::new(v1::AcknowledgeIncidentResponse { incident: Some(incident) }))
}

pub(super) async fn create_maintenance(
    service: &QueryService,
    request: Request<v1::CreateMaintenanceRequest>,
) -> Answer<v1::CreateMaintenanceResponse> {
    let by = operator(&request)?;
    let r = request.into_inner();
    let from = if r.from_unix_ms == 0 { clock::now_ms() } else { r.from_unix_ms };
    let window = v1::Maintenance {
        cluster: r.cluster,
        node: r.node,
        entity_type: r.entity_type,
        entity: r.entity,
        from_unix_ms: from,
        to_unix_ms: r.to_unix_ms,
        created_by: by.clone(),
        reason: r.reason,
        ..v1::Maintenance::default()
    };
    let window = service.queries.incidents.maintain(window).await?;
    let text = format!("{by} set maintenance {}: {}", window.id, window.reason);
    record_window(service, "maintenance.created", &by, text, &window).await;
    Ok(Response::new(v1::CreateMaintenanceResponse { maintenance: Some(window) }))
}

pub(super) async fn list_maintenance(
    service: &QueryService,
    request: Request<v1::ListMaintenanceRequest>,
) -> Answer<v1::ListMaintenanceResponse> {
    let all = request.into_inner().all;
    let maintenance = service.queries.incidents.maintenance(all, clock::now_ms());
    Ok(Response::new(v1::ListMaintenanceResponse { maintenance }))
}

pub(super) async fn end_maintenance(
    service: &QueryService,
    request: Request<v1::EndMaintenanceRequest>,
) -> Answer<v1::EndMaintenanceResponse> {
    let by = operator(&request)?;
    let id = request.into_inner().id;
    let window = service.queries.incidents.end_maintenance(id, by.clone()).await?;
    let text = format!("{by} ended maintenance {id}");
    record_window(service, "maintenance.ended", &by, text, &window).await;
    Ok(Response::new(v1::EndMaintenanceResponse { maintenance: Some(window) }))
}

/// The name of a caller that may change things.
fn operator<T>(request: &Request<T>) -> Result<String, Status> {
    let principal = request.extensions().get::<Principal>();
    match principal {
        Some(principal) if principal.may(Role::Operator) => Ok(principal.name.to_string()),
        Some(principal) => {
            let text =
                format!("{} has no role that allows this: it needs an operator", principal.name);
            Err(Status::permission_denied(text))
        }
        None => Err(Status::unauthenticated("nobody said who calls")),
    }
}

fn audit(kind: &str, by: &str, message: String, more: &[(&str, &str)]) -> Event {
    let label =
        |(name, value): &(&str, &str)| Label { name: (*name).into(), value: (*value).into() };
    Event {
        time_unix_ms: clock::now_ms(),
        r#type: kind.into(),
        severity: Severity::Info.into(),
        entity_type: "node".into(),
        attributes: [("by", by)].iter().chain(more).map(label).collect(),
        message,
        ..Event::default()
    }
}

async fn record_window(
    service: &QueryService,
    kind: &str,
    by: &str,
    text: String,
    window: &v1::Maintenance,
) {
    let id = window.id.to_string();
    let event = audit(kind, by, text, &[("maintenance", &id), ("reason", &window.reason)]);
    record(service, |cluster, node| selects_node(window, cluster, node), &event).await;
}

/// Records an event on the nodes that are meant.
async fn record(service: &QueryService, wanted: impl Fn(&str, &str) -> bool, event: &Event) {
    let nodes = service.queries.nodes.all();
    let meant = nodes.iter().filter(|n| wanted(&n.key.cluster, &n.key.name));
    for node in meant.take(MAX_TOLD) {
        let job = Job::Event(Arc::clone(&node.key), event.clone());
        service.shards.send(node.key.id, job).await;
    }
}
