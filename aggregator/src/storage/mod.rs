//! What survives a restart. A [`Store`] takes *changes* in transactions (the journal of frames
//! exactly as received, with their sequence numbers), and *chunks*: the columns of one layout,
//! sealed from the journal's frames into blocks that a range query reads column by column.
//!
//! Promises: what `commit` returned from is on disk, all of it or nothing. A frame is in the
//! journal or in a block, never in both and never in neither, whenever the process dies: as
//! `replay` and `columns` see it, `seal` moves all of its frames at one instant.
//! Nothing is deleted but by `prune`.

mod incidents;
mod memory;
mod sqlite;
#[cfg(test)]
mod tests;

use std::path::PathBuf;

use bytes::Bytes;
use sextant_proto::v1::{self, Event, MetricDescriptor};

pub use incidents::{IncidentInventory, IncidentQuery};
pub use memory::MemoryStore;
pub use sqlite::SqliteStore;

/// Why the store could not do it.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Another process has the directory.
    #[error("data directory {0} is in use by another aggregator")]
    Locked(PathBuf),
    /// Written by a newer version: nothing was changed.
    #[error(
        "database {path} has schema {found}, this version knows up to {known}: use a newer aggregator"
    )]
    NewerSchema { path: PathBuf, found: u32, known: u32 },
    /// Bytes that are not what was written: nothing was changed.
    #[error("{path} is damaged ({what}): {remedy}")]
    Corrupt { path: PathBuf, what: String, remedy: &'static str },
    /// The caller broke the contract: it refers to what is not stored, or contradicts it. The
    /// same call never works.
    #[error("invalid change: {0}")]
    Invalid(String),
    /// A file or directory cannot be used.
    #[error("{what} {path}")]
    Io { what: &'static str, path: PathBuf, source: std::io::Error },
    /// Whatever else SQLite says; a full disk among it.
    #[error("{what} {path}")]
    Sqlite { what: &'static str, path: PathBuf, source: rusqlite::Error },
}

/// Largest sequence number and id that can be stored; a commit with a larger one is
/// [`StoreError::Invalid`], so whoever takes numbers from agents refuses them first.
pub const MAX_SEQ: u64 = i64::MAX as u64;

/// A node as it is stored. Ids are dense, given by the catalog and never used again.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NodeRecord {
    pub id: u32,
    pub cluster: String,
    pub name: String,
    pub agent_version: String,
    pub boot_id: String,
    pub capabilities: Vec<String>,
    pub last_seen_ms: i64,
    pub clock_skew_ms: i64,
}

/// A layout of a node, as the agent sent it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LayoutRecord {
    pub id: u32,
    pub node: u32,
    pub hash: u64,
    pub bytes: Bytes,
}

/// One spool of a node: what sequence numbers are counted in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpoolRecord {
    pub id: u32,
    pub node: u32,
    pub spool_id: String,
    /// Last committed sequence number, 0 for none. Ignored in a [`Change`].
    pub committed_seq: u64,
}

/// A frame as received. Without effect when its spool has committed its seq already.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FrameRecord {
    pub spool: u32,
    /// From 1 to [`MAX_SEQ`]; holes are legal.
    pub seq: u64,
    /// `None` for a frame of events only, or one that was refused: only its seq is kept.
    pub layout: Option<u32>,
    pub codec: i32,
    pub payload: Bytes,
}

/// One thing to write. A transaction is a list of them, in order.
#[derive(Debug, Clone, PartialEq)]
pub enum Change {
    /// Insert or replace by id.
    Node(NodeRecord),
    /// Insert or replace by name.
    Metrics(Vec<MetricDescriptor>),
    /// New ones only; the same again is ignored, the same id with other content is invalid.
    Layout(LayoutRecord),
    /// New ones only, as with layouts.
    Spool(SpoolRecord),
    /// Appends to the journal and moves the spool's committed seq to `seq`.
    Frame(FrameRecord),
    /// `id` grows; one that exists is invalid.
    Event { id: u64, node: u32, event: Event },
    /// Insert or replace by id; `node` is that of the anomaly.
    Anomaly { node: u32, anomaly: v1::Anomaly },
    /// Insert or replace by id; `entry` is added to its history.
    Incident { incident: Box<v1::Incident>, entry: v1::IncidentEntry },
    /// Insert or replace by id.
    Maintenance(v1::Maintenance),
}

/// Columns of a layout between two seals. Ticks strictly grow; `columns[c][t]` belongs to
/// `ticks_ms[t]`, `frame::ABSENT` where there was no sample. Without ticks, sealing it only
/// takes its frames out of the journal.
#[derive(Debug, Clone, PartialEq)]
pub struct Chunk {
    pub layout: u32,
    pub spool: u32,
    /// The journal's frames that it holds, both ends included.
    pub first_seq: u64,
    pub last_seq: u64,
    pub ticks_ms: Vec<i64>,
    pub columns: Vec<Vec<f64>>,
}

impl Chunk {
    /// Whether it is what the store can keep.
    fn check(&self) -> Result<(), StoreError> {
        let fault = if self.first_seq > self.last_seq {
            "its first seq is after its last"
        } else if self.ticks_ms.windows(2).any(|pair| pair[0] >= pair[1]) {
            "its ticks do not grow"
        } else if self.columns.iter().any(|column| column.len() != self.ticks_ms.len()) {
            "a column has more or fewer values than there are ticks"
        } else {
            return Ok(());
        };
        Err(StoreError::Invalid(format!("chunk of layout {}: {fault}", self.layout)))
    }
}

/// A part of what a range query asked for, from one sealed chunk.
#[derive(Debug, Clone, PartialEq)]
pub struct Segment {
    pub spool: u32,
    pub first_seq: u64,
    /// All ticks of the chunk that lie in the range.
    pub ticks_ms: Vec<i64>,
    /// The columns asked for, in the order asked.
    pub columns: Vec<Vec<f64>>,
}

/// What to read of one layout; both ends of the time count.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ColumnQuery {
    pub layout: u32,
    pub columns: Vec<u32>,
    pub start_ms: i64,
    pub end_ms: i64,
}

/// Which events to read, newest first (by time, then id). Both ends of the time count.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EventQuery {
    pub cluster: Option<String>,
    pub node: Option<String>,
    /// Exact, or a prefix when it ends in ".".
    pub kind: Option<String>,
    /// 0 for no bound.
    pub start_ms: i64,
    /// 0 for no bound.
    pub end_ms: i64,
    /// At most so many: 0 gives none.
    pub limit: usize,
}

/// Which anomalies to read, newest first (by opening, then id). Those that were open at any
/// time of the range, both ends included.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AnomalyQuery {
    pub cluster: Option<String>,
    pub node: Option<String>,
    pub active_only: bool,
    /// 0 for no bound.
    pub start_ms: i64,
    /// 0 for no bound.
    pub end_ms: i64,
    /// At most so many: 0 gives none.
    pub limit: usize,
}

/// Everything that a start needs in memory.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Inventory {
    pub nodes: Vec<NodeRecord>,
    pub layouts: Vec<LayoutRecord>,
    pub spools: Vec<SpoolRecord>,
    pub metrics: Vec<MetricDescriptor>,
    /// Those not closed, with the node they belong to, by id.
    pub open_anomalies: Vec<(u32, v1::Anomaly)>,
    /// The largest id ever given, even where retention has deleted it since.
    pub last_event_id: u64,
    /// As with events.
    pub last_anomaly_id: u64,
}

/// Data of the past that may go: all that ended before these times.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cutoff {
    /// Samples in blocks go in whole UTC days (by a chunk's first tick), a day when all in it
    /// is older.
    pub samples_ms: i64,
    /// Events and closed anomalies.
    pub events_ms: i64,
}

/// What a store occupies.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct StoreSize {
    pub bytes: u64,
    pub journal_frames: u64,
    pub blocks: u64,
}

/// Where everything that must survive goes. Calls block; `commit` and `seal` come from the
/// writer thread only, reads from any thread.
pub trait Store: Send + Sync + 'static {
    /// Reads what a start needs.
    ///
    /// # Errors
    /// When it cannot be read.
    fn load(&self) -> Result<Inventory, StoreError>;

    /// Hands out the journal: every committed frame that is in no block yet, by layout and
    /// spool, in the order of seq.
    ///
    /// # Errors
    /// When it cannot be read.
    fn replay(&self, each: &mut dyn FnMut(FrameRecord)) -> Result<(), StoreError>;

    /// Writes all changes in one transaction; on return they are on disk.
    ///
    /// # Errors
    /// Nothing was written. The same call may work later (a full disk).
    fn commit(&self, changes: &[Change]) -> Result<(), StoreError>;

    /// Moves frames from the journal into blocks. Every frame of the chunks must be committed;
    /// chunks that are sealed already are left as they are.
    ///
    /// # Errors
    /// The journal still has the frames, and no block shows them; the call may be made again,
    /// with the same chunks or others.
    fn seal(&self, chunks: &[Chunk]) -> Result<(), StoreError>;

    /// Reads columns of sealed chunks, by time of the chunk's first tick. Chunks without a
    /// tick in the range are left out.
    ///
    /// # Errors
    /// When they cannot be read, a block is damaged, or the layout does not have the columns.
    fn columns(&self, query: &ColumnQuery) -> Result<Vec<Segment>, StoreError>;

    /// Reads events.
    ///
    /// # Errors
    /// When they cannot be read.
    fn events(&self, query: &EventQuery) -> Result<Vec<v1::StoredEvent>, StoreError>;

    /// Reads anomalies.
    ///
    /// # Errors
    /// When they cannot be read.
    fn anomalies(&self, query: &AnomalyQuery) -> Result<Vec<v1::Anomaly>, StoreError>;

    /// What a start needs of incidents: those that are open, windows, the last ids.
    ///
    /// # Errors
    /// When it cannot be read.
    fn load_incidents(&self) -> Result<IncidentInventory, StoreError>;

    /// Reads incidents.
    ///
    /// # Errors
    /// When they cannot be read.
    fn incidents(&self, query: &IncidentQuery) -> Result<Vec<v1::Incident>, StoreError>;

    /// Reads an incident and its history, oldest first; none when it is not stored.
    ///
    /// # Errors
    /// When it cannot be read.
    fn incident(
        &self,
        id: u64,
    ) -> Result<Option<(v1::Incident, Vec<v1::IncidentEntry>)>, StoreError>;

    /// Deletes what retention no longer keeps; returns the number of block files and rows that went.
    ///
    /// # Errors
    /// When something could not be deleted; what went is gone.
    fn prune(&self, cutoff: Cutoff) -> Result<u64, StoreError>;

    /// What it occupies now.
    ///
    /// # Errors
    /// When it cannot be told.
    fn size(&self) -> Result<StoreSize, StoreError>;
}
