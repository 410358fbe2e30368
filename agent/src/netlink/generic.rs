//! Generic netlink: families by name, their commands and their multicast groups.
//!
//! ```no_run
//! # use sextant_agent::netlink::{NetlinkError, Payload, generic::Generic};
//! # fn main() -> Result<(), NetlinkError> {
//! let mut generic = Generic::open()?;
//! if let Some(devlink) = generic.family("devlink")? {
//!     let request = Payload::default().with_text(1, "pci");
//!     generic.dump(&devlink, 1, &request, &mut |answer| {
//!         for attribute in answer.attributes {
//!             println!("{} {:?}", attribute.kind, attribute.value);
//!         }
//!     })?;
//! }
//! # Ok(()) }
//! ```

use super::{Attribute, Attributes, Message, Netlink, NetlinkError, Payload, Protocol};

/// Command (u8), version (u8), reserved (u16).
const HEADER: usize = 4;
/// The family that knows the families; its number is fixed.
const GENL_ID_CTRL: u16 = 16;
const CTRL_CMD_GETFAMILY: u8 = 3;
const CTRL_VERSION: u8 = 2;
const CTRL_ATTR_FAMILY_ID: u16 = 1;
const CTRL_ATTR_FAMILY_NAME: u16 = 2;
const CTRL_ATTR_VERSION: u16 = 3;
const CTRL_ATTR_MCAST_GROUPS: u16 = 7;
const CTRL_ATTR_MCAST_GRP_NAME: u16 = 1;
const CTRL_ATTR_MCAST_GRP_ID: u16 = 2;

/// A family that this kernel has. Its number changes when its module is loaded again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Family {
    pub id: u16,
    pub version: u8,
    /// Multicast groups by name.
    pub groups: Vec<(String, u32)>,
}

impl Family {
    /// The number of a multicast group.
    #[must_use]
    pub fn group(&self, name: &str) -> Option<u32> {
        self.groups.iter().find(|(known, _)| known == name).map(|(_, id)| *id)
    }
}

/// A message of a family's.
pub struct Answer<'a> {
    pub command: u8,
    pub version: u8,
    pub attributes: Attributes<'a>,
}

impl<'a> Answer<'a> {
    fn parse(message: Message<'a>) -> Option<Self> {
        let header = message.payload.first_chunk::<HEADER>()?;
        let attributes = Attributes::new(message.payload.get(HEADER..)?);
        Some(Self { command: header[0], version: header[1], attributes })
    }
}

/// A generic netlink socket.
pub struct Generic {
    netlink: Netlink,
    /// The request, kept so that asking again allocates nothing.
    request: Vec<u8>,
}

impl Generic {
    /// Opens a socket.
    ///
    /// # Errors
    /// When the kernel gives none.
    pub fn open() -> Result<Self, NetlinkError> {
        Netlink::open(Protocol::Generic).map(Self::new)
    }

    /// Asks by this socket.
    #[must_use]
    pub fn new(netlink: Netlink) -> Self {
        Self { netlink, request: Vec::new() }
    }

    /// The family of this name; `None` if this kernel does not have it, or not loaded.
    ///
    /// # Errors
    /// When the kernel does not answer.
    pub fn family(&mut self, name: &str) -> Result<Option<Family>, NetlinkError> {
        let payload = Payload::new(&[CTRL_CMD_GETFAMILY, CTRL_VERSION, 0, 0])
            .with_text(CTRL_ATTR_FAMILY_NAME, name);
        let mut found = None;
        let asked = self.netlink.request(GENL_ID_CTRL, payload.bytes(), &mut |message| {
            if let Some(answer) = Answer::parse(message) {
                found = family(answer.attributes);
            }
        });
        match asked {
            Ok(()) if found.is_none() => Err(NetlinkError::Malformed("family without a number")),
            Ok(()) => Ok(found),
            Err(error) if error.is_absent() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Sends a command about one thing. `payload` holds attributes only.
    ///
    /// # Errors
    /// As [`Netlink::request`]; [`NetlinkError::is_absent`] for what is not there or not
    /// supported.
    pub fn request(
        &mut self,
        family: &Family,
        command: u8,
        payload: &Payload,
        each: &mut dyn FnMut(Answer<'_>),
    ) -> Result<(), NetlinkError> {
        write_request(&mut self.request, family, command, payload);
        complete(family, each, |each| self.netlink.request(family.id, &self.request, each))
    }

    /// Sends a command about all things that `payload`'s attributes allow.
    ///
    /// # Errors
    /// As [`Netlink::dump`].
    pub fn dump(
        &mut self,
        family: &Family,
        command: u8,
        payload: &Payload,
        each: &mut dyn FnMut(Answer<'_>),
    ) -> Result<(), NetlinkError> {
        write_request(&mut self.request, family, command, payload);
        complete(family, each, |each| self.netlink.dump(family.id, &self.request, each))
    }

    /// Joins a multicast group of a family. A socket that listens should do nothing else.
    ///
    /// # Errors
    /// When there is no such group or the process may not listen to it.
    pub fn join(&mut self, group: u32) -> Result<(), NetlinkError> {
        self.netlink.join(group)
    }

    /// Gives `each` what groups of `family` told since the last time, without waiting, from at
    /// most `most` datagrams.
    ///
    /// # Errors
    /// [`NetlinkError::Overrun`] when some was lost.
    pub fn drain(
        &mut self,
        family: &Family,
        most: usize,
        each: &mut dyn FnMut(Answer<'_>),
    ) -> Result<(), NetlinkError> {
        complete(family, each, |each| self.netlink.drain(most, each))
    }
}

fn write_request(out: &mut Vec<u8>, family: &Family, command: u8, payload: &Payload) {
    out.clear();
    out.extend_from_slice(&[command, family.version, 0, 0]);
    out.extend_from_slice(payload.bytes());
}

/// Gives `each` the messages of `family` that `run` receives.
fn complete(
    family: &Family,
    each: &mut dyn FnMut(Answer<'_>),
    run: impl FnOnce(&mut dyn FnMut(Message<'_>)) -> Result<(), NetlinkError>,
) -> Result<(), NetlinkError> {
    let mut short = false;
    run(&mut |message| match Answer::parse(message) {
        Some(answer) if message.kind == family.id => each(answer),
        Some(_) => {}
        None => short = true,
    })?;
    if short { Err(NetlinkError::Malformed("answer without a header")) } else { Ok(()) }
}

fn family(attributes: Attributes<'_>) -> Option<Family> {
    let id = attributes.find(CTRL_ATTR_FAMILY_ID)?.u16()?;
    let version = attributes.find(CTRL_ATTR_VERSION).and_then(|a| a.u32()).unwrap_or(1);
    let groups = attributes.find(CTRL_ATTR_MCAST_GROUPS).map(|a| a.nested());
    let groups = groups.into_iter().flatten().filter_map(|group: Attribute<'_>| {
        let name = group.nested().find(CTRL_ATTR_MCAST_GRP_NAME)?.text()?;
        Some((name.to_owned(), group.nested().find(CTRL_ATTR_MCAST_GRP_ID)?.u32()?))
    });
    Some(Family { id, version: u8::try_from(version).unwrap_or(1), groups: groups.collect() })
}
