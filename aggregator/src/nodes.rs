//! The nodes, their spools, and who speaks for each.
//!
//! One agent speaks for a node at a time. A second stream of the same spool replaces the first
//! (the agent reconnected before the old connection was seen to be dead); a stream of another
//! spool is refused while the first one lives: two agents claim the name.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use rustc_hash::FxHashMap;
use sextant_proto::v1::Hello;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::series::{NodeId, NodeKey};
use crate::storage::{Inventory, NodeRecord, SpoolRecord};

/// What sequence numbers of a node are counted in.
#[derive(Debug)]
pub struct Spool {
    pub id: u32,
    pub node: Arc<NodeKey>,
    /// Last seq that is on disk; sessions acknowledge what it says.
    committed: watch::Sender<u64>,
    /// Last seq that a shard took; what is not above it is there already.
    applied: AtomicU64,
}

impl Spool {
    fn new(id: u32, node: Arc<NodeKey>, seq: u64) -> Self {
        Self { id, node, committed: watch::Sender::new(seq), applied: AtomicU64::new(seq) }
    }

    /// Follows what is on disk.
    #[must_use]
    pub fn committed(&self) -> watch::Receiver<u64> {
        self.committed.subscribe()
    }

    /// Everything up to `seq` is on disk.
    pub fn commit(&self, seq: u64) {
        self.committed.send_if_modified(|now| {
            let more = seq > *now;
            *now = seq.max(*now);
            more
        });
    }

    /// Takes a seq: false when it was taken before. One shard calls it, in the order of arrival.
    pub fn apply(&self, seq: u64) -> bool {
        seq > self.applied.fetch_max(seq, Ordering::Relaxed)
    }
}

/// A node and who speaks for it.
#[derive(Debug)]
pub struct Node {
    pub key: Arc<NodeKey>,
    record: Mutex<NodeRecord>,
    /// The current stream's spool and its end.
    session: Mutex<Option<(String, u64, CancellationToken)>>,
}

impl Node {
    /// A copy of what is stored of it.
    #[must_use]
    pub fn record(&self) -> NodeRecord {
        self.record.lock().clone()
    }

    /// Whether an agent speaks for it now.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        self.session.lock().is_some()
    }

    /// A frame arrived.
    pub fn seen(&self, now_ms: i64) {
        self.record.lock().last_seen_ms = now_ms;
    }
}

/// A stream's right to speak for a node; ends when it is dropped.
#[derive(Debug)]
pub struct Claim {
    node: Arc<Node>,
    number: u64,
}

impl Drop for Claim {
    fn drop(&mut self) {
        let mut session = self.node.session.lock();
        if session.as_ref().is_some_and(|(_, number, _)| *number == self.number) {
            *session = None;
        }
    }
}

/// Another agent speaks for the node.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "node {cluster}/{node} already has an agent (spool {spool}): two agents claim one name, or the old connection is not gone yet"
)]
pub struct Claimed {
    cluster: String,
    node: String,
    spool: String,
}

/// What a hello came to.
#[derive(Debug)]
pub struct Welcome {
    pub node: Arc<Node>,
    pub spool: Arc<Spool>,
    pub claim: Claim,
    /// To be stored before anything of this stream.
    pub record: NodeRecord,
    pub new_spool: Option<SpoolRecord>,
    /// It was known before, under this boot id.
    pub previous_boot: Option<String>,
}

/// All nodes.
#[derive(Debug, Default)]
pub struct Nodes {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    nodes: BTreeMap<NodeId, Arc<Node>>,
    by_name: FxHashMap<(String, String), NodeId>,
    spools: BTreeMap<u32, Arc<Spool>>,
    by_spool: FxHashMap<(NodeId, String), u32>,
    claims: u64,
}

impl Nodes {
    /// The nodes that the store knows.
    #[must_use]
    pub fn load(inventory: &Inventory) -> Self {
        let nodes = Self::default();
        let mut inner = nodes.inner.lock();
        for record in &inventory.nodes {
            inner.add_node(record.clone());
        }
        for record in &inventory.spools {
            let node = inner.nodes.get(&NodeId(record.node)).map(|n| Arc::clone(&n.key));
            if let Some(node) = node {
                inner.add_spool(record.id, &node, &record.spool_id, record.committed_seq);
            }
        }
        drop(inner);
        nodes
    }

    /// Lets a stream speak for a node. `end` is cancelled when another stream replaces it.
    ///
    /// # Errors
    /// [`Claimed`] while an agent with another spool is connected.
    pub fn welcome(
        &self,
        hello: &Hello,
        now_ms: i64,
        end: &CancellationToken,
    ) -> Result<Welcome, Claimed> {
        let mut inner = self.inner.lock();
        let name = (hello.cluster.clone(), hello.node.clone());
        let known = inner.by_name.get(&name).and_then(|id| inner.nodes.get(id)).cloned();
        let previous_boot = known.as_ref().map(|n| n.record().boot_id).filter(|b| !b.is_empty());
        let node = known.unwrap_or_else(|| {
            let id = inner.nodes.last_key_value().map_or(0, |(last, _)| last.0 + 1);
            let (cluster, name) = name;
            inner.add_node(NodeRecord { id, cluster, name, ..NodeRecord::default() })
        });
        inner.claims += 1;
        let number = inner.claims;
        {
            let mut session = node.session.lock();
            if let Some((spool, _, old)) = &*session {
                if *spool != hello.spool_id {
                    return Err(Claimed {
                        cluster: hello.cluster.clone(),
                        node: hello.node.clone(),
                        spool: spool.clone(),
                    });
                }
                old.cancel();
            }
            *session = Some((hello.spool_id.clone(), number, end.clone()));
        }
        let claim = Claim { node: Arc::clone(&node), number };
        let record = {
            let mut record = node.record.lock();
            record.agent_version.clone_from(&hello.agent_version);
            record.boot_id.clone_from(&hello.boot_id);
            record.capabilities.clone_from(&hello.capabilities);
            record.clock_skew_ms = hello.time_unix_ms.saturating_sub(now_ms);
            record.last_seen_ms = now_ms;
            record.clone()
        };
        let existing = inner.by_spool.get(&(node.key.id, hello.spool_id.clone())).copied();
        let (spool, new_spool) = if let Some(id) = existing {
            (Arc::clone(&inner.spools[&id]), None)
        } else {
            let id = inner.spools.last_key_value().map_or(0, |(last, _)| last + 1);
            let spool = inner.add_spool(id, &node.key, &hello.spool_id, 0);
            let record = SpoolRecord {
                id: spool.id,
                node: node.key.id.0,
                spool_id: hello.spool_id.clone(),
                committed_seq: 0,
            };
            (spool, Some(record))
        };
        drop(inner);
        Ok(Welcome { node, spool, claim, record, new_spool, previous_boot })
    }

    /// All nodes, in the order of their ids.
    #[must_use]
    pub fn all(&self) -> Vec<Arc<Node>> {
        self.inner.lock().nodes.values().cloned().collect()
    }

    /// A node by its number.
    #[must_use]
    pub fn get(&self, id: NodeId) -> Option<Arc<Node>> {
        self.inner.lock().nodes.get(&id).cloned()
    }

    /// The number of a node by its name.
    #[must_use]
    pub fn find(&self, cluster: &str, name: &str) -> Option<NodeId> {
        self.inner.lock().by_name.get(&(cluster.to_owned(), name.to_owned())).copied()
    }

    /// A spool by its number.
    #[must_use]
    pub fn spool(&self, id: u32) -> Option<Arc<Spool>> {
        self.inner.lock().spools.get(&id).cloned()
    }
}

impl Inner {
    fn add_node(&mut self, record: NodeRecord) -> Arc<Node> {
        let id = NodeId(record.id);
        let (cluster, name) = (record.cluster.as_str().into(), record.name.as_str().into());
        self.by_name.insert((record.cluster.clone(), record.name.clone()), id);
        let key = Arc::new(NodeKey { id, cluster, name });
        let node = Arc::new(Node { key, record: Mutex::new(record), session: Mutex::new(None) });
        self.nodes.insert(id, Arc::clone(&node));
        node
    }

    fn add_spool(&mut self, id: u32, node: &Arc<NodeKey>, spool_id: &str, seq: u64) -> Arc<Spool> {
        let spool = Arc::new(Spool::new(id, Arc::clone(node), seq));
        self.by_spool.insert((node.id, spool_id.to_owned()), id);
        self.spools.insert(id, Arc::clone(&spool));
        spool
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hello(node: &str, spool: &str) -> Hello {
        Hello { cluster: "c".into(), node: node.into(), spool_id: spool.into(), ..Hello::default() }
    }

    #[test]
    fn one_agent_speaks_for_a_node() {
        let nodes = Nodes::default();
        let end = CancellationToken::new();
        let first = nodes.welcome(&hello("a", "s1"), 1, &end).expect("free");
        assert!(first.new_spool.is_some() && first.node.is_connected());
        let refused = nodes.welcome(&hello("a", "s2"), 1, &CancellationToken::new());
        assert!(
            refused.expect_err("claimed").to_string().contains("node c/a already has an agent")
        );
        assert!(!end.is_cancelled());
        let again = nodes.welcome(&hello("a", "s1"), 1, &CancellationToken::new()).expect("same");
        assert!(end.is_cancelled() && again.new_spool.is_none());
        drop(first);
        assert!(again.node.is_connected());
        drop(again.claim);
        assert!(!again.node.is_connected());
        let other =
            nodes.welcome(&hello("a", "s2"), 1, &CancellationToken::new()).expect("free again");
        assert_eq!((other.record.id, other.spool.id), (0, 1));
    }

    #[test]
    fn seq_is_taken_once() {
        let nodes = Nodes::default();
        let spool =
            nodes.welcome(&hello("a", "s"), 1, &CancellationToken::new()).expect("free").spool;
        assert!(spool.apply(1) && spool.apply(5) && !spool.apply(5) && !spool.apply(2));
        spool.commit(5);
        spool.commit(3);
        assert_eq!(*spool.committed().borrow(), 5);
    }
}
