//! Incidents over gRPC.

use sextant_proto::v1;
use tonic::{Request, Response, Status};

use super::grpc::QueryService;

type Answer<T> = Result<Response<T>, Status>;

pub(super) async fn list_incidents(
    _: &QueryService,
    _: Request<v1::ListIncidentsRequest>,
) -> Answer<v1::ListIncidentsResponse> {
    Err(Status::unimplemented("incidents are not served yet"))
}

pub(super) async fn get_incident(
    _: &QueryService,
    _: Request<v1::GetIncidentRequest>,
) -> Answer<v1::GetIncidentResponse> {
    Err(Status::unimplemented("incidents are not served yet"))
}

pub(super) async fn acknowledge_incident(
    _: &QueryService,
    _: Request<v1::AcknowledgeIncidentRequest>,
) -> Answer<v1::AcknowledgeIncidentResponse> {
    Err(Status::unimplemented("incidents are not served yet"))
}

pub(super) async fn create_maintenance(
    _: &QueryService,
    _: Request<v1::CreateMaintenanceRequest>,
) -> Answer<v1::CreateMaintenanceResponse> {
    Err(Status::unimplemented("incidents are not served yet"))
}

pub(super) async fn list_maintenance(
    _: &QueryService,
    _: Request<v1::ListMaintenanceRequest>,
) -> Answer<v1::ListMaintenanceResponse> {
    Err(Status::unimplemented("incidents are not served yet"))
}

pub(super) async fn end_maintenance(
    _: &QueryService,
    _: Request<v1::EndMaintenanceRequest>,
) -> Answer<v1::EndMaintenanceResponse> {
    Err(Status::unimplemented("incidents are not served yet"))
}
