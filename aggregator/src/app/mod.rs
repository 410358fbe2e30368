//! Wires the parts together and owns the order of start and stop.
//!
//! Start: store, what it knows, writer, replay, shards, listeners. Stop is the reverse:
//! listeners and sessions, then shards, then the writer, so that everything that was taken in
//! is committed. A stop that the store holds up (a full disk) is forced after a deadline; the
//! agents still have what was not acknowledged.

mod clock;
mod grpc;
mod tls;

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, Result};
use axum::Router;
use sextant_proto::layout;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{info, warn};

use self::clock::Clock;
use self::grpc::Services;
use self::tls::TlsListener;
use crate::api::advice::AdviceService;
use crate::api::grpc::QueryService;
use crate::api::http::{Http, router};
use crate::api::rules::RulesService;
use crate::auth::Authority;
use crate::catalog::Catalog;
use crate::config::{Config, TlsConfig};
use crate::detect;
use crate::episode::Episodes;
use crate::forward;
use crate::health::Health;
use crate::hub::Hub;
use crate::in_flight::InFlight;
use crate::incident::{self, CatalogTopology, ChangeWatch, IncidentFeed, IncidentService};
use crate::ingest::Ingest;
use crate::maintenance::Maintenance;
use crate::nodes::Nodes;
use crate::pipeline::{self, EventIds, Shards, Shared};
use crate::projection::Projections;
use crate::query::Queries;
use crate::remedy::Remedies;
use crate::series::NodeId;
use crate::stats::Stats;
use crate::storage::{Inventory, SqliteStore, Store};
use crate::writer::{self, WriterHandle};

/// How long sessions, and then the store, have at a stop.
const STOP_DEADLINE: Duration = Duration::from_secs(10);

/// An aggregator, ready to run.
pub struct App {
    config: Config,
    parts: Parts,
    grpc: TcpListener,
    http: TcpListener,
    authority: Authority,
    /// Addresses that it listens on, the ports chosen.
    pub grpc_addr: SocketAddr,
    pub http_addr: SocketAddr,
}

struct Parts {
    shared: Shared,
    shards: Shards,
    queries: Queries,
    remedies: Remedies,
    health: Arc<Health>,
    writer: WriterHandle,
    maintenance: Maintenance,
    abandon: CancellationToken,
    shard_threads: Vec<JoinHandle<()>>,
    incidents: IncidentFeed,
    incident_thread: Option<JoinHandle<()>>,
    writer_thread: JoinHandle<()>,
}

impl App {
    /// Opens the store, binds the listeners and replays the journal.
    ///
    /// # Errors
    /// When any of it cannot be done; nothing was changed in the store then.
    pub async fn build(config: Config) -> Result<Self> {
        config.check()?;
        let data_dir = config.data_dir.clone();
        let open = move || SqliteStore::open(&data_dir).context("open the store");
        Self::build_on(config, move || Ok(Arc::new(open()?) as Arc<dyn Store>)).await
    }

    /// As [`App::build`], on another store. It is opened when the listeners are bound.
    ///
    /// # Errors
    /// As [`App::build`].
    pub async fn build_on(
        config: Config,
        open: impl FnOnce() -> Result<Arc<dyn Store>> + Send + 'static,
    ) -> Result<Self> {
        config.check()?;
        let grpc = bind("listen.grpc", config.listen.grpc).await?;
        let http = bind("listen.http", config.listen.http).await?;
        let (grpc_addr, http_addr) = (grpc.local_addr()?, http.local_addr()?);
        let listeners = [("listen.grpc", grpc_addr), ("listen.http", http_addr)];
        let authority = Authority::new(&config.auth, &listeners)?;
        if authority.is_open() {
            warn!(
                "no auth.tokens_file: everyone on this host may do everything; only loopback is served"
            );
        }
        let start = config.clone();
        let parts = tokio::task::spawn_blocking(move || Parts::build(&start, open()?)).await??;
        Ok(Self { config, parts, grpc, http, authority, grpc_addr, http_addr })
    }

    /// What is measured and known, for tests and benches in the same process.
    #[must_use]
    pub fn queries(&self) -> Queries {
        self.parts.queries.clone()
    }

    /// Serves until `shutdown`, then stops in order.
    ///
    /// # Errors
    /// When a listener fails.
    pub async fn run(self, shutdown: impl Future<Output = ()>) -> Result<()> {
        let Self { config, parts, grpc: listener, http, authority, grpc_addr, http_addr } = self;
        let stop = CancellationToken::new();
        let tasks = TaskTracker::new();
        let ingest = Ingest {
            shared: parts.shared.clone(),
            shards: parts.shards.clone(),
            tasks: tasks.clone(),
            stop: stop.clone(),
        };
        let query = QueryService {
            queries: parts.queries.clone(),
            shards: parts.shards.clone(),
            tasks: tasks.clone(),
            stop: stop.clone(),
        };
        let (reporter, grpc_health) = tonic_health::server::health_reporter();
        let advice = AdviceService { remedies: parts.remedies.clone() };
        let rules = RulesService::new(parts.queries.clone(), tasks.clone());
        let services = Services { health: grpc_health, ingest, query, advice, rules };
        let server = grpc::serve(&config.tls, &authority, services, listener, stop.clone())?;
        let grpc_task = tasks.spawn(server);
        let pages = Http {
            queries: parts.queries.clone(),
            health: Arc::clone(&parts.health),
            authority,
            projections: Arc::new(Projections::new(config.exposition.clone())),
        };
        let http = serve_http(&config.tls, http, router(pages), stop.clone())?;
        let http_task = tasks.spawn(http);
        let clock = Clock {
            shards: parts.shards.clone(),
            catalog: Arc::clone(&parts.shared.catalog),
            nodes: Arc::clone(&parts.shared.nodes),
            changes: ChangeWatch::default(),
            health: Arc::clone(&parts.health),
            reporter,
        };
        tasks.spawn(clock.run(stop.clone()));
        forward::start(&config.forward, &config.data_dir, &parts.queries, &tasks, &stop)
            .context("start forwarding")?;
        parts.health.recover("start");
        info!(grpc = %grpc_addr, http = %http_addr, data_dir = %config.data_dir.display(), "aggregator is ready");

        tokio::select! {
            () = shutdown => info!("stopping"),
            result = grpc_task => result?.context("serve gRPC")?,
            result = http_task => result?.context("serve HTTP")?,
        }
        parts.health.fail("stop", "stopping".into());
        stop.cancel();
        tasks.close();
        if tokio::time::timeout(STOP_DEADLINE, tasks.wait()).await.is_err() {
            warn!("connections did not end in time and are cut");
        }
        parts.stop().await
    }
}

impl Parts {
    fn build(config: &Config, store: Arc<dyn Store>) -> Result<Self> {
        let inventory = store.load().context("read the store")?;
        let stats = Arc::new(Stats::default());
        let health = Arc::new(Health::starting());
        let nodes = Arc::new(Nodes::load(&inventory));
        let catalog = Arc::new(load_catalog(&inventory, &nodes));
        let abandon = CancellationToken::new();
        let (writer, writer_thread) = writer::start(
            &config.store,
            Arc::clone(&store),
            Arc::clone(&stats),
            Arc::clone(&health),
            abandon.clone(),
        );
        let remembered = store.load_incidents().context("read the incidents")?;
        let (feed, incidents) = IncidentService::new(&config.incidents, &stats);
        let shared = Shared {
            catalog: Arc::clone(&catalog),
            nodes: Arc::clone(&nodes),
            episodes: Arc::new(Episodes::new(inventory.last_anomaly_id, Arc::clone(&stats))),
            hub: Hub::default(),
            stats: Arc::clone(&stats),
            events: Arc::new(EventIds::after(inventory.last_event_id)),
            incidents: feed.clone(),
            writer: writer.clone(),
            in_flight: InFlight::new(&config.limits, Arc::clone(&stats)),
        };
        let detectors: Result<Vec<_>, _> =
            (0..config.shards()).map(|_| detect::enabled(&config.detect)).collect();
        let mut shards = pipeline::build(&shared, &inventory, detectors?);
        let mut frames = 0u64;
        store
            .replay(&mut |frame| {
                frames += 1;
                pipeline::replay(&mut shards, &shared, &frame);
            })
            .context("replay the journal")?;
        pipeline::replayed(&mut shards);
        info!(
            frames,
            series = catalog.series_count(),
            nodes = nodes.all().len(),
            "journal replayed"
        );
        let incident_parts = incident::Parts {
            episodes: Arc::clone(&shared.episodes),
            hub: shared.hub.clone(),
            stats: Arc::clone(&stats),
            writer: writer.clone(),
        };
        let handle = incidents.handle();
        let topology = CatalogTopology::new(Arc::clone(&catalog), Arc::clone(&nodes));
        let incident_thread =
            incidents.start(&config.incidents, &remembered, topology, incident_parts);
        let (shards, shard_threads) = pipeline::start(shards, &stats);
        let maintenance = Maintenance::start(
            Arc::clone(&store),
            writer.clone(),
            Arc::clone(&stats),
            config.retention.clone(),
        );
        let queries = Queries {
            catalog,
            nodes,
            episodes: Arc::clone(&shared.episodes),
            store,
            hub: shared.hub.clone(),
            incidents: handle,
            stats,
        };
        let remedies = Remedies::new(config, queries.clone()).context("remedies")?;
        Ok(Self {
            shared,
            shards,
            queries,
            remedies,
            health,
            writer,
            maintenance,
            abandon,
            shard_threads,
            incidents: feed,
            incident_thread,
            writer_thread,
        })
    }

    /// Ends the shards, then the incident engine, then the writer, each when nothing can reach it
    /// any more.
    async fn stop(self) -> Result<()> {
        let Self { shared, shards, writer, maintenance, abandon, .. } = self;
        let (shard_threads, writer_thread) = (self.shard_threads, self.writer_thread);
        let (incidents, incident_thread) = (self.incidents, self.incident_thread);
        drop((shards, shared, writer));
        let joined = tokio::task::spawn_blocking(move || {
            let panicked = |ended: std::thread::Result<()>| usize::from(ended.is_err());
            let mut count = panicked(maintenance.stop());
            count += shard_threads.into_iter().map(JoinHandle::join).map(panicked).sum::<usize>();
            incidents.stop();
            let threads = incident_thread.into_iter().chain([writer_thread]);
            count + threads.map(JoinHandle::join).map(panicked).sum::<usize>()
        });
        tokio::pin!(joined);
        let joined = if let Ok(joined) = tokio::time::timeout(STOP_DEADLINE, &mut joined).await {
            joined
        } else {
            abandon.cancel();
            joined.await
        };
        anyhow::ensure!(joined? == 0, "a thread of the pipeline panicked");
        if abandon.is_cancelled() {
            warn!("stopped without storing everything: the store did not take it");
        } else {
            info!("stopped, everything taken in is stored");
        }
        Ok(())
    }
}

async fn bind(key: &'static str, addr: SocketAddr) -> Result<TcpListener> {
    TcpListener::bind(addr).await.with_context(|| format!("listen on {addr} ({key})"))
}

/// Makes the HTTP server, with TLS where there is a certificate; it runs until `stop`.
fn serve_http(
    tls: &TlsConfig,
    listener: TcpListener,
    router: Router,
    stop: CancellationToken,
) -> Result<impl Future<Output = io::Result<()>> + use<>> {
    let tls = match (&tls.cert_file, &tls.key_file) {
        (Some(cert), Some(key)) => Ok(TlsListener::new(listener, cert, key)?),
        _ => Err(listener),
    };
    Ok(async move {
        match tls {
            Ok(tls) => {
                axum::serve(tls, router).with_graceful_shutdown(stop.cancelled_owned()).await
            }
            Err(tcp) => {
                axum::serve(tcp, router).with_graceful_shutdown(stop.cancelled_owned()).await
            }
        }
    })
}

fn load_catalog(inventory: &Inventory, nodes: &Nodes) -> Catalog {
    let catalog = Catalog::default();
    catalog.describe(&inventory.metrics);
    for record in &inventory.layouts {
        let decoded = layout::decode(record.hash, &record.bytes);
        match (nodes.get(NodeId(record.node)), decoded) {
            (Some(node), Ok(decoded)) => catalog.restore_layout(record, &node.key, &decoded),
            (_, decoded) => {
                warn!(layout = record.id, error = ?decoded.err(), "stored layout is unusable, its samples cannot be read")
            }
        }
    }
    catalog
}
