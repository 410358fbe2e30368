//! The way from a command to the aggregator: shared flags, deadlines, and the aggregator's
//! refusals as errors of the command.

use std::error::Error as _;
use std::path::PathBuf;
use std::time::Duration;

use sextant_proto::client::{AuthorizedChannel, ClientConfig};
use sextant_proto::v1::{self, query_client::QueryClient};
use tonic::{Code, Request, Status};

use super::CliError;

/// A question without an answer after so long has none.
const DEADLINE: Duration = Duration::from_secs(30);
/// Largest answer read: every series of a large fleet at one instant.
const MAX_ANSWER_BYTES: usize = 256 << 20;
const ENDPOINT_VARIABLE: &str = "SEXTANT_ENDPOINT";

/// Which aggregator to ask, and who to be there.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct ConnectArgs {
    /// The aggregator's gRPC address [default: $SEXTANT_ENDPOINT, or http://127.0.0.1:9317]
    #[arg(long, value_name = "URL")]
    pub endpoint: Option<String>,
    /// PEM file of the authority that signed the aggregator's certificate, for https://
    #[arg(long, value_name = "FILE")]
    pub ca_file: Option<PathBuf>,
    /// PEM file of a client certificate, for mutual TLS
    #[arg(long, value_name = "FILE", requires = "key_file")]
    pub cert_file: Option<PathBuf>,
    /// PEM file of the client certificate's key
    #[arg(long, value_name = "FILE", requires = "cert_file")]
    pub key_file: Option<PathBuf>,
    /// File with the bearer token to send
    #[arg(long, value_name = "FILE")]
    pub token_file: Option<PathBuf>,
}

impl ConnectArgs {
    fn config(&self) -> ClientConfig {
        let named = self.endpoint.clone().or_else(|| std::env::var(ENDPOINT_VARIABLE).ok());
        let Self { ca_file, cert_file, key_file, token_file, .. } = self.clone();
        let endpoint = named.unwrap_or_else(|| ClientConfig::default().endpoint);
        ClientConfig { endpoint, ca_file, cert_file, key_file, token_file }
    }

    pub(super) async fn open(&self) -> Result<Client, CliError> {
        let config = self.config();
        let channel = config.connect().await?;
        let queries = QueryClient::new(channel).max_decoding_message_size(MAX_ANSWER_BYTES);
        Ok(Client { queries, endpoint: config.endpoint })
    }
}

/// A connection to an aggregator.
pub(super) struct Client {
    queries: QueryClient<AuthorizedChannel>,
    pub(super) endpoint: String,
}

impl Client {
    pub(super) async fn nodes(&mut self, cluster: &str) -> Result<Vec<v1::Node>, CliError> {
        let request = bounded(v1::ListNodesRequest { cluster: cluster.into() });
        let answer = self.queries.list_nodes(request).await;
        Ok(self.answer(answer)?.nodes)
    }

    pub(super) async fn instant(
        &mut self,
        selector: &str,
        time_unix_ms: i64,
    ) -> Result<Vec<v1::InstantSample>, CliError> {
        let request = v1::InstantRequest { selector: selector.into(), time_unix_ms };
        let answer = self.queries.instant(bounded(request)).await;
        Ok(self.answer(answer)?.samples)
    }

    pub(super) async fn range(
        &mut self,
        request: v1::RangeRequest,
    ) -> Result<tonic::Streaming<v1::RangeResponse>, CliError> {
        let answer = self.queries.range(bounded(request)).await;
        self.answer(answer)
    }

    pub(super) async fn events(
        &mut self,
        request: v1::ListEventsRequest,
    ) -> Result<Vec<v1::StoredEvent>, CliError> {
        let answer = self.queries.list_events(bounded(request)).await;
        Ok(self.answer(answer)?.events)
    }

    pub(super) async fn anomalies(
        &mut self,
        request: v1::ListAnomaliesRequest,
    ) -> Result<Vec<v1::Anomaly>, CliError> {
        let answer = self.queries.list_anomalies(bounded(request)).await;
        Ok(self.answer(answer)?.anomalies)
    }

    pub(super) async fn incidents(
        &mut self,
        request: v1::ListIncidentsRequest,
    ) -> Result<Vec<v1::Incident>, CliError> {
        let answer = self.queries.list_incidents(bounded(request)).await;
        Ok(self.answer(answer)?.incidents)
    }

    pub(super) async fn incident(
        &mut self,
        id: u64,
    ) -> Result<(v1::Incident, Vec<v1::IncidentEntry>), CliError> {
        let answer = self.queries.get_incident(bounded(v1::GetIncidentRequest { id })).await;
        let answer = self.answer(answer)?;
        Ok((answer.incident.unwrap_or_default(), answer.timeline))
    }

    pub(super) async fn acknowledge(
        &mut self,
        id: u64,
        note: &str,
    ) -> Result<v1::Incident, CliError> {
        let request = v1::AcknowledgeIncidentRequest { id, note: note.into() };
        let answer = self.queries.acknowledge_incident(bounded(request)).await;
        Ok(self.answer(answer)?.incident.unwrap_or_default())
    }

    pub(super) async fn create_maintenance(
        &mut self,
        request: v1::CreateMaintenanceRequest,
    ) -> Result<v1::Maintenance, CliError> {
        let answer = self.queries.create_maintenance(bounded(request)).await;
        Ok(self.answer(answer)?.maintenance.unwrap_or_default())
    }

    pub(super) async fn list_maintenance(
        &mut self,
        all: bool,
    ) -> Result<Vec<v1::Maintenance>, CliError> {
        let request = v1::ListMaintenanceRequest { all };
        let answer = self.queries.list_maintenance(bounded(request)).await;
        Ok(self.answer(answer)?.maintenance)
    }

    pub(super) async fn end_maintenance(&mut self, id: u64) -> Result<v1::Maintenance, CliError> {
        let request = v1::EndMaintenanceRequest { id };
        let answer = self.queries.end_maintenance(bounded(request)).await;
        Ok(self.answer(answer)?.maintenance.unwrap_or_default())
    }

    pub(super) async fn subscribe(
        &mut self,
        request: v1::SubscribeRequest,
    ) -> Result<tonic::Streaming<v1::SubscribeResponse>, CliError> {
        let answer = self.queries.subscribe(request).await;
        self.answer(answer)
    }

    fn answer<T>(&self, answer: Result<tonic::Response<T>, Status>) -> Result<T, CliError> {
        answer.map(tonic::Response::into_inner).map_err(|status| self.refusal(&status))
    }

    /// What a status means to the one who asked.
    pub(super) fn refusal(&self, status: &Status) -> CliError {
        let said = match status.message() {
            "" => status.code().description().to_owned(),
            said => said.to_owned(),
        };
        // A status with a source was made here, of a transport that broke.
        let cause = std::iter::successors(status.source(), |&error| error.source()).last();
        let gone = matches!(status.code(), Code::Unavailable | Code::DeadlineExceeded);
        if cause.is_none() && !gone {
            return CliError::Refused(said);
        }
        let endpoint = self.endpoint.clone();
        let reason = cause.map(ToString::to_string).filter(|text| !said.contains(text));
        let reason = reason.map_or(said.clone(), |cause| format!("{said}: {cause}"));
        CliError::Unavailable { endpoint, reason }
    }
}

fn bounded<T>(message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.set_timeout(DEADLINE);
    request
}
