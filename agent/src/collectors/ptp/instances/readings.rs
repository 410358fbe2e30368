//! What one ptp4l tells, asked in the order that gives a consistent picture.
//!
//! `TIME_STATUS_NP` is asked first and last: if a Sync came in between, what depends on it is
//! asked once more. A data set that ptp4l does not have is not asked for again.

use crate::collectors::ptp::management::{
    Client, ClockDescription, CurrentDataSet, DataSet, DefaultDataSet, Malformed, ParentDataSet,
    PortDataSet, PortDataSetNp, PortHwclock, PortProperties, PortServiceStats, PortState,
    PortStats, RequestError, TimeProperties, TimeStatus, Timestamping, UnicastMasterTable,
};

/// A number of ports beyond this is not believed.
const MOST_PORTS: u16 = 128;

/// `delayMechanism` P2P.
pub(crate) const P2P: u8 = 2;
/// Message types.
const PDELAY_RESP: usize = 3;
const DELAY_RESP: usize = 9;

/// Of the clock and its ports, as of the last poll.
#[derive(Debug, Default)]
pub(crate) struct Readings {
    pub(crate) default: Option<DefaultDataSet>,
    pub(crate) status: Option<TimeStatus>,
    pub(crate) current: Option<CurrentDataSet>,
    pub(crate) parent: Option<ParentDataSet>,
    pub(crate) time: Option<TimeProperties>,
    pub(crate) ports: Vec<Port>,
    /// Data sets that this ptp4l does not have.
    missing: Vec<u16>,
}

/// Of one port.
#[derive(Debug)]
pub(crate) struct Port {
    pub(crate) number: u16,
    pub(crate) data: Option<PortDataSet>,
    pub(crate) stats: Option<PortStats>,
    pub(crate) service: Option<PortServiceStats>,
    pub(crate) as_capable: Option<bool>,
    pub(crate) unicast_masters: Option<u16>,
    pub(crate) timestamping: Timestamping,
    /// `None`: not told; below 0: none.
    pub(crate) phc: Option<i32>,
    /// As ptp4l names it.
    pub(crate) interface: Option<String>,
    pub(crate) hardware_address: Option<[u8; 6]>,
}

impl Port {
    fn new(number: u16) -> Self {
        Self {
            number,
            data: None,
            stats: None,
            service: None,
            as_capable: None,
            unicast_masters: None,
            timestamping: Timestamping::Unknown,
            phc: None,
            interface: None,
            hardware_address: None,
        }
    }

    fn poll_slow(
        &mut self,
        client: &mut Client,
        missing: &mut Vec<u16>,
    ) -> Result<(), RequestError> {
        let number = self.number;
        self.service = optional(missing, || client.port(number))?;
        let table: Option<UnicastMasterTable> = optional(missing, || client.port(number))?;
        self.unicast_masters = table.map(|table| table.masters);
        let clock: Option<PortHwclock> = optional(missing, || client.port(number))?;
        self.phc = clock.map(|clock| clock.phc);
        let neighbor: Option<PortDataSetNp> = optional(missing, || client.port(number))?;
        self.as_capable = neighbor.map(|neighbor| neighbor.as_capable);
        let properties: Option<PortProperties<'_>> = optional(missing, || client.port(number))?;
        if let Some(properties) = properties {
            self.timestamping = properties.timestamping;
            if self.interface.as_deref() != Some(properties.interface) {
                self.interface = Some(properties.interface.to_owned());
            }
        }
        let description: Option<ClockDescription<'_>> = optional(missing, || client.port(number))?;
        self.hardware_address =
            description.and_then(|description| description.hardware_address.try_into().ok());
        Ok(())
    }

    /// Answers to its delay requests, and the interval of these.
    #[must_use]
    pub(crate) fn delay_responses(&self) -> (Option<u64>, Option<i8>) {
        let p2p = self.data.is_some_and(|data| data.delay_mechanism == P2P);
        let index = if p2p { PDELAY_RESP } else { DELAY_RESP };
        let interval = self.data.map(|data| match p2p {
            true => data.log_peer_delay_request,
            false => data.log_delay_request,
        });
        (self.stats.map(|stats| stats.received[index]), interval)
    }

    /// The state of the last poll.
    #[must_use]
    pub(crate) fn state(&self) -> Option<PortState> {
        self.data.map(|data| data.state)
    }
}

impl Readings {
    /// Whether ptp4l has told that it does not know this data set.
    #[must_use]
    pub(crate) fn is_missing(&self, id: u16) -> bool {
        self.missing.contains(&id)
    }

    /// Forgets everything: another ptp4l may be there.
    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }

    /// The port that follows a master, or is about to.
    #[must_use]
    pub(crate) fn following(&self) -> Option<&Port> {
        let in_state = |state| self.ports.iter().find(|port| port.state() == Some(state));
        in_state(PortState::SLAVE).or_else(|| in_state(PortState::UNCALIBRATED))
    }

    /// Asks for what moves all the time.
    pub(crate) fn poll(&mut self, client: &mut Client) -> Result<(), RequestError> {
        let first: TimeStatus = client.clock()?;
        for port in &mut self.ports {
            port.data = Some(client.port(port.number)?);
            port.stats = optional(&mut self.missing, || client.port(port.number))?;
        }
        self.parent = Some(client.clock()?);
        self.current = Some(client.clock()?);
        let mut last: TimeStatus = client.clock()?;
        if last.ingress_ns != first.ingress_ns {
            self.current = Some(client.clock()?);
            last = client.clock()?;
        }
        self.status = Some(last);
        Ok(())
    }

    /// Asks for what hardly changes.
    pub(crate) fn poll_slow(&mut self, client: &mut Client) -> Result<(), RequestError> {
        let default: DefaultDataSet = client.clock()?;
        if self.default.is_some_and(|known| known.clock != default.clock) {
            self.clear();
        }
        self.default = Some(default);
        let ports = default.ports.min(MOST_PORTS);
        self.ports.truncate(ports.into());
        while self.ports.len() < ports.into() {
            let number = u16::try_from(self.ports.len() + 1).unwrap_or(MOST_PORTS);
            self.ports.push(Port::new(number));
        }
        let missing = &mut self.missing;
        self.time = optional(missing, || client.clock())?;
        for port in &mut self.ports {
            port.poll_slow(client, missing)?;
        }
        Ok(())
    }
}

/// Asks unless ptp4l does not have it. `None` for that, and for what it has otherwise than is
/// known; neither is asked for again.
fn optional<'a, T: DataSet<'a>>(
    missing: &mut Vec<u16>,
    ask: impl FnOnce() -> Result<T, RequestError>,
) -> Result<Option<T>, RequestError> {
    if missing.contains(&T::ID) {
        return Ok(None);
    }
    match ask() {
        Ok(data) => Ok(Some(data)),
        Err(RequestError::Reply(_) | RequestError::Malformed(Malformed::DataSet { .. })) => {
            missing.push(T::ID);
            Ok(None)
        }
        Err(error) => Err(error),
    }
}
