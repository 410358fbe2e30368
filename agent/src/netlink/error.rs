//! Why netlink gave no answer.

use std::io;

/// What went wrong with a netlink socket.
#[derive(Debug, thiserror::Error)]
pub enum NetlinkError {
    /// The socket could not be made or set up.
    #[error("set up a netlink socket")]
    Open(#[source] io::Error),
    #[error("send a netlink request")]
    Send(#[source] io::Error),
    #[error("receive from netlink")]
    Receive(#[source] io::Error),
    /// The kernel's answer is an error.
    #[error("netlink request was refused")]
    Refused(#[source] io::Error),
    /// No answer, or not all of it, in time.
    #[error("netlink answer did not come in time")]
    Timeout,
    /// What was dumped changed meanwhile: what came is no consistent picture. Ask again.
    #[error("netlink dump was interrupted by a change")]
    Interrupted,
    /// The socket's queue was full and messages were lost.
    #[error("netlink messages were lost")]
    Overrun,
    /// What came is not as long as it says, or longer than what is read.
    #[error("netlink message is malformed: {0}")]
    Malformed(&'static str),
}

impl NetlinkError {
    /// The kernel's error number, where the kernel refused.
    #[must_use]
    pub fn refusal(&self) -> Option<i32> {
        match self {
            Self::Refused(error) => error.raw_os_error(),
            _ => None,
        }
    }

    /// Whether the thing that was asked about is not there, or not supported.
    #[must_use]
    pub fn is_absent(&self) -> bool {
        self.refusal().is_some_and(|number| {
            [libc::ENOENT, libc::ENODEV, libc::EOPNOTSUPP, libc::ENXIO].contains(&number)
        })
    }

    /// Whether the answer does not fit into a message of the kernel's.
    #[must_use]
    pub fn is_too_large(&self) -> bool {
        self.refusal() == Some(libc::EMSGSIZE)
    }
}
