//! What a kernel tells: links with virtual functions, devlink, and messages about links. Its
//! lists of virtual functions are built here in the layout that was captured from a real one (a
//! test of the agent compares), except where a name says otherwise.

use std::collections::HashMap;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixDatagram;
use std::sync::{Arc, Mutex, MutexGuard};

use crate::netlink::{Fake, Request, attribute, message};

/// `RTEXT_FILTER_VF`.
pub const FULL: u32 = 1;
/// `RTEXT_FILTER_VF | RTEXT_FILTER_SKIP_STATS`.
pub const NO_STATS: u32 = 9;
const NEWLINK: u16 = 16;
const DELLINK: u16 = 17;
const DEVLINK: u16 = 20;
const UNKNOWN: u32 = u32::MAX;
const ENOENT: i32 = 2;
const ENODEV: i32 = 19;
const EOPNOTSUPP: i32 = 95;

/// A virtual function as the kernel would tell it.
#[derive(Clone, Debug)]
pub struct BuiltVf {
    pub number: u32,
    pub mac: [u8; 6],
    pub vlan: u32,
    pub qos: u32,
    pub protocol: u16,
    pub rates: [u32; 2],
    pub spoof_check: u32,
    pub link_state: u32,
    pub rss_query: u32,
    pub trust: u32,
    /// rx and tx packets, rx and tx bytes, broadcast, multicast, rx and tx dropped.
    pub stats: Option<[u64; 8]>,
}

impl BuiltVf {
    /// One that igb would tell: no RSS setting, counters of zero.
    pub fn igb_like(number: u32) -> Self {
        Self {
            number,
            mac: [0; 6],
            vlan: 0,
            qos: 0,
            protocol: 0x8100,
            rates: [0; 2],
            spoof_check: 1,
            link_state: 0,
            rss_query: UNKNOWN,
            trust: 0,
            stats: Some([0; 8]),
        }
    }

    /// One that mlx5 or ice would tell: it counts; spoof check, trust and link state are told.
    pub fn counting(number: u32) -> Self {
        let n = u64::from(number) + 1;
        let low = u8::try_from(number % 256).unwrap();
        Self {
            mac: [2, 0, 0, 0, 1, low],
            rates: [0, 10_000],
            link_state: 1,
            trust: 1,
            stats: Some([10 * n, 20 * n, 1000 * n, 2000 * n, n, 2 * n, 3 * n, 4 * n]),
            ..Self::igb_like(number)
        }
    }

    /// `IFLA_VF_INFO`, in the order in which the kernel writes it.
    pub fn bytes(&self) -> Vec<u8> {
        let words = |words: &[u32]| -> Vec<u8> {
            [self.number].iter().chain(words).flat_map(|word| word.to_ne_bytes()).collect()
        };
        let long = |bytes: [u8; 6]| [&bytes[..], &[0; 26]].concat();
        let mut inner = vec![
            attribute(1, &[words(&[]), long(self.mac)].concat()),
            attribute(13, &long([0xff; 6])),
            attribute(2, &words(&[self.vlan, self.qos])),
            attribute(6, &words(&self.rates)),
            attribute(3, &words(&self.rates[1..])),
            attribute(4, &words(&[self.spoof_check])),
            attribute(5, &words(&[self.link_state])),
            attribute(7, &words(&[self.rss_query])),
            attribute(9, &words(&[self.trust])),
        ];
        let protocol = [&self.protocol.to_be_bytes()[..], &[0; 2]].concat();
        let vlan = attribute(1, &[words(&[self.vlan, self.qos]), protocol].concat());
        inner.push(attribute(12, &vlan));
        if let Some(stats) = self.stats {
            let kinds = [0, 1, 2, 3, 4, 5, 7, 8];
            let stats = kinds.iter().zip(stats).map(|(k, v)| attribute(*k, &v.to_ne_bytes()));
            inner.push(attribute(8, &stats.collect::<Vec<_>>().concat()));
        }
        attribute(1, &inner.concat())
    }
}

/// A physical function's link.
#[derive(Clone, Debug)]
pub struct BuiltPf {
    pub index: u32,
    pub name: String,
    pub pci: String,
    pub packets: u64,
    pub vfs: Vec<BuiltVf>,
}

impl BuiltPf {
    /// The payload of an answer: `struct ifinfomsg` and attributes.
    pub fn payload(&self, mask: u32) -> Vec<u8> {
        let mut stats = vec![0; 200];
        stats[..8].copy_from_slice(&self.packets.to_ne_bytes());
        let mut out = header(self.index);
        out.extend(attribute(3, &text(&self.name)));
        out.extend(attribute(1, &[2, 0, 0, 0, 0, 1]));
        out.extend(attribute(23, &stats));
        let count = u32::try_from(self.vfs.len()).unwrap();
        out.extend(attribute(21, &count.to_ne_bytes()));
        let vfs = self.vfs.iter().map(|vf| match mask {
            NO_STATS => BuiltVf { stats: None, ..vf.clone() }.bytes(),
            _ => vf.bytes(),
        });
        out.extend(wrapping_attribute(22, &vfs.collect::<Vec<_>>().concat()));
        out.extend(attribute(56, &text(&self.pci)));
        out.extend(attribute(57, &text("pci")));
        out
    }
}

/// An attribute whose length is cut to two bytes, as the kernel does with a list that is too
/// long.
fn wrapping_attribute(kind: u16, value: &[u8]) -> Vec<u8> {
    let length = u16::try_from((4 + value.len()) % 65_536).unwrap();
    [&length.to_ne_bytes()[..], &kind.to_ne_bytes(), value].concat()
}

/// A text with the zero at its end.
pub fn text(text: &str) -> Vec<u8> {
    [text.as_bytes(), &[0]].concat()
}

fn header(index: u32) -> Vec<u8> {
    let mut header = vec![0; 16];
    header[4..8].copy_from_slice(&index.to_ne_bytes());
    header
}

/// What the kernel says by itself of a link.
pub fn link_message(index: u32, name: &str, operstate: u8) -> Vec<u8> {
    let attributes = [attribute(3, &text(name)), attribute(16, &[operstate])].concat();
    message(NEWLINK, 0, 0, &[header(index), attributes].concat())
}

/// What the kernel says when a link is gone.
pub fn gone_message(index: u32) -> Vec<u8> {
    message(DELLINK, 0, 0, &header(index))
}

/// What a socket is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    Route,
    Generic,
    /// rtnetlink's news about links.
    Events,
}

/// How a question about a link is answered.
#[derive(Clone, Debug)]
pub enum Answer {
    Payload(Vec<u8>),
    Error(i32),
}

/// What the kernel knows.
#[derive(Default)]
pub struct State {
    /// By index and mask.
    pub links: HashMap<(u32, u32), Answer>,
    /// Requests on all sockets.
    pub requests: u64,
    /// Questions about links.
    pub asked: Vec<(u32, u32)>,
    /// devlink's answers, attributes only, by command and PCI address; without any it has no
    /// such family.
    pub devlink: HashMap<(u8, String), Vec<Vec<u8>>>,
    fakes: Vec<Fake>,
    /// The other ends of sockets that listen to links.
    pub listeners: Vec<UnixDatagram>,
}

/// A handle of the kernel, shared with its sockets.
#[derive(Clone, Default)]
pub struct FakeKernel(Arc<Mutex<State>>);

impl FakeKernel {
    /// What it knows, to look at or change.
    pub fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    /// Answers about a link as one with virtual functions.
    pub fn set(&self, pf: &BuiltPf) {
        for mask in [FULL, NO_STATS] {
            self.state().links.insert((pf.index, mask), Answer::Payload(pf.payload(mask)));
        }
    }

    /// The payload of a captured answer, about the link that was captured.
    pub fn set_captured(&self, index: u32, mask: u32, bytes: &[u8]) {
        self.state().links.insert((index, mask), Answer::Payload(bytes[16..].to_vec()));
    }

    /// A socket of rtnetlink that it answers to.
    pub fn route(&self) -> OwnedFd {
        self.open(Family::Route)
    }

    /// A socket of generic netlink that it answers to.
    pub fn generic(&self) -> OwnedFd {
        self.open(Family::Generic)
    }

    /// A socket that hears of links ([`FakeKernel::say`]).
    pub fn events(&self) -> OwnedFd {
        self.open(Family::Events)
    }

    fn open(&self, family: Family) -> OwnedFd {
        let (fd, own) = Fake::silent();
        self.serve(family, own);
        fd
    }

    /// Is at this end of a socket whose other end may be another process's.
    pub fn serve(&self, family: Family, own: UnixDatagram) {
        let kernel = self.clone();
        let fake = match family {
            Family::Route => Fake::serve(own, move |request| kernel.answer_route(request)),
            Family::Generic => Fake::serve(own, move |request| kernel.answer_generic(request)),
            Family::Events => {
                self.state().listeners.push(own);
                return;
            }
        };
        self.state().fakes.push(fake);
    }

    /// Tells those who listen.
    pub fn say(&self, message: &[u8]) {
        let state = self.state();
        let sent = state.listeners.iter().filter(|end| end.send(message).is_ok()).count();
        assert!(sent > 0, "nobody listens");
    }

    fn answer_route(&self, request: &Request) -> Vec<Vec<u8>> {
        let word = |at: usize| u32::from_ne_bytes(request.payload[at..at + 4].try_into().unwrap());
        let mask = if request.payload.len() >= 24 { word(20) } else { 0 };
        let mut state = self.state();
        state.requests += 1;
        state.asked.push((word(4), mask));
        match state.links.get(&(word(4), mask)) {
            Some(Answer::Payload(payload)) => {
                vec![request.answer(NEWLINK, payload), request.error(0)]
            }
            Some(Answer::Error(number)) => vec![request.error(*number)],
            None => vec![request.error(ENODEV)],
        }
    }

    fn answer_generic(&self, request: &Request) -> Vec<Vec<u8>> {
        let mut state = self.state();
        state.requests += 1;
        if request.kind == 16 {
            if state.devlink.is_empty() {
                return vec![request.error(ENOENT)];
            }
            let family = [vec![1, 2, 0, 0], attribute(1, &DEVLINK.to_ne_bytes())].concat();
            return vec![request.answer(16, &family), request.error(0)];
        }
        let command = request.payload[0];
        if request.payload.len() == 4 {
            // A dump of all devices, which are all on the PCI bus.
            let names: std::collections::BTreeSet<_> = state.devlink.keys().map(|k| &k.1).collect();
            let device = |name: &&String| {
                let name = [name.as_bytes(), b"\0"].concat();
                let device = [attribute(1, b"pci\0"), attribute(2, &name)].concat();
                request.answer(DEVLINK, &[vec![command, 1, 0, 0], device].concat())
            };
            return names.iter().map(device).chain([request.done()]).collect();
        }
        // The second attribute is the device's name.
        let name = &request.payload[4 + 8 + 4..];
        let end = name.iter().position(|byte| *byte == 0).unwrap();
        let name = String::from_utf8(name[..end].to_vec()).unwrap();
        let Some(answers) = state.devlink.get(&(command, name)) else {
            return vec![request.error(EOPNOTSUPP)];
        };
        let payload = |attributes: &Vec<u8>| [vec![command, 1, 0, 0], attributes.clone()].concat();
        let answers = answers.iter().map(|a| request.answer(DEVLINK, &payload(a)));
        let dump = request.flags & crate::netlink::DUMP_FLAGS == crate::netlink::DUMP_FLAGS;
        let end = if dump { request.done() } else { request.error(0) };
        answers.chain([end]).collect()
    }
}
