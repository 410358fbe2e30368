//! A generic netlink family that may not be there: its socket is opened and its number looked up
//! when it is first needed, again every ten seconds in vain, and anew after a refusal, since a
//! module that is loaded again has another number.

use std::time::{Duration, Instant};

#[cfg(test)]
use crate::netlink::Netlink;
use crate::netlink::NetlinkError;
use crate::netlink::generic::{Family, Generic};

/// How often a family that is not there is looked for.
const RETRY: Duration = Duration::from_secs(10);

/// A family by name.
pub(super) struct Source {
    name: &'static str,
    generic: Option<Generic>,
    family: Option<Family>,
    looked: Option<Instant>,
}

impl Source {
    pub(super) fn new(name: &'static str) -> Self {
        Self { name, generic: None, family: None, looked: None }
    }

    /// Asks by this socket instead of the kernel's.
    #[cfg(test)]
    pub(super) fn with(name: &'static str, netlink: Netlink) -> Self {
        Self { generic: Some(Generic::new(netlink)), ..Self::new(name) }
    }

    /// What to ask; `None` while the family is not there or was looked for a moment ago.
    pub(super) fn get(
        &mut self,
        now: Instant,
    ) -> Result<Option<(&mut Generic, &Family)>, NetlinkError> {
        if self.family.is_none() {
            if self.looked.is_some_and(|looked| now - looked < RETRY) {
                return Ok(None);
            }
            self.looked = Some(now);
            let generic = match self.generic.take() {
                Some(generic) => generic,
                None => Generic::open()?,
            };
            self.family = self.generic.insert(generic).family(self.name)?;
        }
        Ok(self.generic.as_mut().zip(self.family.as_ref()))
    }

    /// Looks the family up again the next time, after a refusal.
    pub(super) fn forget(&mut self) {
        self.family = None;
    }
}
