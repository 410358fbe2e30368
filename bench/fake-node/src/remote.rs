//! The kernel of [`crate::kernel`] for another process, so that what it does is not on that
//! process' time.
//!
//! The other process makes a pair of datagram sockets, keeps one and passes the other over a
//! unix socket, after one byte that says what it is for. From then on the two talk directly.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};

use crate::kernel::{FakeKernel, Family};

/// By the byte that stands for them.
const FAMILIES: [Family; 3] = [Family::Route, Family::Generic, Family::Events];

/// Opens a socket of the kernel that listens at this path.
///
/// # Errors
/// When nobody listens there, or the system gives no socket.
pub fn open(path: &Path, family: Family) -> io::Result<OwnedFd> {
    let (own, theirs) = UnixDatagram::pair()?;
    let stream = UnixStream::connect(path)?;
    let byte = FAMILIES.iter().position(|known| *known == family).unwrap();
    let byte = [u8::try_from(byte).unwrap()];
    let descriptors = [theirs.as_fd()];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    assert!(ancillary.push(SendAncillaryMessage::ScmRights(&descriptors)));
    sendmsg(&stream, &[IoSlice::new(&byte)], &mut ancillary, SendFlags::empty())?;
    Ok(own.into())
}

/// Hands a kernel's sockets out until it is dropped.
pub struct Server {
    path: PathBuf,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    /// Listens at this path.
    ///
    /// # Errors
    /// When it cannot.
    pub fn start(path: &Path, kernel: &FakeKernel) -> io::Result<Self> {
        let listener = UnixListener::bind(path)?;
        let stop = Arc::new(AtomicBool::new(false));
        let (stopped, kernel) = (Arc::clone(&stop), kernel.clone());
        let thread = std::thread::spawn(move || {
            while let Ok((stream, _)) = listener.accept()
                && !stopped.load(Ordering::Relaxed)
            {
                if let Some((family, socket)) = receive(&stream) {
                    kernel.serve(family, socket);
                }
            }
        });
        Ok(Self { path: path.to_owned(), stop, thread: Some(thread) })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        // Wakes the thread. Without the file it waits for ever, and is left alone.
        if UnixStream::connect(&self.path).is_ok()
            && let Some(thread) = self.thread.take()
        {
            drop(thread.join());
        }
    }
}

/// `None` when the other process has ended before it passed a socket.
fn receive(stream: &UnixStream) -> Option<(Family, UnixDatagram)> {
    let mut byte = [0];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let flags = RecvFlags::CMSG_CLOEXEC;
    recvmsg(stream, &mut [IoSliceMut::new(&mut byte)], &mut ancillary, flags).ok()?;
    let socket = ancillary.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut descriptors) => descriptors.next(),
        _ => None,
    })?;
    Some((*FAMILIES.get(usize::from(byte[0]))?, socket.into()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::{BuiltPf, FULL};
    use crate::netlink::{attribute, message};

    #[test]
    fn socket_from_afar_is_answered_and_heard_of() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("kernel");
        let kernel = FakeKernel::default();
        let pf = BuiltPf { index: 4, name: "x".into(), pci: "y".into(), packets: 1, vfs: vec![] };
        kernel.set(&pf);
        let server = Server::start(&path, &kernel).unwrap();
        let route = UnixDatagram::from(open(&path, Family::Route).unwrap());
        let mut payload = vec![0; 16];
        payload[4] = 4;
        payload.extend(attribute(29, &FULL.to_ne_bytes()));
        route.send(&message(18, 5, 7, &payload)).unwrap();
        let mut answer = [0; 4096];
        let length = route.recv(&mut answer).unwrap();
        assert!(length > 200 && answer[4] == 16, "{:?}", &answer[..length]);
        assert_eq!(kernel.state().requests, 1);
        drop(server);
        assert!(open(&path, Family::Events).is_err());
    }
}
