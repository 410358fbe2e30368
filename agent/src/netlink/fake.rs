//! A kernel for tests: the other end of a netlink socket, answering from a closure on a thread
//! that ends when the socket is closed or the test drops it. Uses nothing of this crate, so that
//! tests outside of it can include it too.

#![allow(dead_code, reason = "each test binary uses its part")]

use std::os::fd::OwnedFd;
use std::os::unix::net::UnixDatagram;
use std::thread::JoinHandle;
use std::time::Duration;

pub(crate) const ERROR: u16 = 2;
pub(crate) const DONE: u16 = 3;
pub(crate) const DUMP_FLAGS: u16 = 0x300;
pub(crate) const INTERRUPTED: u16 = 0x10;

/// A request as it came.
pub(crate) struct Request {
    pub(crate) kind: u16,
    pub(crate) flags: u16,
    pub(crate) sequence: u32,
    pub(crate) payload: Vec<u8>,
}

impl Request {
    fn parse(bytes: &[u8]) -> Self {
        let half = |at: usize| u16::from_ne_bytes([bytes[at], bytes[at + 1]]);
        let sequence = u32::from_ne_bytes(bytes[8..12].try_into().unwrap());
        Self { kind: half(4), flags: half(6), sequence, payload: bytes[16..].to_vec() }
    }

    /// An answer of this kind to it.
    pub(crate) fn answer(&self, kind: u16, payload: &[u8]) -> Vec<u8> {
        message(kind, 0, self.sequence, payload)
    }

    /// The acknowledgement, or an error number.
    pub(crate) fn error(&self, number: i32) -> Vec<u8> {
        let payload = [(-number).to_ne_bytes().as_slice(), &[0; 16]].concat();
        self.answer(ERROR, &payload)
    }

    /// The end of a dump.
    pub(crate) fn done(&self) -> Vec<u8> {
        self.answer(DONE, &0i32.to_ne_bytes())
    }
}

/// A message with its header.
pub(crate) fn message(kind: u16, flags: u16, sequence: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(16 + payload.len()).unwrap();
    let mut out = length.to_ne_bytes().to_vec();
    out.extend(kind.to_ne_bytes());
    out.extend(flags.to_ne_bytes());
    out.extend(sequence.to_ne_bytes());
    out.extend([0; 4]);
    out.extend(payload);
    out.resize(out.len().next_multiple_of(4), 0);
    out
}

/// An attribute with its padding.
pub(crate) fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
    let length = u16::try_from(4 + value.len()).unwrap();
    let mut out = [length.to_ne_bytes(), kind.to_ne_bytes()].concat();
    out.extend(value);
    out.resize(out.len().next_multiple_of(4), 0);
    out
}

/// Answers on a thread of its own.
pub(crate) struct Fake {
    own: UnixDatagram,
    thread: Option<JoinHandle<()>>,
}

impl Fake {
    /// A socket and what answers at its other end: `answer` gives the datagrams for a request.
    pub(crate) fn start(
        mut answer: impl FnMut(&Request) -> Vec<Vec<u8>> + Send + 'static,
    ) -> (OwnedFd, Self) {
        let (theirs, own) = UnixDatagram::pair().unwrap();
        let end = own.try_clone().unwrap();
        end.set_write_timeout(Some(Duration::from_secs(10))).unwrap();
        let thread = std::thread::spawn(move || {
            let mut buffer = vec![0; 1 << 16];
            // Nothing but the end of the test makes an empty datagram or an error.
            while let Ok(length) = end.recv(&mut buffer)
                && length >= 16
            {
                for datagram in answer(&Request::parse(&buffer[..length])) {
                    if end.send(&datagram).is_err() {
                        return;
                    }
                }
            }
        });
        (theirs.into(), Self { own, thread: Some(thread) })
    }

    /// A socket without anything that answers: for what the kernel says by itself.
    pub(crate) fn silent() -> (OwnedFd, UnixDatagram) {
        let (theirs, own) = UnixDatagram::pair().unwrap();
        (theirs.into(), own)
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        // The other end may be closed already, which ends the thread as well.
        let _ended = self.own.shutdown(std::net::Shutdown::Both);
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
            && !std::thread::panicking()
        {
            panic!("the fake kernel panicked");
        }
    }
}
