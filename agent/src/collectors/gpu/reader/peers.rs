//! Whether a GPU can reach the other GPUs of its node.
//!
//! That depends on the board, the driver and how it was started, so it is asked when GPUs are
//! enumerated and not in every tick: seven peers of five capabilities are 35 calls.

use std::sync::Arc;

use super::{Output, Reader};
use crate::collectors::gpu::meter::{Call, Told};
use crate::collectors::gpu::metrics as m;
use crate::collectors::gpu::nvml::{Code, Handle};
use crate::collectors::gpu::rows::TextRow;

/// The ways to reach a peer, by their `nvmlGpuP2PCapsIndex_t`.
const CAPABILITIES: [(u32, &str); 5] =
    [(0, "read"), (1, "write"), (2, "nvlink"), (3, "atomics"), (4, "pci")];

/// A GPU of the node.
#[derive(Debug, Clone)]
pub(in crate::collectors::gpu) struct Peer {
    pub(in crate::collectors::gpu) uuid: Arc<str>,
    pub(in crate::collectors::gpu) handle: Handle,
}

/// The GPUs of the node, and what was told of them.
#[derive(Default)]
pub(super) struct Peers {
    all: Option<Arc<[Peer]>>,
    due: bool,
    told: Vec<TextRow>,
}

impl Reader {
    /// The node has these GPUs, this one among them. Another list than the last one is asked
    /// about in the next slow tick.
    pub(in crate::collectors::gpu) fn meet_peers(&mut self, peers: &Arc<[Peer]>) {
        if !self.peers.all.as_ref().is_some_and(|known| Arc::ptr_eq(known, peers)) {
            (self.peers.all, self.peers.due) = (Some(Arc::clone(peers)), true);
        }
    }

    /// Asks if that is due, and writes what was told.
    pub(super) fn read_peers(&mut self, out: &mut Output) {
        let Self { meter, library, device, identity, peers, .. } = self;
        let Peers { all: Some(all), due, told } = peers else { return };
        let others = || all.iter().filter(|peer| peer.uuid != identity.uuid);
        if *due && others().next().is_some() {
            let mut fresh = Vec::new();
            let outcome = meter.call(Call::P2pStatus, || {
                let mut refused = None;
                for peer in others() {
                    for (index, capability) in CAPABILITIES {
                        match library.p2p_status(*device, peer.handle, index) {
                            Ok(status) => fresh.push(row(peer, capability, status)),
                            Err(code) => refused = Some(about_pair(code)?),
                        }
                    }
                }
                match refused {
                    Some(code) if fresh.is_empty() => Err(code),
                    _ => Ok(()),
                }
            });
            match outcome {
                Told::Value(()) => (*told, *due) = (fresh, false),
                // In a later tick, if it is too slow for each.
                Told::Absent => {}
                Told::Never => {
                    told.clear();
                    *due = false;
                }
            }
        } else if *due {
            told.clear();
            *due = false;
        }
        out.texts.extend_from_slice(told);
    }
}

fn row(peer: &Peer, capability: &str, status: u32) -> TextRow {
    let labels = vec![("peer_uuid", peer.uuid.to_string()), ("capability", capability.to_owned())];
    TextRow { metric: &m::P2P_STATUS, labels, value: f64::from(status) }
}

/// What is wrong with a pair, or with one capability, says nothing about the others, and a peer
/// that is lost nothing about this GPU. Only that nobody can be asked ends it.
fn about_pair(code: Code) -> Result<Code, Code> {
    match code {
        Code::FUNCTION_NOT_FOUND | Code::NO_PERMISSION => Err(code),
        other if other.wants_reopening() => Err(other),
        other if other.is_lost() => Ok(Code::NOT_FOUND),
        other => Ok(other),
    }
}
