//! The agent's side of a fault: its own spool and uplink in a process that can be killed, and a
//! tick instead of collectors whose samples are numbered.
//!
//! What it does is in its ledger, a line for each step written with one system call: what a kill
//! leaves of it is true. A number is noted before its frame is pushed, and never used again.

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use anyhow::Context as _;
use serde::{Deserialize, Serialize};
use sextant_agent::clock::now_ms;
use sextant_agent::sample::{Batch, Metric};
use sextant_agent::spool::{Spool, SpoolConfig};
use sextant_agent::uplink::{
    Introduction, Resolve, Resolved, System, Uplink, UplinkConfig, UplinkStats,
};
use sextant_proto::frame::ChainEncoder;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::ledger::{Counts, Line};

/// The subcommand's name.
pub(crate) const SENDER: &str = "fault-sender";
/// The cluster of all senders.
pub(super) const CLUSTER: &str = "faults";
/// The label that tells senders apart, whatever their nodes are called.
pub(super) const LABEL: &str = "sender";

static NUMBER: Metric = Metric::gauge("bench_number", "", "The number of a frame.");

/// What a sender is, in a file of JSON.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Setup {
    pub(super) name: String,
    /// What it says that its node is called.
    pub(super) node: String,
    pub(super) uplink: UplinkConfig,
    pub(super) spool: SpoolConfig,
    /// Has an address on each line: what the endpoint's name resolves to.
    pub(super) addresses: Option<PathBuf>,
    pub(super) ledger: PathBuf,
    pub(super) control: PathBuf,
}

/// What it is to do now, in a file of JSON that is read before each tick.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Control {
    /// Tick no more, and end when all is acknowledged.
    pub(super) drain: bool,
    /// What its clock is off by.
    pub(super) offset_ms: i64,
    pub(super) columns: usize,
    pub(super) tick_ms: u64,
    /// Series change with each tick, so that there is another layout.
    pub(super) churn: bool,
    /// Bytes of a payload in place of the frame's own; 0: its own.
    pub(super) oversize: usize,
}

impl Default for Control {
    fn default() -> Self {
        Self { drain: false, offset_ms: 0, columns: 4, tick_ms: 5, churn: false, oversize: 0 }
    }
}

/// What the benchmark says.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    setup: PathBuf,
}

/// The addresses in a file.
struct Listed(PathBuf);

impl Resolve for Listed {
    fn resolve(&self, _: &str, _: u16) -> Resolved<'_> {
        let found = std::fs::read_to_string(&self.0)
            .map(|text| text.lines().filter_map(|line| line.parse::<SocketAddr>().ok()).collect());
        Box::pin(std::future::ready(found))
    }
}

/// Sends until it is told to drain and has.
///
/// # Errors
/// When the spool cannot be opened or a file cannot be written.
pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let setup: Setup = read(&arguments.setup)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(Sender::start(setup)?.run())
}

/// A value in a file of JSON.
pub(super) fn read<T: for<'a> Deserialize<'a>>(path: &Path) -> anyhow::Result<T> {
    let text = std::fs::read(path).with_context(|| path.display().to_string())?;
    serde_json::from_slice(&text).with_context(|| path.display().to_string())
}

struct Sender {
    setup: Setup,
    spool: Arc<Spool>,
    stats: Arc<UplinkStats>,
    ledger: File,
    told: Option<(Counts, u64, bool)>,
    next: u64,
    encoder: ChainEncoder,
    batches: Vec<Batch>,
}

impl Sender {
    fn start(setup: Setup) -> anyhow::Result<Self> {
        let next = super::ledger::Ledger::read(&setup.ledger)?.next();
        let ledger = OpenOptions::new().create(true).append(true).open(&setup.ledger)?;
        let spool = Arc::new(Spool::open(&setup.spool)?);
        let mut new = Self {
            setup,
            spool,
            stats: Arc::default(),
            ledger,
            told: None,
            next,
            encoder: ChainEncoder::new(),
            batches: Vec::new(),
        };
        let (acked, held) = (new.spool.acked(), new.spool.stats().frames);
        new.note(&Line::Open { acked, held })?;
        Ok(new)
    }

    fn note(&mut self, line: &Line) -> anyhow::Result<()> {
        let mut text = serde_json::to_string(line)?;
        text.push('\n');
        Ok(self.ledger.write_all(text.as_bytes())?)
    }

    async fn run(mut self) -> anyhow::Result<()> {
        let introduction = Introduction {
            cluster: CLUSTER.into(),
            node: self.setup.node.clone(),
            boot_id: "simulated".into(),
            capabilities: vec!["bench".into()],
            metrics: vec![NUMBER.descriptor()],
        };
        let config = self.setup.uplink.clone();
        let (spool, stats) = (Arc::clone(&self.spool), Arc::clone(&self.stats));
        let resolver: Arc<dyn Resolve> = match &self.setup.addresses {
            Some(path) => Arc::new(Listed(path.clone())),
            None => Arc::new(System),
        };
        let uplink = Uplink::new(config, introduction, spool, stats).with_resolver(resolver);
        let (tasks, cancel) = (TaskTracker::new(), CancellationToken::new());
        tasks.spawn(uplink.run(cancel.clone()));
        tasks.close();
        let mut control = Control::default();
        while !(control.drain && self.spool.stats().frames == 0) {
            // A file that is being replaced is read the next time.
            control = read(&self.setup.control).unwrap_or(control);
            if !control.drain {
                self.tick(control)?;
            }
            self.tell()?;
            tokio::time::sleep(Duration::from_millis(control.tick_ms)).await;
        }
        cancel.cancel();
        tasks.wait().await;
        self.tell()?;
        self.note(&Line::Drained)
    }

    fn tick(&mut self, control: Control) -> anyhow::Result<()> {
        let number = self.next;
        self.next += 1;
        let turn =
            usize::try_from(number % control.columns as u64).expect("below a count of columns");
        let shape = if control.churn { turn } else { 0 };
        let columns = control.columns - shape;
        if self.batches.len() <= shape {
            self.batches.resize_with(shape + 1, Batch::default);
        }
        self.note(&Line::Intent(number))?;
        let batch = &mut self.batches[shape];
        batch.begin();
        let label = self.setup.name.as_str();
        for column in 0..columns {
            let column = column.to_string();
            let labels = [("column", column.as_str()), (LABEL, label)];
            batch.entity("bench", &labels).set(&NUMBER, number as f64);
        }
        let tick = batch.finish("bench", 1_000);
        let time_ms = now_ms() + control.offset_ms;
        let mut frame = self.encoder.encode(tick.layout.0, &[time_ms], tick.values, &[]);
        if control.oversize > 0 {
            frame.payload = vec![0; control.oversize].into();
            self.encoder.forget(tick.layout.0);
        }
        let hash = tick.layout.0;
        match self.spool.push(Some(tick.layout.clone()), frame, time_ms) {
            Some(seq) => self.note(&Line::Push(number, seq)),
            None => {
                self.encoder.forget(hash);
                self.note(&Line::TooBig(number))
            }
        }
    }

    /// Says what has changed.
    fn tell(&mut self) -> anyhow::Result<()> {
        let drops = self.spool.stats().drops;
        let counts = Counts {
            full: drops.full,
            age: drops.age,
            io: drops.io,
            corrupt: drops.corrupt,
            too_big: drops.too_big,
            refused: self.stats.refused().map(|(_, count)| count).sum(),
            in_doubt: self.stats.in_doubt.load(Relaxed),
            moves: self.stats.moves.load(Relaxed),
        };
        let now = (counts, self.spool.acked(), self.stats.connected.load(Relaxed));
        if self.told != Some(now) {
            self.told = Some(now);
            let (counts, acked, connected) = now;
            self.note(&Line::State { acked, connected, counts })?;
        }
        Ok(())
    }
}
