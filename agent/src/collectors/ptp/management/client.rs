//! Asks one ptp4l, one question at a time.

use std::ffi::OsString;
use std::io::{self, ErrorKind};
use std::ops::Range;
use std::os::unix::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

use super::reply::{Bound, ReplyTo};
use super::{
    Body, ClockIdentity, DataSet, EVERY_PORT, Malformed, NO_SUCH_ID, NOT_SUPPORTED, Order,
    PortIdentity, Request, parse,
};

/// More than ptp4l ever sends: a message is within one Ethernet frame.
const BUFFER_BYTES: usize = 2048;
/// Datagrams that are read for one answer: what is not ours must not keep us.
const MOST_STRANGERS: usize = 64;

/// Requests that came to nothing, and answers that nobody waited for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    pub timeout: u64,
    pub refused: u64,
    pub malformed: u64,
    pub out_of_order: u64,
    pub other_domain: u64,
    pub error_reply: u64,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum RequestError {
    #[error("no such socket")]
    Absent,
    /// The socket that an ended ptp4l has left.
    #[error("nobody listens")]
    Dead,
    /// ptp4l hangs, has another domain, or cannot reach our address.
    #[error("no answer")]
    Timeout,
    #[error("malformed answer")]
    Malformed(#[source] Malformed),
    /// ptp4l says no, with a `managementErrorId`.
    #[error("answered with error {0}")]
    Reply(u16),
    #[error("socket cannot be used")]
    Socket(#[source] io::Error),
}

/// A client of one ptp4l.
#[derive(Debug)]
pub struct Client {
    path: PathBuf,
    /// What ptp4l may call its socket. The path that it was bound by may be one of another mount
    /// namespace, the name is the same.
    names: Vec<OsString>,
    reply_to: ReplyTo,
    domain: u8,
    transport_specific: u8,
    timeout: Duration,
    identity: PortIdentity,
    sequence: u16,
    socket: Option<Bound>,
    buffer: Box<[u8; BUFFER_BYTES]>,
    counts: Counts,
    longest: Duration,
}

impl Client {
    /// A client of the ptp4l at `path`; nothing is opened yet.
    #[must_use]
    pub fn new(path: &Path, reply_to: ReplyTo, timeout: Duration) -> Self {
        Self {
            path: path.to_owned(),
            names: names(path),
            reply_to,
            domain: 0,
            transport_specific: 0,
            timeout,
            identity: own_identity(),
            sequence: 0,
            socket: None,
            buffer: Box::new([0; BUFFER_BYTES]),
            counts: Counts::default(),
            longest: Duration::ZERO,
        }
    }

    /// Asks at another path from now on.
    pub fn set_path(&mut self, path: &Path) {
        if self.path != path {
            self.path = path.to_owned();
            self.socket = None;
        }
        self.look_again();
    }

    /// A symbolic link on the path may have another target now.
    pub fn look_again(&mut self) {
        self.names = names(&self.path);
    }

    /// Whom it asks.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The domain and `majorSdoId` that are asked. ptp4l is silent towards any other.
    pub fn address(&mut self, domain: u8, transport_specific: u8) {
        (self.domain, self.transport_specific) = (domain, transport_specific);
    }

    /// What went wrong since the client was made.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// The longest wait for an answer since this was last called.
    pub fn take_longest(&mut self) -> Duration {
        std::mem::take(&mut self.longest)
    }

    /// Asks for a data set of the clock.
    ///
    /// # Errors
    /// See [`RequestError`]. After a timeout the socket is closed: a late answer goes nowhere.
    pub fn clock<'a, T: DataSet<'a>>(&'a mut self) -> Result<T, RequestError> {
        self.get(EVERY_PORT, self.timeout)
    }

    /// Asks for a data set of a port. Ports are asked one by one, so that there is never more
    /// than one answer on its way.
    ///
    /// # Errors
    /// As [`Client::clock`].
    pub fn port<'a, T: DataSet<'a>>(&'a mut self, port: u16) -> Result<T, RequestError> {
        self.get(port, self.timeout)
    }

    /// As [`Client::clock`] with another patience; that there is no answer is not counted.
    ///
    /// # Errors
    /// As [`Client::clock`].
    pub fn probe<'a, T: DataSet<'a>>(&'a mut self, timeout: Duration) -> Result<T, RequestError> {
        let timeouts = self.counts.timeout;
        match self.exchange(T::ID, EVERY_PORT, timeout) {
            Ok(answer) => self.read(answer),
            Err(error) => {
                self.counts.timeout = timeouts;
                Err(error)
            }
        }
    }

    fn get<'a, T: DataSet<'a>>(
        &'a mut self,
        port: u16,
        timeout: Duration,
    ) -> Result<T, RequestError> {
        let answer = self.exchange(T::ID, port, timeout)?;
        self.read(answer)
    }

    fn read<'a, T: DataSet<'a>>(&'a mut self, answer: Answer) -> Result<T, RequestError> {
        let order = Order::of_minor_version(answer.minor_version);
        T::decode(&self.buffer[answer.data], order).map_err(|malformed| {
            self.counts.malformed += 1;
            RequestError::Malformed(malformed)
        })
    }

    /// One request and its answer, which is left in the buffer.
    fn exchange(&mut self, id: u16, port: u16, timeout: Duration) -> Result<Answer, RequestError> {
        let start = Instant::now();
        let outcome = self.try_exchange(id, port, timeout, start);
        self.longest = self.longest.max(start.elapsed());
        match &outcome {
            Ok(_) => return outcome,
            Err(RequestError::Timeout) => self.counts.timeout += 1,
            Err(RequestError::Malformed(_)) => self.counts.malformed += 1,
            // The socket is as good as before: nothing more comes for this request. To ask for
            // what a version or a read-only socket does not have is no failure.
            Err(RequestError::Reply(error)) => {
                self.counts.error_reply += u64::from(![NO_SUCH_ID, NOT_SUPPORTED].contains(error));
                return outcome;
            }
            Err(_) => self.counts.refused += 1,
        }
        self.socket = None;
        outcome
    }

    fn try_exchange(
        &mut self,
        id: u16,
        port: u16,
        timeout: Duration,
        start: Instant,
    ) -> Result<Answer, RequestError> {
        self.sequence = self.sequence.wrapping_add(1);
        let request = Request {
            id,
            domain: self.domain,
            transport_specific: self.transport_specific,
            source: self.identity,
            sequence: self.sequence,
            port,
        };
        let socket = match &mut self.socket {
            Some(socket) => socket,
            none => none.insert(Bound::new(&self.reply_to, &self.path)?),
        };
        socket.patience(timeout)?;
        uninterrupted(|| socket.send_to(&request.encode(), &self.path)).map_err(of_io)?;
        for _ in 0..MOST_STRANGERS {
            let (bytes, peer) =
                uninterrupted(|| socket.recv_from(&mut self.buffer[..])).map_err(of_io)?;
            if is_named(&peer, &self.names) {
                match answer_to(&request, &self.buffer[..bytes], &mut self.counts) {
                    Some(outcome) => return outcome,
                    None if start.elapsed() < timeout => continue,
                    None => return Err(RequestError::Timeout),
                }
            }
            self.counts.out_of_order += 1;
            if start.elapsed() >= timeout {
                break;
            }
        }
        Err(RequestError::Timeout)
    }
}

/// Where in the buffer an answer is.
struct Answer {
    data: Range<usize>,
    minor_version: u8,
}

/// What a datagram says to a request; `None` when it is not for it.
fn answer_to(
    request: &Request,
    datagram: &[u8],
    counts: &mut Counts,
) -> Option<Result<Answer, RequestError>> {
    let reply = match parse(datagram) {
        Ok(reply) => reply,
        Err(malformed) => return Some(Err(RequestError::Malformed(malformed))),
    };
    if reply.target != request.source || reply.sequence != request.sequence {
        counts.out_of_order += 1;
        return None;
    }
    if reply.domain != request.domain {
        counts.other_domain += 1;
        return None;
    }
    match reply.body {
        Body::Error { id, error } if id == request.id => Some(Err(RequestError::Reply(error))),
        Body::Data { id, data } if id == request.id => {
            let start = data.as_ptr().addr() - datagram.as_ptr().addr();
            let data = start..start + data.len();
            Some(Ok(Answer { data, minor_version: reply.minor_version }))
        }
        Body::Error { id, .. } | Body::Data { id, .. } => {
            let bytes = datagram.len();
            Some(Err(RequestError::Malformed(Malformed::DataSet { id, bytes })))
        }
    }
}

fn names(path: &Path) -> Vec<OsString> {
    let target = std::fs::canonicalize(path).ok();
    let names = [Some(path), target.as_deref()];
    names.into_iter().flatten().filter_map(Path::file_name).map(OsString::from).collect()
}

fn is_named(peer: &SocketAddr, names: &[OsString]) -> bool {
    let name = peer.as_pathname().and_then(Path::file_name);
    name.is_some_and(|name| names.iter().any(|known| known == name))
}

fn uninterrupted<T>(mut call: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    loop {
        match call() {
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            outcome => return outcome,
        }
    }
}

fn of_io(error: io::Error) -> RequestError {
    match error.kind() {
        ErrorKind::NotFound | ErrorKind::NotADirectory => RequestError::Absent,
        ErrorKind::ConnectionRefused => RequestError::Dead,
        ErrorKind::WouldBlock | ErrorKind::TimedOut => RequestError::Timeout,
        _ => RequestError::Socket(error),
    }
}

impl From<io::Error> for RequestError {
    fn from(error: io::Error) -> Self {
        Self::Socket(error)
    }
}

/// An identity that no other client on the node has, nor any clock: the process' and a number.
fn own_identity() -> PortIdentity {
    static CLIENTS: AtomicU16 = AtomicU16::new(0);
    let [a, b, c, d] = std::process::id().to_be_bytes();
    let [e, f] = CLIENTS.fetch_add(1, Ordering::Relaxed).to_be_bytes();
    let port = u16::from_be_bytes([c, d]);
    PortIdentity { clock: ClockIdentity([0, 0, a, b, c, d, e, f]), port }
}
