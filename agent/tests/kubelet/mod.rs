//! A kubelet's PodResources service in this process, on a Unix socket: answers as a test says.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::JoinHandle;

use sextant_proto::podresources::pod_resources_lister_server::{
    PodResourcesLister, PodResourcesListerServer,
};
use sextant_proto::podresources::{
    AllocatableResourcesRequest, AllocatableResourcesResponse, ContainerDevices,
    ContainerResources, GetPodResourcesRequest, GetPodResourcesResponse, ListPodResourcesRequest,
    ListPodResourcesResponse, PodResources,
};
use tokio::net::UnixListener;
use tokio::sync::Semaphore;
use tokio_stream::wrappers::UnixListenerStream;
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;
use tonic::transport::Server;
use tonic::{Code, Request, Response, Status};

/// What it says.
#[derive(Clone)]
pub(crate) enum Answer {
    Pods(Vec<PodResources>),
    Refuse(Code),
    /// Nothing until the test lets it go, then no pods.
    Wait,
}

/// What it says now, and what it was asked.
#[derive(Clone)]
pub(crate) struct Kubelet {
    answer: Arc<Mutex<Answer>>,
    /// A permit for each request so far.
    pub(crate) asked: Arc<Semaphore>,
    /// A permit lets one waiting request go.
    pub(crate) go: Arc<Semaphore>,
}

impl Kubelet {
    pub(crate) fn new(pods: Vec<PodResources>) -> Self {
        let [asked, go] = [(); 2].map(|()| Arc::new(Semaphore::new(0)));
        Self { answer: Arc::new(Mutex::new(Answer::Pods(pods))), asked, go }
    }

    pub(crate) fn answer(&self) -> MutexGuard<'_, Answer> {
        self.answer.lock().unwrap()
    }

    /// Listens at the socket, in place of whatever was there.
    pub(crate) fn listen(&self, socket: &Path) -> Listening {
        Listening::start(socket, Routes::new(PodResourcesListerServer::new(self.clone())))
    }
}

#[tonic::async_trait]
impl PodResourcesLister for Kubelet {
    async fn list(
        &self,
        _: Request<ListPodResourcesRequest>,
    ) -> Result<Response<ListPodResourcesResponse>, Status> {
        self.asked.add_permits(1);
        let answer = self.answer().clone();
        let pod_resources = match answer {
            Answer::Pods(pods) => pods,
            Answer::Refuse(code) => return Err(Status::new(code, "as the test says")),
            Answer::Wait => {
                self.go.acquire().await.unwrap().forget();
                Vec::new()
            }
        };
        Ok(Response::new(ListPodResourcesResponse { pod_resources }))
    }

    async fn get_allocatable_resources(
        &self,
        _: Request<AllocatableResourcesRequest>,
    ) -> Result<Response<AllocatableResourcesResponse>, Status> {
        Err(Status::unimplemented("not asked for"))
    }

    async fn get(
        &self,
        _: Request<GetPodResourcesRequest>,
    ) -> Result<Response<GetPodResourcesResponse>, Status> {
        Err(Status::unimplemented("not asked for"))
    }
}

/// A server on its own thread; ends with all its connections when it is dropped.
pub(crate) struct Listening {
    socket: PathBuf,
    stop: CancellationToken,
    thread: Option<JoinHandle<()>>,
}

impl Listening {
    /// Serves these routes.
    pub(crate) fn start(socket: &Path, routes: Routes) -> Self {
        std::fs::create_dir_all(socket.parent().unwrap()).unwrap();
        let stop = CancellationToken::new();
        let stopped = stop.clone();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let incoming = {
            let _entered = runtime.enter();
            UnixListenerStream::new(UnixListener::bind(socket).unwrap())
        };
        let thread = std::thread::spawn(move || {
            runtime.block_on(async move {
                let served = Server::builder().add_routes(routes).serve_with_incoming(incoming);
                tokio::select! {
                    () = stopped.cancelled() => {}
                    outcome = served => outcome.unwrap(),
                }
            });
        });
        Self { socket: socket.into(), stop, thread: Some(thread) }
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        self.stop.cancel();
        self.thread.take().unwrap().join().unwrap();
        std::fs::remove_file(&self.socket).unwrap();
    }
}

/// A container with devices of one resource.
pub(crate) fn container(name: &str, resource: &str, ids: &[&str]) -> ContainerResources {
    let device_ids = ids.iter().map(|id| (*id).to_owned()).collect();
    let devices = ContainerDevices { resource_name: resource.into(), device_ids, topology: None };
    ContainerResources { name: name.into(), devices: vec![devices], ..Default::default() }
}

/// A pod in the namespace `ml`.
pub(crate) fn pod(name: &str, containers: Vec<ContainerResources>) -> PodResources {
    PodResources { name: name.into(), namespace: "ml".into(), containers, ..Default::default() }
}
