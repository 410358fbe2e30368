//! Asks the kubelet what it has given to containers.
//!
//! One connection is kept. The runtime that drives it belongs to the collector's thread and runs
//! only while an answer is awaited, so a connection that a restarted kubelet has closed is
//! found out by the next request: that one is then made once more on a new connection. The whole
//! has one deadline, below what the runner calls a stall.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use sextant_proto::podresources::pod_resources_lister_client::PodResourcesListerClient;
use sextant_proto::podresources::{ListPodResourcesRequest, ListPodResourcesResponse};
use tokio::runtime::{Builder, Runtime};
use tonic::codegen::http::Uri;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Status};

/// Every pod of the node is in the answer; dense nodes go beyond gRPC's usual 4 MiB.
const MOST_BYTES: usize = 16 << 20;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum KubeletError {
    #[error("make a runtime")]
    Runtime(#[source] io::Error),
    #[error("socket {} is not UTF-8", .0.display())]
    Path(PathBuf),
    #[error("connect to {}", .0.display())]
    Connect(PathBuf, #[source] tonic::transport::Error),
    #[error("kubelet has not answered within {0:?}")]
    Timeout(Duration),
    #[error("kubelet has no PodResources v1, which is in Kubernetes since 1.20")]
    Old,
    #[error("kubelet's answer cannot be used: {0}")]
    Answer(String),
    #[error("kubelet refuses: {0}")]
    Refused(Status),
}

impl From<Status> for KubeletError {
    fn from(status: Status) -> Self {
        match status.code() {
            Code::Unimplemented => Self::Old,
            // What the client itself says of bytes that are no message, and of too many.
            Code::Internal | Code::OutOfRange | Code::DataLoss => {
                Self::Answer(status.message().into())
            }
            _ => Self::Refused(status),
        }
    }
}

type Client = PodResourcesListerClient<Channel>;

/// The way to a kubelet.
pub(super) struct Kubelet {
    socket: PathBuf,
    timeout: Duration,
    /// Made when it is first needed: most nodes outside of Kubernetes never do.
    runtime: Option<Runtime>,
    client: Option<Client>,
}

impl Kubelet {
    /// The one that listens, or will listen, at `socket`.
    pub(super) fn new(socket: PathBuf, timeout: Duration) -> Self {
        Self { socket, timeout, runtime: None, client: None }
    }

    /// Where it listens.
    pub(super) fn socket(&self) -> &Path {
        &self.socket
    }

    /// Sets how long an answer may take.
    pub(super) fn set_timeout(&mut self, timeout: Duration) {
        self.timeout = timeout;
    }

    /// What all containers have. Waits no longer than the timeout.
    pub(super) fn list(&mut self) -> Result<ListPodResourcesResponse, KubeletError> {
        let runtime = match self.runtime.take() {
            Some(runtime) => runtime,
            None => {
                Builder::new_current_thread().enable_all().build().map_err(KubeletError::Runtime)?
            }
        };
        let limit = self.timeout;
        let kept = self.client.take();
        let asked = runtime.block_on(async {
            let asked = tokio::time::timeout(limit, ask(&self.socket, kept)).await;
            asked.unwrap_or(Err(KubeletError::Timeout(limit)))
        });
        self.runtime = Some(runtime);
        let (client, answer) = asked?;
        self.client = Some(client);
        Ok(answer)
    }
}

/// An answer, with the connection for the next one.
async fn ask(
    socket: &Path,
    kept: Option<Client>,
) -> Result<(Client, ListPodResourcesResponse), KubeletError> {
    if let Some(mut client) = kept
        && let Ok(answer) = client.list(ListPodResourcesRequest {}).await
    {
        return Ok((client, answer.into_inner()));
    }
    let mut client = connect(socket).await?;
    let answer = client.list(ListPodResourcesRequest {}).await?.into_inner();
    Ok((client, answer))
}

async fn connect(socket: &Path) -> Result<Client, KubeletError> {
    let failed = |error| KubeletError::Connect(socket.into(), error);
    let path = socket.to_str().ok_or_else(|| KubeletError::Path(socket.into()))?;
    let endpoint = Endpoint::from_shared(format!("unix:{path}")).map_err(failed)?;
    // The authority that gRPC gives requests to Unix sockets.
    let endpoint = endpoint.origin(Uri::from_static("http://localhost"));
    let channel = endpoint.connect().await.map_err(failed)?;
    Ok(PodResourcesListerClient::new(channel).max_decoding_message_size(MOST_BYTES))
}
