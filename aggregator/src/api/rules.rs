//! The gRPC service `sextant.v1.Rules`.

use std::sync::Arc;

use sextant_proto::chain::chain;
use sextant_proto::v1::rules_server::Rules;
use sextant_proto::v1::{RehearseRequest, RehearseResponse, rehearse_response::Message};
use tokio::sync::{Semaphore, mpsc};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::task::TaskTracker;
use tonic::{Request, Response, Status};

use crate::clock;
use crate::query::Queries;
use crate::rehearsal::{Rehearsal, RehearsalError, rehearse};

/// Largest text of a rules file: ten times what comes with the aggregator.
const MAX_TEXT_BYTES: usize = 2 << 20;
/// Messages that wait for a slow client; the rehearsal waits with them.
const STREAM_BUFFER: usize = 16;

/// The rules service. One rehearsal runs at a time: it takes a core for as long as it lasts.
#[derive(Clone)]
pub struct RulesService {
    queries: Queries,
    tasks: TaskTracker,
    turn: Arc<Semaphore>,
}

impl RulesService {
    /// Nothing runs yet.
    #[must_use]
    pub fn new(queries: Queries, tasks: TaskTracker) -> Self {
        Self { queries, tasks, turn: Arc::new(Semaphore::new(1)) }
    }
}

impl From<RehearsalError> for Status {
    fn from(error: RehearsalError) -> Self {
        match error {
            RehearsalError::Rules(error) => Status::invalid_argument(chain(&error)),
            RehearsalError::Query(error) => error.into(),
        }
    }
}

#[tonic::async_trait]
impl Rules for RulesService {
    type RehearseStream = ReceiverStream<Result<RehearseResponse, Status>>;

    async fn rehearse(
        &self,
        request: Request<RehearseRequest>,
    ) -> Result<Response<Self::RehearseStream>, Status> {
        let r = request.into_inner();
        if r.rules.len() > MAX_TEXT_BYTES {
            let text = format!("the rules are over the limit of {MAX_TEXT_BYTES} bytes");
            return Err(Status::resource_exhausted(text));
        }
        let busy = |_| Status::resource_exhausted("another rehearsal runs: try again after it");
        let turn = Arc::clone(&self.turn).try_acquire_owned().map_err(busy)?;
        let what = Rehearsal {
            rules: r.rules,
            file: r.file,
            with_builtin: r.with_builtin,
            cluster: r.cluster,
            node: r.node,
            start_ms: r.start_unix_ms,
            end_ms: if r.end_unix_ms == 0 { clock::now_ms() } else { r.end_unix_ms },
        };
        let queries = self.queries.clone();
        let (sender, receiver) = mpsc::channel(STREAM_BUFFER);
        self.tasks.spawn_blocking(move || {
            let send = |answer| sender.blocking_send(answer).is_ok();
            let say = |message| send(Ok(RehearseResponse { message: Some(message) }));
            match rehearse(&queries, &what, &mut |anomaly| say(Message::Anomaly(anomaly))) {
                Ok(Some(done)) => say(Message::Done(done)),
                Ok(None) => false,
                Err(error) => send(Err(error.into())),
            };
            drop(turn);
        });
        Ok(Response::new(ReceiverStream::new(receiver)))
    }
}
