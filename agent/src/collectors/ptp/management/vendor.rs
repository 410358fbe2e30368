//! ptp4l's own data sets ("non-portable"), field by field as they lie in the TLV.

use super::datasets::{
    ClockIdentity, DataSet, Order, PortIdentity, PortState, TimeProperties, array, be16, be32,
    be64, interval,
};
use super::id;

/// `cumulativeScaledRateOffset`: a ratio in 2^-41.
const RATE: f64 = (1u64 << 41) as f64;
/// Message types that are counted: the low half of a PTP message's first byte.
pub const MESSAGE_TYPES: usize = 16;

/// The last Sync and what came of it. Stays as it was when Syncs do not come any more, but for
/// `ingress_ns`, which becomes 0 when the port stops listening to them.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TimeStatus {
    pub offset_ns: i64,
    /// When the Sync came, on the clock that stamps; 0: none. It moves with every Sync that is
    /// used.
    pub ingress_ns: i64,
    /// The grandmaster's rate to this clock's as announced, minus 1.
    pub rate_offset: f64,
    pub gm_time_base_indicator: u16,
    /// False while this clock is the grandmaster.
    pub gm_present: bool,
    pub gm: ClockIdentity,
}

impl DataSet<'_> for TimeStatus {
    const ID: u16 = id::TIME_STATUS_NP;
    const BYTES: usize = 50;

    fn read(data: &[u8], _order: Order) -> Option<Self> {
        Some(Self {
            offset_ns: be64(data, 0),
            ingress_ns: be64(data, 8),
            rate_offset: f64::from(be32(data, 16)) / RATE,
            gm_time_base_indicator: be16(data, 24),
            gm_present: be32(data, 38) != 0,
            gm: ClockIdentity(array(data, 42)),
        })
    }
}

/// What this clock says of itself as grandmaster.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GrandmasterSettings {
    pub clock_class: u8,
    pub clock_accuracy: u8,
    pub clock_variance: u16,
    pub time: TimeProperties,
}

impl DataSet<'_> for GrandmasterSettings {
    const ID: u16 = id::GRANDMASTER_SETTINGS_NP;
    const BYTES: usize = 8;

    fn read(data: &[u8], _order: Order) -> Option<Self> {
        Some(Self {
            clock_class: data[0],
            clock_accuracy: data[1],
            clock_variance: be16(data, 2),
            time: TimeProperties::at(data, 4),
        })
    }
}

/// A gPTP port's neighbour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PortDataSetNp {
    pub neighbor_delay_threshold_ns: u32,
    pub as_capable: bool,
}

impl DataSet<'_> for PortDataSetNp {
    const ID: u16 = id::PORT_DATA_SET_NP;
    const BYTES: usize = 8;

    fn read(data: &[u8], _order: Order) -> Option<Self> {
        Some(Self {
            neighbor_delay_threshold_ns: u32::from_be_bytes(array(data, 0)),
            as_capable: be32(data, 4) != 0,
        })
    }
}

/// Which events somebody is told. The read-only socket answers with no data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SubscribeEvents {
    /// 0xffff: for ever.
    pub seconds: u16,
    pub events: [u8; 64],
}

impl DataSet<'_> for SubscribeEvents {
    const ID: u16 = id::SUBSCRIBE_EVENTS_NP;
    const BYTES: usize = 66;

    fn read(data: &[u8], _order: Order) -> Option<Self> {
        Some(Self { seconds: be16(data, 0), events: array(data, 2) })
    }
}

/// Where time stamps are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Timestamping {
    Software,
    Hardware,
    LegacyHardware,
    OneStep,
    Unknown,
}

impl Timestamping {
    /// As the label `timestamping` has it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Software => "software",
            Self::Hardware => "hardware",
            Self::LegacyHardware => "legacy",
            Self::OneStep => "onestep",
            Self::Unknown => "",
        }
    }

    fn of(number: u8) -> Self {
        match number {
            0 => Self::Software,
            1 => Self::Hardware,
            2 => Self::LegacyHardware,
            // One-step, and one-step with peer delay.
            3 | 4 => Self::OneStep,
            _ => Self::Unknown,
        }
    }
}

/// A port's network device. Not told on the read-only socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PortProperties<'a> {
    pub port: PortIdentity,
    pub state: PortState,
    pub timestamping: Timestamping,
    pub interface: &'a str,
}

impl<'a> DataSet<'a> for PortProperties<'a> {
    const ID: u16 = id::PORT_PROPERTIES_NP;
    const BYTES: usize = 13;

    fn read(data: &'a [u8], _order: Order) -> Option<Self> {
        let name = data.get(13..13 + usize::from(data[12]))?;
        let interface = std::str::from_utf8(name).ok()?.trim_end_matches('\0');
        Some(Self {
            port: PortIdentity::read(data, 0),
            state: PortState(data[10]),
            timestamping: Timestamping::of(data[11]),
            interface,
        })
    }
}

/// Messages by type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PortStats {
    pub port: PortIdentity,
    pub received: [u64; MESSAGE_TYPES],
    pub sent: [u64; MESSAGE_TYPES],
}

impl DataSet<'_> for PortStats {
    const ID: u16 = id::PORT_STATS_NP;
    const BYTES: usize = 266;

    fn read(data: &[u8], order: Order) -> Option<Self> {
        Some(Self {
            port: PortIdentity::read(data, 0),
            received: std::array::from_fn(|i| order.u64(data, 10 + 8 * i)),
            sent: std::array::from_fn(|i| order.u64(data, 138 + 8 * i)),
        })
    }
}

/// Whether the servo's state is to be kept from the port's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SynchronizationUncertain {
    /// 0 no, 1 yes, 0xff does not matter.
    pub value: u8,
}

impl DataSet<'_> for SynchronizationUncertain {
    const ID: u16 = id::SYNCHRONIZATION_UNCERTAIN_NP;
    const BYTES: usize = 2;

    fn read(data: &[u8], _order: Order) -> Option<Self> {
        Some(Self { value: data[0] })
    }
}

/// What went wrong on a port, in the order of [`PortServiceStats::NAMES`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PortServiceStats {
    pub port: PortIdentity,
    pub counts: [u64; 10],
}

impl PortServiceStats {
    /// As the label `event` has them.
    pub const NAMES: [&str; 10] = [
        "announce_timeout",
        "sync_timeout",
        "delay_timeout",
        "unicast_service_timeout",
        "unicast_request_timeout",
        "master_announce_timeout",
        "master_sync_timeout",
        "qualification_timeout",
        "sync_mismatch",
        "followup_mismatch",
    ];
}

impl DataSet<'_> for PortServiceStats {
    const ID: u16 = id::PORT_SERVICE_STATS_NP;
    const BYTES: usize = 90;

    fn read(data: &[u8], order: Order) -> Option<Self> {
        Some(Self {
            port: PortIdentity::read(data, 0),
            counts: std::array::from_fn(|i| order.u64(data, 10 + 8 * i)),
        })
    }
}

/// How many masters a unicast port (G.8275.2) may ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UnicastMasterTable {
    pub masters: u16,
}

impl DataSet<'_> for UnicastMasterTable {
    const ID: u16 = id::UNICAST_MASTER_TABLE_NP;
    const BYTES: usize = 2;

    fn read(data: &[u8], _order: Order) -> Option<Self> {
        Some(Self { masters: be16(data, 0) })
    }
}

/// The PHC of a port. Not told on the read-only socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PortHwclock {
    pub port: PortIdentity,
    /// Below 0: none.
    pub phc: i32,
    pub vclock: bool,
}

impl DataSet<'_> for PortHwclock {
    const ID: u16 = id::PORT_HWCLOCK_NP;
    const BYTES: usize = 16;

    fn read(data: &[u8], _order: Order) -> Option<Self> {
        Some(Self {
            port: PortIdentity::read(data, 0),
            phc: be32(data, 10),
            vclock: data[14] & 1 != 0,
        })
    }
}

/// The link delay that all instances of a link share.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CmldsInfo {
    pub mean_link_delay_ns: f64,
    /// The neighbour's rate to ours, minus 1.
    pub rate_offset: f64,
    pub as_capable: bool,
}

impl DataSet<'_> for CmldsInfo {
    const ID: u16 = id::CMLDS_INFO_NP;
    const BYTES: usize = 16;

    fn read(data: &[u8], _order: Order) -> Option<Self> {
        Some(Self {
            mean_link_delay_ns: interval(data, 0),
            rate_offset: f64::from(be32(data, 8)) / RATE,
            as_capable: be32(data, 12) != 0,
        })
    }
}

/// What is added to a port's time stamps.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PortCorrections {
    pub egress_ns: f64,
    pub ingress_ns: f64,
    pub asymmetry_ns: f64,
}

impl DataSet<'_> for PortCorrections {
    const ID: u16 = id::PORT_CORRECTIONS_NP;
    const BYTES: usize = 24;

    fn read(data: &[u8], _order: Order) -> Option<Self> {
        Some(Self {
            egress_ns: interval(data, 0),
            ingress_ns: interval(data, 8),
            asymmetry_ns: interval(data, 16),
        })
    }
}

/// The grandmaster that another daemon gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExternalGrandmaster {
    pub gm: ClockIdentity,
    pub steps_removed: u16,
}

impl DataSet<'_> for ExternalGrandmaster {
    const ID: u16 = id::EXTERNAL_GRANDMASTER_PROPERTIES_NP;
    const BYTES: usize = 10;

    fn read(data: &[u8], _order: Order) -> Option<Self> {
        Some(Self { gm: ClockIdentity(array(data, 0)), steps_removed: be16(data, 8) })
    }
}
