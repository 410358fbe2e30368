//! ptp4l's management interface: IEEE 1588 management messages in datagrams of a unix socket.
//!
//! Only asked, never told: the client knows GET and nothing else, and subscribes to nothing.
//! ptp4l is single-threaded and its sockets block: a client that leaves answers unread stops
//! the node's PTP (its queue holds `net.unix.max_dgram_qlen` of them, 10 by default). So there is
//! one request in flight that has one answer, and a socket that stalled is closed.

mod client;
mod datasets;
mod reply;
mod vendor;
mod wire;

pub use self::client::{Client, Counts, RequestError};
pub use self::datasets::{
    ClockDescription, ClockIdentity, CurrentDataSet, DataSet, DefaultDataSet, Order, ParentDataSet,
    PortDataSet, PortIdentity, PortState, TimeProperties,
};
pub use self::reply::ReplyTo;
pub use self::vendor::{
    CmldsInfo, ExternalGrandmaster, GrandmasterSettings, MESSAGE_TYPES, PortCorrections,
    PortDataSetNp, PortHwclock, PortProperties, PortServiceStats, PortStats, SubscribeEvents,
    SynchronizationUncertain, TimeStatus, Timestamping, UnicastMasterTable,
};
pub use self::wire::{Body, EVERY_PORT, Malformed, REQUEST_BYTES, Reply, Request, parse};

/// `managementId`s (IEEE 1588-2019 table 59; from 0xC000 ptp4l's own).
pub mod id {
    pub const CLOCK_DESCRIPTION: u16 = 0x0001;
    pub const DEFAULT_DATA_SET: u16 = 0x2000;
    pub const CURRENT_DATA_SET: u16 = 0x2001;
    pub const PARENT_DATA_SET: u16 = 0x2002;
    pub const TIME_PROPERTIES_DATA_SET: u16 = 0x2003;
    pub const PORT_DATA_SET: u16 = 0x2004;
    pub const TIME_STATUS_NP: u16 = 0xC000;
    pub const GRANDMASTER_SETTINGS_NP: u16 = 0xC001;
    pub const PORT_DATA_SET_NP: u16 = 0xC002;
    pub const SUBSCRIBE_EVENTS_NP: u16 = 0xC003;
    pub const PORT_PROPERTIES_NP: u16 = 0xC004;
    pub const PORT_STATS_NP: u16 = 0xC005;
    pub const SYNCHRONIZATION_UNCERTAIN_NP: u16 = 0xC006;
    /// Since 4.0, as the next two.
    pub const PORT_SERVICE_STATS_NP: u16 = 0xC007;
    pub const UNICAST_MASTER_TABLE_NP: u16 = 0xC008;
    pub const PORT_HWCLOCK_NP: u16 = 0xC009;
    /// Since 4.3.
    pub const CMLDS_INFO_NP: u16 = 0xC00B;
    /// After 4.4.
    pub const PORT_CORRECTIONS_NP: u16 = 0xC00C;
    /// After 4.4.
    pub const EXTERNAL_GRANDMASTER_PROPERTIES_NP: u16 = 0xC00D;
}

/// `managementErrorId`: the id is not known to this version.
pub const NO_SUCH_ID: u16 = 2;
/// `managementErrorId`: the id is known, and not told here (the read-only socket).
pub const NOT_SUPPORTED: u16 = 6;

/// Reads a datagram as a client would and every data set that it may hold; for the fuzzer. True
/// if something was understood.
#[doc(hidden)]
#[must_use]
pub fn understands(datagram: &[u8]) -> bool {
    let Ok(reply) = parse(datagram) else { return false };
    let Body::Data { id, data } = reply.body else { return true };
    let order = Order::of_minor_version(reply.minor_version);
    match id {
        id::CLOCK_DESCRIPTION => ClockDescription::decode(data, order).is_ok(),
        id::DEFAULT_DATA_SET => DefaultDataSet::decode(data, order).is_ok(),
        id::CURRENT_DATA_SET => CurrentDataSet::decode(data, order).is_ok(),
        id::PARENT_DATA_SET => ParentDataSet::decode(data, order).is_ok(),
        id::TIME_PROPERTIES_DATA_SET => TimeProperties::decode(data, order).is_ok(),
        id::PORT_DATA_SET => PortDataSet::decode(data, order).is_ok(),
        id::TIME_STATUS_NP => TimeStatus::decode(data, order).is_ok(),
        id::GRANDMASTER_SETTINGS_NP => GrandmasterSettings::decode(data, order).is_ok(),
        id::PORT_DATA_SET_NP => PortDataSetNp::decode(data, order).is_ok(),
        id::SUBSCRIBE_EVENTS_NP => SubscribeEvents::decode(data, order).is_ok(),
        id::PORT_PROPERTIES_NP => PortProperties::decode(data, order).is_ok(),
        id::PORT_STATS_NP => PortStats::decode(data, order).is_ok(),
        id::SYNCHRONIZATION_UNCERTAIN_NP => SynchronizationUncertain::decode(data, order).is_ok(),
        id::PORT_SERVICE_STATS_NP => PortServiceStats::decode(data, order).is_ok(),
        id::UNICAST_MASTER_TABLE_NP => UnicastMasterTable::decode(data, order).is_ok(),
        id::PORT_HWCLOCK_NP => PortHwclock::decode(data, order).is_ok(),
        id::CMLDS_INFO_NP => CmldsInfo::decode(data, order).is_ok(),
        id::PORT_CORRECTIONS_NP => PortCorrections::decode(data, order).is_ok(),
        id::EXTERNAL_GRANDMASTER_PROPERTIES_NP => ExternalGrandmaster::decode(data, order).is_ok(),
        _ => false,
    }
}

#[cfg(test)]
mod tests;
