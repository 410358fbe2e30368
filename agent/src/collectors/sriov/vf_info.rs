//! What the kernel tells of virtual functions, from the bytes of `IFLA_VFINFO_LIST`.
//!
//! The netlink library parses this list too, but makes "the driver does not say" (all ones)
//! into "off", and refuses a whole message for one attribute that it does not like. The list is
//! an attribute like any other, with a length of two bytes: with 222 virtual functions it wraps
//! and the list is cut in the middle of one. That shows as damage and is told by
//! [`Link::damaged`]. A driver that fails to tell about a function leaves it out.

use crate::netlink::{Attribute, Attributes};

const IFLA_ADDRESS: u16 = 1;
const IFLA_IFNAME: u16 = 3;
const IFLA_NUM_VF: u16 = 21;
const IFLA_VFINFO_LIST: u16 = 22;
const IFLA_STATS64: u16 = 23;
const IFLA_PARENT_DEV_NAME: u16 = 56;
const IFLA_VF_INFO: u16 = 1;

/// More than any device can have.
const MOST_VFS: u32 = 65_536;
/// The driver does not say.
const UNKNOWN: u32 = u32::MAX;

/// A physical function's link and its virtual functions.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Link {
    pub name: String,
    /// Address on the bus; `None` before Linux 5.14.
    pub parent: Option<String>,
    /// Virtual functions that there are, told or not.
    pub count: Option<u32>,
    /// Packets received and sent by the physical function.
    pub packets: u64,
    pub vfs: Vec<VfInfo>,
    /// Something does not fit: the list, or the message, is not whole.
    pub damaged: bool,
}

/// A virtual function. What the driver does not tell is `None`.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct VfInfo {
    pub number: u32,
    /// As long as the physical function's address.
    pub mac: Option<Vec<u8>>,
    pub vlan: Option<u32>,
    pub qos: Option<u32>,
    /// An EtherType.
    pub vlan_protocol: Option<u16>,
    /// In Mbit/s, 0 for none.
    pub min_rate: Option<u32>,
    pub max_rate: Option<u32>,
    pub spoof_check: Option<bool>,
    /// 0 auto, 1 enable, 2 disable.
    pub link_state: Option<u32>,
    pub rss_query: Option<bool>,
    pub trust: Option<bool>,
    pub stats: Option<VfStats>,
}

/// A virtual function's counters.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct VfStats {
    pub rx_packets: u64,
    pub tx_packets: u64,
    pub rx_bytes: u64,
    pub tx_bytes: u64,
    pub rx_broadcast: u64,
    pub rx_multicast: u64,
    /// Before Linux 4.20 these are not told.
    pub rx_dropped: Option<u64>,
    pub tx_dropped: Option<u64>,
}

impl VfStats {
    /// Whether nothing was counted.
    #[must_use]
    pub fn is_zero(&self) -> bool {
        let dropped = self.rx_dropped.unwrap_or(0) | self.tx_dropped.unwrap_or(0);
        let packets = self.rx_packets | self.tx_packets | self.rx_broadcast | self.rx_multicast;
        packets | self.rx_bytes | self.tx_bytes | dropped == 0
    }
}

/// Reads the attributes of a link.
#[must_use]
pub fn parse(mut attributes: Attributes<'_>) -> Link {
    let mut link = Link::default();
    let mut address = 0;
    let mut list = None;
    for attribute in attributes.by_ref() {
        match attribute.kind {
            IFLA_ADDRESS => address = attribute.value.len(),
            IFLA_IFNAME => attribute.text().unwrap_or_default().clone_into(&mut link.name),
            IFLA_PARENT_DEV_NAME => link.parent = attribute.text().map(str::to_owned),
            IFLA_NUM_VF => link.count = attribute.u32(),
            IFLA_STATS64 => {
                // rx_packets and tx_packets are the first of `struct rtnl_link_stats64`.
                let sent = attribute.value.get(8..).unwrap_or_default();
                let sent = Attribute { kind: IFLA_STATS64, value: sent }.u64();
                let both = attribute.u64().unwrap_or(0).wrapping_add(sent.unwrap_or(0));
                link.packets = both;
            }
            IFLA_VFINFO_LIST => list = Some(attribute.nested()),
            _ => {}
        }
    }
    link.damaged = attributes.is_damaged();
    if let Some(mut list) = list {
        for attribute in list.by_ref().filter(|a| a.kind == IFLA_VF_INFO) {
            match vf(attribute.nested(), address) {
                Some(vf) => link.vfs.push(vf),
                None => link.damaged = true,
            }
        }
        link.damaged |= list.is_damaged();
    }
    link
}

/// `None` if it is damaged or tells no number.
fn vf(mut attributes: Attributes<'_>, address: usize) -> Option<VfInfo> {
    let mut vf = VfInfo::default();
    let mut number = None;
    for attribute in attributes.by_ref() {
        let value = attribute.value;
        let word = |at: usize| Some(u32::from_ne_bytes(*value.get(at..)?.first_chunk()?));
        let said = |at: usize| word(at).filter(|word| *word != UNKNOWN);
        // All but these start with the number.
        if !matches!(attribute.kind, 8 | 12) {
            number = number.or(word(0));
        }
        match attribute.kind {
            1 => {
                let mac = value.get(4..)?;
                let length = if address == 0 { 6 } else { address };
                vf.mac = Some(mac.get(..length).unwrap_or(mac).to_vec());
            }
            2 => (vf.vlan, vf.qos) = (word(4), word(8)),
            3 => vf.max_rate = vf.max_rate.or(said(4)),
            4 => vf.spoof_check = said(4).map(|word| word != 0),
            5 => vf.link_state = said(4),
            6 => (vf.min_rate, vf.max_rate) = (said(4), said(8)),
            7 => vf.rss_query = said(4).map(|word| word != 0),
            8 => vf.stats = Some(stats(attribute.nested())?),
            9 => vf.trust = said(4).map(|word| word != 0),
            12 => {
                let first = attribute.nested().find(1).map(|a| a.value);
                let protocol = first.and_then(|value| value.get(12..14));
                vf.vlan_protocol = protocol.map(|p| u16::from_be_bytes([p[0], p[1]]));
            }
            _ => {}
        }
    }
    vf.number = number.filter(|number| *number < MOST_VFS)?;
    (!attributes.is_damaged()).then_some(vf)
}

fn stats(mut attributes: Attributes<'_>) -> Option<VfStats> {
    let mut stats = VfStats::default();
    for attribute in attributes.by_ref().filter(|a| a.kind != 6) {
        let value = attribute.u64()?;
        match attribute.kind {
            0 => stats.rx_packets = value,
            1 => stats.tx_packets = value,
            2 => stats.rx_bytes = value,
            3 => stats.tx_bytes = value,
            4 => stats.rx_broadcast = value,
            5 => stats.rx_multicast = value,
            7 => stats.rx_dropped = Some(value),
            8 => stats.tx_dropped = Some(value),
            _ => {}
        }
    }
    (!attributes.is_damaged()).then_some(stats)
}

/// Reads bytes from anywhere: what fuzzing calls.
#[must_use]
pub fn parse_bytes(bytes: &[u8]) -> Link {
    parse(Attributes::new(bytes))
}
