//! A store that lives as long as the process: what tests and measurements compare the real one
//! with. It keeps the same contract and checks the same references; columns stay unpacked.

use std::collections::BTreeMap;
use std::ops::Bound;

use bytes::Bytes;
use parking_lot::Mutex;
use rustc_hash::{FxHashMap, FxHashSet};
use sextant_proto::v1::{self, MetricDescriptor};

use super::incidents::{self, IncidentInventory, IncidentQuery, Tables};
use super::{
    AnomalyQuery, Change, Chunk, ColumnQuery, Cutoff, EventQuery, FrameRecord, Inventory,
    LayoutRecord, MAX_SEQ, NodeRecord, Segment, SpoolRecord, Store, StoreError, StoreSize,
};

const DAY_MS: i64 = 86_400_000;

/// A [`Store`] in memory.
#[derive(Default)]
pub struct MemoryStore {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    nodes: BTreeMap<u32, NodeRecord>,
    metrics: BTreeMap<String, MetricDescriptor>,
    layouts: BTreeMap<u32, LayoutRecord>,
    spools: BTreeMap<u32, SpoolRecord>,
    /// By layout, spool and seq.
    journal: BTreeMap<(u32, u32, u64), (i32, Bytes)>,
    /// By layout, first tick, spool and first seq.
    blocks: BTreeMap<(u32, i64, u32, u64), Chunk>,
    events: BTreeMap<u64, v1::StoredEvent>,
    event_nodes: FxHashMap<u64, u32>,
    anomalies: BTreeMap<u64, (u32, v1::Anomaly)>,
    last_event_id: u64,
    last_anomaly_id: u64,
    incidents: Tables,
}

impl MemoryStore {
    /// An empty store.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }
}

fn invalid(what: impl Into<String>) -> StoreError {
    StoreError::Invalid(what.into())
}

impl State {
    /// Whether all changes can be applied, so that applying cannot fail half-way.
    fn check(&self, changes: &[Change]) -> Result<(), StoreError> {
        let mut nodes = FxHashMap::default();
        let mut layouts = FxHashMap::default();
        let mut spools = FxHashMap::default();
        let mut events = FxHashSet::default();
        for change in changes {
            match change {
                Change::Node(node) => {
                    nodes.insert(node.id, node);
                }
                Change::Layout(layout) => {
                    let known = layouts.get(&layout.id).copied();
                    let known = known.or_else(|| self.layouts.get(&layout.id));
                    if known.is_some_and(|known| known != layout) {
                        return Err(invalid(format!("layout {} is another", layout.id)));
                    }
                    self.check_node(layout.node, &nodes)?;
                    layouts.insert(layout.id, layout);
                }
                Change::Spool(spool) => {
                    let known = spools.get(&spool.id).copied();
                    let known = known.or_else(|| self.spools.get(&spool.id));
                    if known.is_some_and(|k| k.node != spool.node || k.spool_id != spool.spool_id) {
                        return Err(invalid(format!("spool {} is another", spool.id)));
                    }
                    self.check_node(spool.node, &nodes)?;
                    spools.insert(spool.id, spool);
                }
                Change::Frame(frame) => {
                    if !spools.contains_key(&frame.spool) && !self.spools.contains_key(&frame.spool)
                    {
                        return Err(invalid(format!("spool {} is not stored", frame.spool)));
                    }
                    let known =
                        |id: u32| layouts.contains_key(&id) || self.layouts.contains_key(&id);
                    if frame.layout.is_some_and(|id| !known(id)) {
                        return Err(invalid("the layout of a frame is not stored"));
                    }
                    check_number(frame.seq)?;
                }
                Change::Event { id, node, .. } => {
                    self.check_node(*node, &nodes)?;
                    check_number(*id)?;
                    if self.events.contains_key(id) || !events.insert(*id) {
                        return Err(invalid(format!("event {id} exists")));
                    }
                }
                Change::Anomaly { node, anomaly } => {
                    self.check_node(*node, &nodes)?;
                    check_number(anomaly.id)?;
                }
                Change::Incident { incident, .. } => incidents::check(incident.id)?,
                Change::Maintenance(window) => incidents::check(window.id)?,
                Change::Metrics(_) => {}
            }
        }
        Ok(())
    }

    fn check_node(&self, id: u32, new: &FxHashMap<u32, &NodeRecord>) -> Result<(), StoreError> {
        if new.contains_key(&id) || self.nodes.contains_key(&id) {
            return Ok(());
        }
        Err(invalid(format!("node {id} is not stored")))
    }

    fn apply(&mut self, change: &Change) {
        match change {
            Change::Node(node) => {
                self.nodes.insert(node.id, node.clone());
            }
            Change::Metrics(metrics) => {
                for metric in metrics {
                    self.metrics.insert(metric.name.clone(), metric.clone());
                }
            }
            Change::Layout(layout) => {
                self.layouts.insert(layout.id, layout.clone());
            }
            Change::Spool(spool) => {
                let new = SpoolRecord { committed_seq: 0, ..spool.clone() };
                self.spools.entry(spool.id).or_insert(new);
            }
            Change::Frame(frame) => self.append(frame),
            Change::Event { id, node, event } => {
                let names = &self.nodes[node];
                let stored = v1::StoredEvent {
                    id: *id,
                    cluster: names.cluster.clone(),
                    node: names.name.clone(),
                    event: Some(event.clone()),
                };
                self.events.insert(*id, stored);
                self.event_nodes.insert(*id, *node);
                self.last_event_id = self.last_event_id.max(*id);
            }
            Change::Anomaly { node, anomaly } => {
                self.anomalies.insert(anomaly.id, (*node, anomaly.clone()));
                self.last_anomaly_id = self.last_anomaly_id.max(anomaly.id);
            }
            Change::Incident { incident, entry } => self.incidents.put(incident, entry),
            Change::Maintenance(window) => self.incidents.put_maintenance(window),
        }
    }

    fn append(&mut self, frame: &FrameRecord) {
        let spool = self.spools.get_mut(&frame.spool).expect("checked before");
        if frame.seq <= spool.committed_seq {
            return;
        }
        spool.committed_seq = frame.seq;
        if let Some(layout) = frame.layout {
            let key = (layout, frame.spool, frame.seq);
            self.journal.insert(key, (frame.codec, frame.payload.clone()));
        }
    }

    fn check_chunk(&self, chunk: &Chunk) -> Result<(), StoreError> {
        chunk.check()?;
        let committed = self.spools.get(&chunk.spool).map_or(0, |spool| spool.committed_seq);
        if chunk.last_seq > committed || !self.layouts.contains_key(&chunk.layout) {
            return Err(invalid("a chunk holds frames that are not committed"));
        }
        Ok(())
    }

    fn is_on(&self, node: u32, cluster: Option<&str>, name: Option<&str>) -> bool {
        let node = &self.nodes[&node];
        cluster.is_none_or(|cluster| node.cluster == cluster)
            && name.is_none_or(|name| node.name == name)
    }
}

fn check_number(number: u64) -> Result<(), StoreError> {
    if number > MAX_SEQ { Err(invalid(format!("{number} is over the limit"))) } else { Ok(()) }
}

fn key(chunk: &Chunk) -> Option<(u32, i64, u32, u64)> {
    let first = chunk.ticks_ms.first()?;
    Some((chunk.layout, *first, chunk.spool, chunk.first_seq))
}

fn segment(chunk: &Chunk, query: &ColumnQuery) -> Result<Option<Segment>, StoreError> {
    let from = chunk.ticks_ms.partition_point(|&tick| tick < query.start_ms);
    let to = chunk.ticks_ms.partition_point(|&tick| tick <= query.end_ms);
    if from >= to {
        return Ok(None);
    }
    let column = |&index: &u32| {
        let column = usize::try_from(index).ok().and_then(|index| chunk.columns.get(index));
        let column = column.ok_or_else(|| {
            invalid(format!("layout {} does not have a column {index}", chunk.layout))
        })?;
        Ok(column[from..to].to_vec())
    };
    Ok(Some(Segment {
        spool: chunk.spool,
        first_seq: chunk.first_seq,
        ticks_ms: chunk.ticks_ms[from..to].to_vec(),
        columns: query.columns.iter().map(column).collect::<Result<_, StoreError>>()?,
    }))
}

impl Store for MemoryStore {
    fn load(&self) -> Result<Inventory, StoreError> {
        let state = self.state.lock();
        let open = state.anomalies.values().filter(|(_, a)| a.closed_unix_ms == 0);
        Ok(Inventory {
            nodes: state.nodes.values().cloned().collect(),
            layouts: state.layouts.values().cloned().collect(),
            spools: state.spools.values().cloned().collect(),
            metrics: state.metrics.values().cloned().collect(),
            open_anomalies: open.cloned().collect(),
            last_event_id: state.last_event_id,
            last_anomaly_id: state.last_anomaly_id,
        })
    }

    fn replay(&self, each: &mut dyn FnMut(FrameRecord)) -> Result<(), StoreError> {
        let journal = self.state.lock().journal.clone();
        for ((layout, spool, seq), (codec, payload)) in journal {
            each(FrameRecord { spool, seq, layout: Some(layout), codec, payload });
        }
        Ok(())
    }

    fn commit(&self, changes: &[Change]) -> Result<(), StoreError> {
        let mut state = self.state.lock();
        state.check(changes)?;
        for change in changes {
            state.apply(change);
        }
        Ok(())
    }

    fn seal(&self, chunks: &[Chunk]) -> Result<(), StoreError> {
        let mut state = self.state.lock();
        let mut new = FxHashSet::default();
        for chunk in chunks {
            state.check_chunk(chunk)?;
            let Some(key) = key(chunk) else { continue };
            let sealed = state.blocks.get(&key).is_some_and(|b| b.last_seq != chunk.last_seq);
            if sealed || !new.insert(key) {
                return Err(invalid("a chunk overlaps another"));
            }
        }
        for chunk in chunks {
            if let Some(key) = key(chunk) {
                state.blocks.entry(key).or_insert_with(|| chunk.clone());
            }
            let range = (chunk.layout, chunk.spool, chunk.first_seq)
                ..=(chunk.layout, chunk.spool, chunk.last_seq);
            let gone: Vec<_> = state.journal.range(range).map(|(key, _)| *key).collect();
            for key in gone {
                state.journal.remove(&key);
            }
        }
        Ok(())
    }

    fn columns(&self, query: &ColumnQuery) -> Result<Vec<Segment>, StoreError> {
        let state = self.state.lock();
        let from = Bound::Included((query.layout, i64::MIN, 0, 0));
        let to = Bound::Included((query.layout, query.end_ms, u32::MAX, u64::MAX));
        if query.start_ms > query.end_ms {
            return Ok(Vec::new());
        }
        let blocks = state.blocks.range((from, to)).map(|(_, chunk)| segment(chunk, query));
        blocks.filter_map(Result::transpose).collect()
    }

    fn events(&self, query: &EventQuery) -> Result<Vec<v1::StoredEvent>, StoreError> {
        let state = self.state.lock();
        let matches = |stored: &&v1::StoredEvent| {
            let event = stored.event.as_ref().expect("stored with one");
            let kind = query.kind.as_deref().is_none_or(|kind| {
                event.r#type == kind || (kind.ends_with('.') && event.r#type.starts_with(kind))
            });
            let node = state.event_nodes[&stored.id];
            kind && state.is_on(node, query.cluster.as_deref(), query.node.as_deref())
                && (query.start_ms == 0 || event.time_unix_ms >= query.start_ms)
                && (query.end_ms == 0 || event.time_unix_ms <= query.end_ms)
        };
        let mut found: Vec<_> = state.events.values().filter(matches).cloned().collect();
        let time = |stored: &v1::StoredEvent| stored.event.as_ref().map_or(0, |e| e.time_unix_ms);
        found.sort_by_key(|stored| std::cmp::Reverse((time(stored), stored.id)));
        found.truncate(query.limit);
        Ok(found)
    }

    fn anomalies(&self, query: &AnomalyQuery) -> Result<Vec<v1::Anomaly>, StoreError> {
        let state = self.state.lock();
        let matches = |(node, anomaly): &&(u32, v1::Anomaly)| {
            let open = anomaly.closed_unix_ms == 0;
            (open || !query.active_only)
                && state.is_on(*node, query.cluster.as_deref(), query.node.as_deref())
                && (open || query.start_ms == 0 || anomaly.closed_unix_ms >= query.start_ms)
                && (query.end_ms == 0 || anomaly.opened_unix_ms <= query.end_ms)
        };
        let found = state.anomalies.values().filter(matches);
        let mut found: Vec<_> = found.map(|(_, anomaly)| anomaly.clone()).collect();
        found.sort_by_key(|anomaly| std::cmp::Reverse((anomaly.opened_unix_ms, anomaly.id)));
        found.truncate(query.limit);
        Ok(found)
    }

    fn prune(&self, cutoff: Cutoff) -> Result<u64, StoreError> {
        let mut state = self.state.lock();
        let day = |chunk: &Chunk| chunk.ticks_ms[0].div_euclid(DAY_MS);
        let mut kept: BTreeMap<i64, bool> = BTreeMap::new();
        for chunk in state.blocks.values() {
            let last = chunk.ticks_ms[chunk.ticks_ms.len() - 1];
            let recent = last >= cutoff.samples_ms
                || (day(chunk) + 1).saturating_mul(DAY_MS) > cutoff.samples_ms;
            *kept.entry(day(chunk)).or_default() |= recent;
        }
        state.blocks.retain(|_, chunk| kept[&day(chunk)]);
        let days = kept.values().filter(|kept| !**kept).count();
        let before = state.events.len() + state.anomalies.len();
        let is_old = |time: i64| time < cutoff.events_ms;
        state.events.retain(|_, s| !s.event.as_ref().is_some_and(|e| is_old(e.time_unix_ms)));
        state.anomalies.retain(|_, (_, a)| a.closed_unix_ms == 0 || !is_old(a.closed_unix_ms));
        let State { events, event_nodes, .. } = &mut *state;
        event_nodes.retain(|id, _| events.contains_key(id));
        let rows = before - state.events.len() - state.anomalies.len();
        let rows = rows + state.incidents.prune(cutoff.events_ms);
        Ok((days + rows) as u64)
    }

    fn load_incidents(&self) -> Result<IncidentInventory, StoreError> {
        Ok(self.state.lock().incidents.load())
    }

    fn incidents(&self, query: &IncidentQuery) -> Result<Vec<v1::Incident>, StoreError> {
        Ok(self.state.lock().incidents.find(query))
    }

    fn incident(
        &self,
        id: u64,
    ) -> Result<Option<(v1::Incident, Vec<v1::IncidentEntry>)>, StoreError> {
        Ok(self.state.lock().incidents.get(id))
    }

    fn size(&self) -> Result<StoreSize, StoreError> {
        let state = self.state.lock();
        let frames: usize = state.journal.values().map(|(_, payload)| payload.len()).sum();
        let values = |chunk: &Chunk| chunk.ticks_ms.len() * 8 * (chunk.columns.len() + 1);
        let blocks: usize = state.blocks.values().map(values).sum();
        Ok(StoreSize {
            bytes: (frames + blocks) as u64,
            journal_frames: state.journal.len() as u64,
            blocks: state.blocks.len() as u64,
        })
    }
}
