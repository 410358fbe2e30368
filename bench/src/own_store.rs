//! Sextant's store as a library: nodes' samples written as the aggregator writes them, frames
//! into the journal first and then, chunk by chunk, into blocks.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use sextant_aggregator::storage::{
    Change, Chunk, ColumnQuery, FrameRecord, LayoutRecord, NodeRecord, Resolution, SpoolRecord,
    SqliteStore, Store as _, Wanted,
};
use sextant_bench::telemetry::{Shape, Telemetry};
use sextant_proto::v1::MetricDescriptor;

use crate::material::{CLUSTER, Node, Round};
use crate::own_frames::FrameEncoder;
use crate::process;
use crate::usage::thread_cpu_time;

/// Ticks of a chunk, as the aggregator's head has it.
const CHUNK_TICKS: usize = 120;

/// After this, a day counts as over, whatever came late.
const DAYS_LATER_MS: i64 = 3 * 86_400_000;
/// What the file of inventory and journal begins with.
const MAIN: &str = "sextant.db";
/// What the files of rollups begin with.
const ROLLUPS: [&str; 2] = ["minutes-", "hours-"];

/// What a closed store's files take.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Disk {
    /// Samples, and all that is needed to find them.
    pub(crate) bytes: u64,
    /// The part of it that does not grow with time: the inventory, and room for the journal.
    pub(crate) main_bytes: u64,
    /// What is kept when samples are gone: minutes and hours.
    pub(crate) rollup_bytes: u64,
}

/// A store that is being filled.
pub(crate) struct OwnStore {
    store: SqliteStore,
    directory: PathBuf,
    nodes: u32,
    layouts: u32,
    pub(crate) samples: u64,
    /// Of sealing: encoding blocks and writing them.
    pub(crate) sealing: Duration,
    sealed_samples: u64,
}

/// One node on its way into the store.
pub(crate) struct Filling<T> {
    node: Node<T>,
    id: u32,
    /// For each shape its number and the chunk that grows.
    layouts: Vec<(u32, Growing)>,
    encoder: FrameEncoder,
    seq: u64,
}

#[derive(Default)]
struct Growing {
    first_seq: u64,
    ticks_ms: Vec<i64>,
    columns: Vec<Vec<f64>>,
}

impl OwnStore {
    /// An empty store in a directory that there is none in.
    ///
    /// # Errors
    /// When it cannot be made.
    pub(crate) fn create(directory: &Path) -> anyhow::Result<Self> {
        let store = SqliteStore::open(directory).context("open Sextant's store")?;
        Ok(Self {
            store,
            directory: directory.into(),
            nodes: 0,
            layouts: 0,
            samples: 0,
            sealing: Duration::ZERO,
            sealed_samples: 0,
        })
    }

    /// Makes a node known.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(crate) fn add<T: Telemetry>(&mut self, node: Node<T>) -> anyhow::Result<Filling<T>> {
        let id = self.nodes;
        self.nodes += 1;
        let record = NodeRecord {
            id,
            cluster: CLUSTER.into(),
            name: node.name.clone(),
            agent_version: env!("CARGO_PKG_VERSION").into(),
            ..NodeRecord::default()
        };
        let spool = SpoolRecord { id, node: id, spool_id: format!("spool-{id}"), committed_seq: 0 };
        let mut changes = vec![Change::Node(record), Change::Spool(spool)];
        let mut layouts = Vec::new();
        for shape in node.shapes() {
            let layout = LayoutRecord {
                id: self.layouts,
                node: id,
                hash: shape.hash,
                bytes: shape.bytes.clone(),
            };
            changes.push(Change::Metrics(descriptors(shape)));
            layouts.push((layout.id, Growing::default()));
            changes.push(Change::Layout(layout));
            self.layouts += 1;
        }
        self.store.commit(&changes)?;
        Ok(Filling { node, id, layouts, encoder: FrameEncoder::default(), seq: 0 })
    }

    /// Writes the next `ticks` rounds of every node, in one transaction, and seals the chunks
    /// that are complete; false when no node has any more.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(crate) fn fill<T: Telemetry>(
        &mut self,
        nodes: &mut [Filling<T>],
        ticks: usize,
    ) -> anyhow::Result<bool> {
        let (mut changes, mut chunks) = (Vec::new(), Vec::new());
        for node in nodes {
            for round in node.node.rounds(ticks) {
                self.samples += round.samples() as u64;
                node.take(&round, &mut changes, &mut chunks);
            }
        }
        if changes.is_empty() {
            return Ok(false);
        }
        self.store.commit(&changes)?;
        self.seal(&chunks)?;
        Ok(true)
    }

    /// Seals what is left of every node.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(crate) fn finish<T: Telemetry>(&mut self, nodes: &mut [Filling<T>]) -> anyhow::Result<()> {
        let chunks: Vec<_> = nodes.iter_mut().flat_map(Filling::rest).collect();
        self.seal(&chunks)
    }

    fn seal(&mut self, chunks: &[Chunk]) -> anyhow::Result<()> {
        if chunks.is_empty() {
            return Ok(());
        }
        let before = thread_cpu_time();
        self.store.seal(chunks)?;
        self.sealing += thread_cpu_time() - before;
        let samples = |chunk: &Chunk| chunk.columns.iter().map(Vec::len).sum::<usize>();
        self.sealed_samples += chunks.iter().map(samples).sum::<usize>() as u64;
        Ok(())
    }

    /// CPU time of sealing a sample.
    pub(crate) fn sealing_ns(&self) -> f64 {
        self.sealing.as_secs_f64() * 1e9 / self.sealed_samples as f64
    }

    /// Reads everything of every layout; CPU time a sample, and the samples.
    ///
    /// # Errors
    /// When a block cannot be read.
    pub(crate) fn read_all<T: Telemetry>(
        &self,
        nodes: &[Filling<T>],
    ) -> anyhow::Result<(f64, u64)> {
        let before = thread_cpu_time();
        let mut samples = 0u64;
        for node in nodes {
            let wanted = node.layouts.iter().zip(node.node.shapes()).map(|((layout, _), shape)| {
                let columns = u32::try_from(shape.series())?;
                Ok(Wanted { layout: *layout, columns: (0..columns).collect() })
            });
            let query = ColumnQuery {
                wanted: wanted.collect::<anyhow::Result<_>>()?,
                start_ms: 0,
                end_ms: i64::MAX,
                resolution: Resolution::Samples,
            };
            self.store.columns(&query, &mut |_, segment| {
                samples += segment.columns.iter().map(Vec::len).sum::<usize>() as u64;
                true
            })?;
        }
        Ok(((thread_cpu_time() - before).as_secs_f64() * 1e9 / samples as f64, samples))
    }

    /// Compacts everything, as the aggregator does when the days are over; CPU time a sample.
    ///
    /// # Errors
    /// When it cannot be done.
    pub(crate) fn compact(&self, newest_ms: i64) -> anyhow::Result<f64> {
        let before = thread_cpu_time();
        loop {
            let done = self.store.compact(newest_ms + DAYS_LATER_MS)?;
            anyhow::ensure!(!done.no_room, "the disk has no room to compact");
            if !done.more {
                return Ok((thread_cpu_time() - before).as_secs_f64() * 1e9 / self.samples as f64);
            }
        }
    }

    /// Closes it and opens it again: its logs are empty. The bytes on disk, those of the rollups
    /// apart.
    ///
    /// # Errors
    /// When it cannot be opened again.
    pub(crate) fn reopen(self) -> anyhow::Result<(Self, Disk)> {
        let Self { store, directory, nodes, layouts, samples, sealing, sealed_samples } = self;
        drop(store);
        let disk = Disk::of(&directory)?;
        let store = SqliteStore::open(&directory).context("open Sextant's store")?;
        Ok((Self { store, directory, nodes, layouts, samples, sealing, sealed_samples }, disk))
    }

    /// Closes it.
    pub(crate) fn close(self) {}
}

impl Disk {
    fn of(directory: &Path) -> anyhow::Result<Self> {
        let mut disk = Self { bytes: 0, main_bytes: 0, rollup_bytes: 0 };
        for entry in std::fs::read_dir(directory)? {
            let entry = entry?;
            let bytes = process::file_bytes(&entry.metadata()?);
            let name = entry.file_name();
            let name = name.to_string_lossy();
            if name.starts_with(MAIN) {
                disk.main_bytes += bytes;
            }
            if ROLLUPS.iter().any(|prefix| name.starts_with(prefix)) {
                disk.rollup_bytes += bytes;
            } else {
                disk.bytes += bytes;
            }
        }
        Ok(disk)
    }
}

impl<T: Telemetry> Filling<T> {
    fn take(&mut self, round: &Round, changes: &mut Vec<Change>, chunks: &mut Vec<Chunk>) {
        for (index, values) in &round.parts {
            self.seq += 1;
            let shape = &self.node.shapes()[*index];
            let (layout, growing) = &mut self.layouts[*index];
            if growing.ticks_ms.is_empty() {
                // What was before goes with its chunk: the journal begins with this one.
                self.encoder.restart(shape);
            }
            let frame = self.encoder.encode(shape, &[round.time_ms], values);
            changes.push(Change::Frame(FrameRecord {
                spool: self.id,
                seq: self.seq,
                layout: Some(*layout),
                codec: frame.codec,
                payload: frame.payload,
                key: frame.key,
            }));
            if growing.ticks_ms.is_empty() {
                growing.first_seq = self.seq;
                growing.columns = vec![Vec::with_capacity(CHUNK_TICKS); values.len()];
            }
            growing.ticks_ms.push(round.time_ms);
            for (column, value) in growing.columns.iter_mut().zip(values) {
                column.push(*value);
            }
            if growing.ticks_ms.len() == CHUNK_TICKS {
                chunks.push(growing.chunk(*layout, self.id, self.seq));
            }
        }
    }

    fn rest(&mut self) -> Vec<Chunk> {
        let (id, seq) = (self.id, self.seq);
        let open = self.layouts.iter_mut().filter(|(_, growing)| !growing.ticks_ms.is_empty());
        open.map(|(layout, growing)| growing.chunk(*layout, id, seq)).collect()
    }
}

impl Growing {
    fn chunk(&mut self, layout: u32, spool: u32, last_seq: u64) -> Chunk {
        let Self { first_seq, ticks_ms, columns } = std::mem::take(self);
        let arrived_ms = ticks_ms.last().copied().unwrap_or_default();
        Chunk { layout, spool, first_seq, last_seq, arrived_ms, ticks_ms, columns }
    }
}

/// What an agent's hello would say of a shape's metrics.
pub(crate) fn descriptors(shape: &Shape) -> Vec<MetricDescriptor> {
    let metrics = shape.layout.metrics.iter();
    let descriptor = |metric: &sextant_proto::v1::LayoutMetric| MetricDescriptor {
        name: metric.name.clone(),
        kind: metric.kind,
        ..MetricDescriptor::default()
    };
    metrics.map(descriptor).collect()
}
