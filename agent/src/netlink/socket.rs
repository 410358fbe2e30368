//! The socket: requests, answers, and messages that nobody asked for.

#![allow(unsafe_code, reason = "netlink-sys takes over a file descriptor by an unsafe call")]

use std::io;
use std::os::fd::{AsFd, BorrowedFd, FromRawFd, IntoRawFd, OwnedFd};
use std::time::{Duration, Instant};

use netlink_packet_core::{
    NLM_F_ACK, NLM_F_DUMP, NLM_F_DUMP_INTR, NLM_F_REQUEST, NLMSG_DONE, NLMSG_ERROR, NLMSG_NOOP,
    NLMSG_OVERRUN,
};
use netlink_sys::protocols::{NETLINK_GENERIC, NETLINK_ROUTE};
use netlink_sys::{Socket, SocketAddr};
use rustix::net::sockopt::{self, Timeout};

use super::{MOST_BYTES, NetlinkError, TIMEOUT};

/// Length (u32), type (u16), flags (u16), sequence number (u32), port (u32).
const HEADER: usize = 16;
const FIRST_BYTES: usize = 32 << 10;

/// A family of netlink.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// Links, addresses, routes.
    Route,
    /// Generic netlink: ethtool, devlink, DPLL.
    Generic,
}

/// A message of the kernel's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Message<'a> {
    pub kind: u16,
    pub flags: u16,
    pub sequence: u32,
    /// What follows the header.
    pub payload: &'a [u8],
}

/// The messages of a datagram. One that does not fit ends it with an error.
struct Messages<'a>(&'a [u8]);

impl<'a> Iterator for Messages<'a> {
    type Item = Result<Message<'a>, NetlinkError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let bytes = std::mem::take(&mut self.0);
        let Some(header) = bytes.first_chunk::<HEADER>() else {
            return Some(Err(NetlinkError::Malformed("shorter than a header")));
        };
        let word = |at: usize| u32::from_ne_bytes(std::array::from_fn(|i| header[at + i]));
        let half = |at: usize| u16::from_ne_bytes(std::array::from_fn(|i| header[at + i]));
        let length = usize::try_from(word(0)).unwrap_or(usize::MAX);
        let Some(payload) = bytes.get(HEADER..length) else {
            return Some(Err(NetlinkError::Malformed("length beyond the datagram")));
        };
        self.0 = bytes.get(length.next_multiple_of(4)..).unwrap_or(&[]);
        Some(Ok(Message { kind: half(4), flags: half(6), sequence: word(8), payload }))
    }
}

/// A netlink socket and the buffer that it reads into.
pub struct Netlink {
    socket: Socket,
    sequence: u32,
    request: Vec<u8>,
    buffer: Vec<u8>,
}

impl Netlink {
    /// Opens a socket in the process's network namespace.
    ///
    /// # Errors
    /// When the kernel does not have the protocol or gives no socket.
    pub fn open(protocol: Protocol) -> Result<Self, NetlinkError> {
        let protocol = match protocol {
            Protocol::Route => NETLINK_ROUTE,
            Protocol::Generic => NETLINK_GENERIC,
        };
        let set_up = || {
            let mut socket = Socket::new(protocol)?;
            socket.bind_auto()?;
            socket.connect(&SocketAddr::new(0, 0))?;
            sockopt::set_socket_timeout(&socket, Timeout::Recv, Some(TIMEOUT))?;
            Ok(socket)
        };
        set_up().map(Self::new).map_err(NetlinkError::Open)
    }

    /// Takes a connected datagram socket, whose other end answers as the kernel would.
    ///
    /// # Errors
    /// When the socket takes no timeout.
    pub fn from_fd(fd: OwnedFd) -> Result<Self, NetlinkError> {
        let timeout = sockopt::set_socket_timeout(&fd, Timeout::Recv, Some(TIMEOUT));
        timeout.map_err(|e| NetlinkError::Open(e.into()))?;
        // SAFETY: the descriptor is open, and the socket becomes its only owner.
        Ok(Self::new(unsafe { Socket::from_raw_fd(fd.into_raw_fd()) }))
    }

    fn new(socket: Socket) -> Self {
        Self { socket, sequence: 0, request: Vec::new(), buffer: Vec::with_capacity(FIRST_BYTES) }
    }

    /// Sets how long an answer may take.
    ///
    /// # Errors
    /// For a timeout of zero.
    pub fn set_timeout(&mut self, timeout: Duration) -> Result<(), NetlinkError> {
        let set = sockopt::set_socket_timeout(&self.socket, Timeout::Recv, Some(timeout));
        set.map_err(|e| NetlinkError::Open(e.into()))
    }

    /// Joins a multicast group: what happens is then told by [`Netlink::drain`].
    ///
    /// # Errors
    /// When there is no such group or the process may not listen to it.
    pub fn join(&mut self, group: u32) -> Result<(), NetlinkError> {
        self.socket.add_membership(group).map_err(NetlinkError::Open)
    }

    /// Asks for one thing. `each` gets the answers; an acknowledgement ends them.
    ///
    /// # Errors
    /// [`NetlinkError::Refused`] with the kernel's error, and when the answer does not come.
    pub fn request(
        &mut self,
        kind: u16,
        payload: &[u8],
        each: &mut dyn FnMut(Message<'_>),
    ) -> Result<(), NetlinkError> {
        self.send(kind, NLM_F_REQUEST | NLM_F_ACK, payload)?;
        self.receive(each)
    }

    /// Asks for all there is.
    ///
    /// # Errors
    /// As [`Netlink::request`]; [`NetlinkError::Interrupted`] after everything was given to
    /// `each` if it changed meanwhile.
    pub fn dump(
        &mut self,
        kind: u16,
        payload: &[u8],
        each: &mut dyn FnMut(Message<'_>),
    ) -> Result<(), NetlinkError> {
        self.send(kind, NLM_F_REQUEST | NLM_F_DUMP, payload)?;
        self.receive(each)
    }

    fn send(&mut self, kind: u16, flags: u16, payload: &[u8]) -> Result<(), NetlinkError> {
        self.sequence = self.sequence.wrapping_add(1).max(1);
        let length = u32::try_from(HEADER + payload.len());
        let length = length.map_err(|_| NetlinkError::Malformed("request is too long"))?;
        self.request.clear();
        self.request.extend_from_slice(&length.to_ne_bytes());
        self.request.extend_from_slice(&kind.to_ne_bytes());
        self.request.extend_from_slice(&flags.to_ne_bytes());
        self.request.extend_from_slice(&self.sequence.to_ne_bytes());
        self.request.extend_from_slice(&[0; 4]);
        self.request.extend_from_slice(payload);
        loop {
            match self.socket.send(&self.request, 0) {
                Ok(_) => return Ok(()),
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(NetlinkError::Send(e)),
            }
        }
    }

    /// Reads datagrams until the answer to the last request is complete.
    fn receive(&mut self, each: &mut dyn FnMut(Message<'_>)) -> Result<(), NetlinkError> {
        let deadline = Instant::now() + TIMEOUT;
        let mut interrupted = false;
        loop {
            if !self.datagram(0)? {
                return Err(NetlinkError::Timeout);
            }
            for message in Messages(&self.buffer) {
                let message = message?;
                if message.sequence != self.sequence {
                    continue;
                }
                interrupted |= message.flags & NLM_F_DUMP_INTR != 0;
                match message.kind {
                    NLMSG_NOOP => {}
                    NLMSG_OVERRUN => return Err(NetlinkError::Overrun),
                    NLMSG_ERROR | NLMSG_DONE => {
                        return match status(&message)? {
                            0 if interrupted => Err(NetlinkError::Interrupted),
                            0 => Ok(()),
                            number => Err(NetlinkError::Refused(number_error(number))),
                        };
                    }
                    _ => each(message),
                }
            }
            // Messages that are no answer can come for ever.
            if Instant::now() > deadline {
                return Err(NetlinkError::Timeout);
            }
        }
    }

    /// Gives `each` what came by itself until there is no more or `most` datagrams were read.
    /// Does not wait, and allocates nothing while nothing comes.
    ///
    /// # Errors
    /// [`NetlinkError::Overrun`] when messages were lost; what comes after can be drained.
    pub fn drain(
        &mut self,
        most: usize,
        each: &mut dyn FnMut(Message<'_>),
    ) -> Result<(), NetlinkError> {
        for _ in 0..most {
            if !self.datagram(libc::MSG_DONTWAIT)? {
                break;
            }
            for message in Messages(&self.buffer) {
                each(message?);
            }
        }
        Ok(())
    }

    /// Reads the next datagram of the kernel's, whole. False if there is none.
    fn datagram(&mut self, flags: libc::c_int) -> Result<bool, NetlinkError> {
        loop {
            let mut nothing: &mut [u8] = &mut [];
            let peek = flags | libc::MSG_PEEK | libc::MSG_TRUNC;
            let length = match self.socket.recv_from(&mut nothing, peek) {
                Ok((length, _)) => length,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(e) if e.raw_os_error() == Some(libc::ENOBUFS) => {
                    return Err(NetlinkError::Overrun);
                }
                Err(e) => return Err(NetlinkError::Receive(e)),
            };
            self.buffer.clear();
            self.buffer.reserve(length.min(MOST_BYTES));
            let read = self.socket.recv_from(&mut self.buffer, libc::MSG_TRUNC);
            let (read, from) = read.map_err(NetlinkError::Receive)?;
            if read == 0 {
                return Err(NetlinkError::Receive(io::ErrorKind::UnexpectedEof.into()));
            }
            if read != self.buffer.len() {
                return Err(NetlinkError::Malformed("too long"));
            }
            // Any process may send to a netlink socket; the kernel's port is 0.
            if from.port_number() == 0 {
                return Ok(true);
            }
        }
    }
}

impl AsFd for Netlink {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// The number that an error or the end of a dump carries: 0 for success, else negative. The end
/// may come without.
fn status(message: &Message<'_>) -> Result<i32, NetlinkError> {
    match message.payload.first_chunk() {
        Some(bytes) => Ok(i32::from_ne_bytes(*bytes)),
        None if message.kind == NLMSG_DONE => Ok(0),
        None => Err(NetlinkError::Malformed("error without a number")),
    }
}

fn number_error(number: i32) -> io::Error {
    io::Error::from_raw_os_error(number.saturating_neg())
}
