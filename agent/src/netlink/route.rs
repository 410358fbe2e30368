//! Links by rtnetlink: one link by its index, and links that change.
//!
//! Never a dump with [`Mask::VF`]: the kernel then asks the driver about every virtual function
//! of every device while it holds the lock of all networking.

use netlink_packet_route::link::LinkHeader;

use super::{Attributes, Message, Netlink, NetlinkError, Payload, Protocol};

const RTM_NEWLINK: u16 = 16;
const RTM_DELLINK: u16 = 17;
const RTM_GETLINK: u16 = 18;
const IFLA_EXT_MASK: u16 = 29;
const RTNLGRP_LINK: u32 = 1;
/// `struct ifinfomsg`.
const LINK_HEADER: usize = 16;
const INDEX: std::ops::Range<usize> = 4..8;

/// What a link is to be told with, `IFLA_EXT_MASK`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mask(pub u32);

impl Mask {
    /// Nothing more than the link.
    pub const NONE: Self = Self(0);
    /// `RTEXT_FILTER_VF`: its virtual functions, with their counters.
    pub const VF: Self = Self(1);
    /// `RTEXT_FILTER_VF | RTEXT_FILTER_SKIP_STATS`: without counters.
    pub const VF_WITHOUT_STATS: Self = Self(9);
}

/// A link as the kernel tells it.
pub struct Link<'a> {
    pub header: LinkHeader,
    /// `IFLA_*`.
    pub attributes: Attributes<'a>,
    /// It does not exist any more.
    pub deleted: bool,
}

impl<'a> Link<'a> {
    /// The link in a message; `None` if it is about something else.
    ///
    /// # Errors
    /// When it is shorter than a link's header.
    pub fn parse(message: Message<'a>) -> Result<Option<Self>, NetlinkError> {
        if !matches!(message.kind, RTM_NEWLINK | RTM_DELLINK) {
            return Ok(None);
        }
        let short = NetlinkError::Malformed("link without a header");
        let Some(attributes) = message.payload.get(LINK_HEADER..) else { return Err(short) };
        let Ok(header) = LinkHeader::parse(message.payload) else { return Err(short) };
        let deleted = message.kind == RTM_DELLINK;
        Ok(Some(Self { header, attributes: Attributes::new(attributes), deleted }))
    }
}

/// A socket that asks about links.
pub struct Route {
    netlink: Netlink,
}

impl Route {
    /// Opens a socket.
    ///
    /// # Errors
    /// When the kernel gives none.
    pub fn open() -> Result<Self, NetlinkError> {
        Netlink::open(Protocol::Route).map(Self::new)
    }

    /// Asks by this socket.
    #[must_use]
    pub fn new(netlink: Netlink) -> Self {
        Self { netlink }
    }

    /// Asks for one link.
    ///
    /// # Errors
    /// [`NetlinkError::is_absent`] when there is no such link; [`NetlinkError::is_too_large`]
    /// when its virtual functions do not fit.
    pub fn link(
        &mut self,
        index: u32,
        mask: Mask,
        each: &mut dyn FnMut(Link<'_>),
    ) -> Result<(), NetlinkError> {
        let mut header = [0; LINK_HEADER];
        header[INDEX].copy_from_slice(&index.to_ne_bytes());
        let mut payload = Payload::new(&header);
        if mask != Mask::NONE {
            payload = payload.with_u32(IFLA_EXT_MASK, mask.0);
        }
        let mut malformed = None;
        self.netlink.request(RTM_GETLINK, payload.bytes(), &mut |message| match Link::parse(
            message,
        ) {
            Ok(Some(link)) => each(link),
            Ok(None) => {}
            Err(error) => malformed = Some(error),
        })?;
        malformed.map_or(Ok(()), Err)
    }
}

/// A socket that hears of links that come, change and go.
pub struct LinkEvents {
    netlink: Netlink,
}

impl LinkEvents {
    /// Starts to listen.
    ///
    /// # Errors
    /// When the kernel gives no socket.
    pub fn open() -> Result<Self, NetlinkError> {
        let mut netlink = Netlink::open(Protocol::Route)?;
        netlink.join(RTNLGRP_LINK)?;
        Ok(Self::new(netlink))
    }

    /// Listens to this socket, which has joined already.
    #[must_use]
    pub fn new(netlink: Netlink) -> Self {
        Self { netlink }
    }

    /// Gives `each` the links that changed since the last time, without waiting, from at most
    /// `most` datagrams.
    ///
    /// # Errors
    /// [`NetlinkError::Overrun`] when some were lost.
    pub fn drain(
        &mut self,
        most: usize,
        each: &mut dyn FnMut(Link<'_>),
    ) -> Result<(), NetlinkError> {
        let mut malformed = None;
        self.netlink.drain(most, &mut |message| match Link::parse(message) {
            Ok(Some(link)) => each(link),
            Ok(None) => {}
            Err(error) => malformed = Some(error),
        })?;
        malformed.map_or(Ok(()), Err)
    }
}
