//! A road between agent and aggregator that can be made bad: slow, silent, cut, or a trickle.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::sleep;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

/// How the road is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Road {
    #[default]
    Good,
    /// Everything takes longer.
    Slow(Duration),
    /// What is sent goes nowhere, and nobody is told.
    Silent,
    /// What the aggregator sends goes nowhere.
    Deaf,
    /// So many bytes at a time, a hundred times a second.
    Trickle(usize),
    /// Connections are taken and closed.
    Closed,
}

/// A listening proxy; its connections end with it.
pub(super) struct Proxy {
    pub(super) address: SocketAddr,
    shared: Arc<Shared>,
    _end: DropGuard,
}

struct Shared {
    road: Mutex<Road>,
    /// Ends the connections that there are.
    cut: Mutex<CancellationToken>,
    end: CancellationToken,
    tasks: TaskTracker,
}

impl Proxy {
    /// Listens on a free port and leads to `target`.
    ///
    /// # Errors
    /// When there is no port.
    pub(super) async fn start(target: SocketAddr) -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await.context("a free port")?;
        let address = listener.local_addr()?;
        let end = CancellationToken::new();
        let shared = Arc::new(Shared {
            road: Mutex::default(),
            cut: Mutex::new(end.child_token()),
            end: end.clone(),
            tasks: TaskTracker::new(),
        });
        let own = Arc::clone(&shared);
        shared.tasks.spawn(async move {
            let _ = own.end.clone().run_until_cancelled(accept(&own, &listener, target)).await;
        });
        Ok(Self { address, shared, _end: end.drop_guard() })
    }

    /// Makes the road another one, for what is sent from now on.
    pub(super) fn make(&self, road: Road) {
        *self.shared.road.lock().unwrap_or_else(PoisonError::into_inner) = road;
    }

    /// Ends all connections.
    pub(super) fn cut(&self) {
        let mut cut = self.shared.cut.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::replace(&mut *cut, self.shared.end.child_token()).cancel();
    }

    /// Where agents connect.
    pub(super) fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }
}

impl Shared {
    fn road(&self) -> Road {
        *self.road.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn accept(shared: &Arc<Shared>, listener: &TcpListener, target: SocketAddr) {
    loop {
        let Ok((near, _)) = listener.accept().await else { continue };
        if shared.road() == Road::Closed {
            continue;
        }
        let cut = shared.cut.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let own = Arc::clone(shared);
        shared.tasks.spawn(async move {
            let _ = cut.run_until_cancelled(join(&own, near, target)).await;
        });
    }
}

/// Carries bytes both ways until either side ends.
async fn join(shared: &Shared, near: TcpStream, target: SocketAddr) {
    let Ok(far) = TcpStream::connect(target).await else { return };
    let ((near_in, near_out), (far_in, far_out)) = (near.into_split(), far.into_split());
    tokio::select! {
        () = carry(shared, near_in, far_out, true) => {}
        () = carry(shared, far_in, near_out, false) => {}
    }
}

async fn carry(shared: &Shared, mut from: OwnedReadHalf, mut to: OwnedWriteHalf, up: bool) {
    let mut buffer = vec![0; 16 << 10];
    loop {
        let most = match shared.road() {
            Road::Trickle(bytes) => bytes.clamp(1, buffer.len()),
            _ => buffer.len(),
        };
        let Ok(bytes @ 1..) = from.read(&mut buffer[..most]).await else { return };
        match shared.road() {
            Road::Slow(delay) => sleep(delay).await,
            Road::Trickle(_) => sleep(Duration::from_millis(10)).await,
            // A hole in the middle of a stream is not what TCP does: nothing comes after it.
            Road::Silent => std::future::pending().await,
            Road::Deaf if !up => std::future::pending().await,
            _ => {}
        }
        if to.write_all(&buffer[..bytes]).await.is_err() {
            return;
        }
    }
}
