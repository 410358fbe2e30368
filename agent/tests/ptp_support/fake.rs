//! Answers as ptp4l would, on a thread of its own, with the manners that a test wants. Bytes are
//! written by hand after IEEE 1588 and linuxptp's tlv.h, not by the code under test.

use std::io::ErrorKind;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::JoinHandle;
use std::time::Duration;

pub(crate) const SLAVE: u8 = 9;
pub(crate) const UNCALIBRATED: u8 = 8;
pub(crate) const MASTER: u8 = 6;
pub(crate) const LISTENING: u8 = 4;
pub(crate) const FAULTY: u8 = 2;

/// How it answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Manners {
    Good,
    /// Reads and says nothing.
    Silent,
    /// Sends the answer to an earlier request first.
    OutOfOrder,
    /// Sends an answer of another domain first.
    OtherDomain,
    /// Says that the message is longer than it is.
    LongMessage,
    /// Says that the TLV is longer than the message.
    LongTlv,
    /// Sends half of the data.
    ShortData,
    /// Sends each answer twice.
    Twice,
}

/// What it tells, and what it was asked.
#[derive(Debug, Clone)]
pub(crate) struct State {
    pub(crate) manners: Manners,
    pub(crate) domain: u8,
    /// 3.1: no id above 0xC006, counters as the processor has them.
    pub(crate) old: bool,
    pub(crate) read_only: bool,
    pub(crate) slave_only: bool,
    pub(crate) ports: Vec<u8>,
    pub(crate) offset_ns: i64,
    pub(crate) ingress_ns: i64,
    /// Ticks of Sync between two answers: none means that they do not come.
    pub(crate) syncs: u64,
    pub(crate) received_syncs: u64,
    pub(crate) received_announces: u64,
    pub(crate) received_delay_responses: u64,
    /// Whether delay requests are answered.
    pub(crate) delays: bool,
    pub(crate) log_sync: i8,
    pub(crate) gm_present: bool,
    pub(crate) gm_class: u8,
    pub(crate) gm: u8,
    pub(crate) software: bool,
    /// Id and port of every request.
    pub(crate) asked: Vec<(u16, u16)>,
    /// Requests that were no GET, and those that came before the last was answered.
    pub(crate) bad_requests: u64,
}

impl State {
    /// A slave of one port in domain 24, locked.
    pub(crate) fn slave() -> Self {
        Self {
            manners: Manners::Good,
            domain: 24,
            old: true,
            read_only: false,
            slave_only: true,
            ports: vec![SLAVE],
            offset_ns: 17,
            ingress_ns: 1_000_000_000,
            syncs: 16,
            received_syncs: 0,
            received_announces: 0,
            received_delay_responses: 0,
            delays: true,
            log_sync: -4,
            gm_present: true,
            gm_class: 6,
            gm: 1,
            software: false,
            asked: Vec::with_capacity(1 << 16),
            bad_requests: 0,
        }
    }
}

/// The running fake; its socket goes with it unless it is [`Fake::kill`]ed.
pub(crate) struct Fake {
    path: PathBuf,
    state: Arc<Mutex<State>>,
    stop: Arc<Mutex<bool>>,
    thread: Option<JoinHandle<()>>,
}

impl Fake {
    pub(crate) fn start(path: &Path, state: State) -> Self {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        let socket = UnixDatagram::bind(path).unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(10))).unwrap();
        let state = Arc::new(Mutex::new(state));
        let stop = Arc::new(Mutex::new(false));
        let (shared, stopped) = (Arc::clone(&state), Arc::clone(&stop));
        let thread = std::thread::spawn(move || serve(&socket, &shared, &stopped));
        Self { path: path.to_owned(), state, stop, thread: Some(thread) }
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    pub(crate) fn set(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state());
    }

    /// Ends it as SIGKILL would: the socket's file stays.
    pub(crate) fn kill(mut self) -> State {
        self.end();
        let state = self.state().clone();
        self.path = PathBuf::new();
        state
    }

    fn end(&mut self) {
        *self.stop.lock().unwrap() = true;
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        self.end();
        if !self.path.as_os_str().is_empty() {
            std::fs::remove_file(&self.path).unwrap();
        }
    }
}

fn serve(socket: &UnixDatagram, state: &Mutex<State>, stop: &Mutex<bool>) {
    let mut request = [0; 256];
    let mut answer = Answer { bytes: [0; 512], length: 0 };
    while !*stop.lock().unwrap() {
        let (length, peer) = match socket.recv_from(&mut request) {
            Ok(received) => received,
            Err(error) if error.kind() == ErrorKind::WouldBlock => continue,
            Err(error) => panic!("{error}"),
        };
        let mut state = state.lock().unwrap();
        if length != 54 || request[46] != 0 || request[44..46] != [0, 0] {
            state.bad_requests += 1;
        }
        let id = u16::from_be_bytes([request[52], request[53]]);
        let port = u16::from_be_bytes([request[42], request[43]]);
        if state.asked.len() < state.asked.capacity() {
            state.asked.push((id, port));
        }
        if request[4] != state.domain || state.manners == Manners::Silent {
            continue;
        }
        // Nobody asks again before the answer.
        if is_queued(socket) {
            state.bad_requests += 1;
        }
        answer.make(&mut state, &request, id, port);
        respond(socket, &peer, &mut answer, state.manners);
    }
}

/// Whether there is a datagram; it is lost.
fn is_queued(socket: &UnixDatagram) -> bool {
    socket.set_nonblocking(true).unwrap();
    let queued = socket.recv(&mut [0; 1]).is_ok();
    socket.set_nonblocking(false).unwrap();
    queued
}

fn respond(socket: &UnixDatagram, peer: &SocketAddr, answer: &mut Answer, manners: Manners) {
    // Nobody reads it any more after a stall.
    let send = |bytes: &[u8]| drop(socket.send_to_addr(bytes, peer));
    let bytes = &mut answer.bytes[..answer.length];
    match manners {
        Manners::Good | Manners::Silent => {}
        Manners::Twice => send(bytes),
        Manners::OutOfOrder => {
            bytes[31] = bytes[31].wrapping_sub(1);
            send(bytes);
            bytes[31] = bytes[31].wrapping_add(1);
        }
        Manners::OtherDomain => {
            bytes[4] ^= 1;
            send(bytes);
            bytes[4] ^= 1;
        }
        Manners::LongMessage => bytes[2] = 9,
        Manners::LongTlv => bytes[50] = 9,
        Manners::ShortData => {
            let half = ((bytes.len() - 54) / 2) & !1;
            let length = u16::try_from(54 + half).unwrap();
            bytes[2..4].copy_from_slice(&length.to_be_bytes());
            bytes[50..52].copy_from_slice(&(length - 52).to_be_bytes());
            send(&bytes[..usize::from(length)]);
            return;
        }
    }
    send(bytes);
}

/// An answer in the making.
struct Answer {
    bytes: [u8; 512],
    length: usize,
}

impl Answer {
    fn put(&mut self, bytes: &[u8]) -> &mut Self {
        self.bytes[self.length..self.length + bytes.len()].copy_from_slice(bytes);
        self.length += bytes.len();
        self
    }

    fn clock(&mut self, last: u8) -> &mut Self {
        self.put(&[2, 0, 0, 0xff, 0xfe, 0, 1, last])
    }

    fn own(&mut self, port: u16) -> &mut Self {
        self.clock(2).put(&port.to_be_bytes())
    }

    fn counters(&mut self, old: bool, counts: impl Iterator<Item = u64>) -> &mut Self {
        for count in counts {
            self.put(&if old { count.to_ne_bytes() } else { count.to_le_bytes() });
        }
        self
    }

    fn make(&mut self, state: &mut State, request: &[u8], id: u16, port: u16) {
        self.length = 0;
        self.put(&[0x0d, if state.old { 0x02 } else { 0x12 }, 0, 0, request[4]]);
        self.put(&[0; 15]).own(0).put(&request[30..32]).put(&[0, 0x7f]);
        self.put(&request[20..30]).put(&[0, 0, 2, 0]);
        self.put(&[0, 1, 0, 0]).put(&id.to_be_bytes());
        if let Err(error) = self.data(state, id, port) {
            self.length = 48;
            self.put(&[0, 2, 0, 8, 0, error]).put(&id.to_be_bytes()).put(&[0; 4]);
        }
        let length = u16::try_from(self.length).unwrap();
        self.bytes[2..4].copy_from_slice(&length.to_be_bytes());
        if self.bytes[49] == 1 {
            self.bytes[50..52].copy_from_slice(&(length - 52).to_be_bytes());
        }
    }

    fn data(&mut self, state: &mut State, id: u16, port: u16) -> Result<(), u8> {
        let ports = u16::try_from(state.ports.len()).unwrap();
        let of_port = usize::from(port).checked_sub(1).and_then(|i| state.ports.get(i)).copied();
        match id {
            0x2000 => {
                self.put(&[1 | u8::from(state.slave_only) << 1, 0]).put(&ports.to_be_bytes());
                let class = if state.slave_only { 255 } else { state.gm_class };
                self.put(&[128, class, 0xfe, 0xff, 0xff, 128]).clock(2);
                self.put(&[state.domain, 0]);
            }
            0x2001 => {
                self.put(&[0, 1]).put(&(state.offset_ns << 16).to_be_bytes());
                self.put(&(2500i64 << 16).to_be_bytes());
            }
            0x2002 => {
                let gm = state.gm;
                self.clock(gm).put(&[0, 1, 0, 0, 0xff, 0xff, 0x7f, 0xff, 0xff, 0xff]);
                self.put(&[100, state.gm_class, 0x21, 0xff, 0xff, 128]).clock(gm);
            }
            0x2003 => {
                self.put(&[0, 37, 0x3c, 0x20]);
            }
            0xc000 => {
                if state.syncs > 0 {
                    state.ingress_ns += 1_000_000_000;
                    state.received_syncs += state.syncs;
                }
                state.received_announces += 8;
                state.received_delay_responses += u64::from(state.delays) * 8;
                self.put(&state.offset_ns.to_be_bytes()).put(&state.ingress_ns.to_be_bytes());
                self.put(&[0; 22]).put(&i32::from(state.gm_present).to_be_bytes()).clock(state.gm);
            }
            _ => return self.port_data(state, id, port, of_port.ok_or(2)?),
        }
        Ok(())
    }

    fn port_data(&mut self, state: &State, id: u16, port: u16, of_port: u8) -> Result<(), u8> {
        match id {
            0x2004 => {
                self.own(port).put(&[of_port, 0xfc]).put(&[0; 8]);
                let sync = state.log_sync.to_be_bytes()[0];
                self.put(&[0xfd, 3, sync, 1, 0, 2]);
            }
            0x0001 => {
                self.put(&[0x80, 0, 2]).put(b"IE\0\x06");
                self.put(&[2, 0, 0, 0, 1, port.to_be_bytes()[1]]);
                self.put(&[0, 3, 0, 6, 2, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2]).put(b";;");
                self.put(&[0, 0, 0x1b, 0x19, 0, 1, 0, 0]);
            }
            0xc002 => {
                self.put(&[1, 0x31, 0x2d, 0, 0, 0, 0, 1]);
            }
            0xc004 | 0xc009 if state.read_only => return Err(6),
            0xc004 => {
                self.own(port).put(&[of_port, u8::from(!state.software), 4]);
                self.put(&[b'e', b't', b'h', b'0' + u8::try_from(port % 10).unwrap(), 0]);
            }
            0xc005 => {
                let (syncs, announces) = (state.received_syncs, state.received_announces);
                let received = (0..16).map(|i| match i {
                    0 | 8 => syncs,
                    9 => state.received_delay_responses,
                    11 => announces,
                    _ => 0,
                });
                self.own(port).counters(state.old, received);
                self.counters(state.old, (0..16).map(|i| if i == 1 { 77 } else { 0 }));
            }
            0xc007 if !state.old => {
                self.own(port).counters(false, 1..=10);
            }
            0xc008 if !state.old => {
                self.put(&[0, 2]);
            }
            0xc009 if !state.old => {
                let phc = if state.software { -1 } else { i32::from(port) };
                self.own(port).put(&phc.to_be_bytes()).put(&[0, 0]);
            }
            _ => return Err(2),
        }
        Ok(())
    }
}
