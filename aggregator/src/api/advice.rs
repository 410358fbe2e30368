//! The gRPC service `sextant.v1.Advice`.

use sextant_proto::chain::chain;
use sextant_proto::v1::advice_server::Advice;
use sextant_proto::v1::{
    ClusterHealthRequest, ClusterHealthResponse, DiagnoseRequest, Diagnosis, GetRunbookRequest,
    ListRunbooksRequest, ListRunbooksResponse, Runbook, SuggestRunbookRequest,
    SuggestRunbookResponse,
};
use tonic::{Request, Response, Status};
use tracing::debug;

use crate::query::QueryError;
use crate::remedy::scene::Subject;
use crate::remedy::suggest::Topic;
use crate::remedy::{Question, Remedies, classify};

/// Largest request: an error text, with room for what wraps it.
pub const MAX_REQUEST_BYTES: usize = classify::MAX_TEXT_BYTES + (64 << 10);
/// Anomalies that one suggestion may be about.
const MAX_ANOMALIES: usize = 1000;

/// The advice service.
#[derive(Clone)]
pub struct AdviceService {
    pub remedies: Remedies,
}

impl AdviceService {
    /// Runs what blocks off the event loop.
    async fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(&Remedies) -> Result<T, QueryError> + Send + 'static,
    ) -> Result<T, Status> {
        let remedies = self.remedies.clone();
        let answer = tokio::task::spawn_blocking(move || question(&remedies)).await;
        Ok(answer.map_err(|e| Status::internal(e.to_string()))??)
    }
}

#[tonic::async_trait]
impl Advice for AdviceService {
    async fn diagnose(
        &self,
        request: Request<DiagnoseRequest>,
    ) -> Result<Response<Diagnosis>, Status> {
        let r = request.into_inner();
        let wording = r.wording;
        let question = Question {
            text: r.error_message,
            subject: Subject {
                cluster: r.cluster,
                node: r.node,
                namespace: r.namespace,
                pod: r.pod,
                deployment: r.deployment,
            },
            include_cluster_health: r.include_cluster_health,
        };
        let mut answer = self.ask(move |r| r.diagnose(&question)).await?;
        match &self.remedies.wording {
            Some(model) if wording => match model.put(&answer).await {
                Ok(words) => answer.wording = Some(words),
                Err(error) => {
                    let error = chain(&error);
                    debug!(error, "no words of the model");
                    answer.notes.push(format!("no words of the model: failed to {error}"));
                }
            },
            None if wording => answer.notes.push("no model is configured for words".into()),
            _ => {}
        }
        Ok(Response::new(answer))
    }

    async fn suggest_runbook(
        &self,
        request: Request<SuggestRunbookRequest>,
    ) -> Result<Response<SuggestRunbookResponse>, Status> {
        let r = request.into_inner();
        let given = [!r.text.is_empty(), !r.rule.is_empty(), !r.anomaly_ids.is_empty()];
        if given.iter().filter(|g| **g).count() != 1 {
            let text = "one of text, rule and anomaly_ids is needed";
            return Err(Status::invalid_argument(text));
        }
        if r.anomaly_ids.len() > MAX_ANOMALIES {
            return Err(Status::resource_exhausted(format!("over {MAX_ANOMALIES} anomalies")));
        }
        let answer = self.ask(move |remedies| {
            let top = r.top_k as usize;
            if !r.text.is_empty() {
                return Ok(remedies.suggest(&Topic::Text(&r.text), top));
            }
            if !r.rule.is_empty() {
                return Ok(remedies.suggest(&Topic::Rule(&r.rule), top));
            }
            let anomalies = remedies.anomalies(&r.anomaly_ids)?;
            Ok(remedies.suggest(&Topic::Anomalies(&anomalies), top))
        });
        Ok(Response::new(answer.await?))
    }

    async fn list_runbooks(
        &self,
        _: Request<ListRunbooksRequest>,
    ) -> Result<Response<ListRunbooksResponse>, Status> {
        Ok(Response::new(self.ask(|r| Ok(r.list())).await?))
    }

    async fn get_runbook(
        &self,
        request: Request<GetRunbookRequest>,
    ) -> Result<Response<Runbook>, Status> {
        let id = request.into_inner().id;
        let wanted = id.clone();
        let found = self.ask(move |r| Ok(r.get(&wanted))).await?;
        let found = found.ok_or_else(|| Status::not_found(format!("there is no runbook {id:?}")));
        Ok(Response::new(found?))
    }

    async fn cluster_health(
        &self,
        request: Request<ClusterHealthRequest>,
    ) -> Result<Response<ClusterHealthResponse>, Status> {
        let cluster = request.into_inner().cluster;
        Ok(Response::new(self.ask(move |r| r.cluster_health(&cluster)).await?))
    }
}
