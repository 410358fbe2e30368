//! The `[collectors.ptp.clocks]` section: which clocks are read, and where daemons answer.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

/// The `[collectors.ptp.clocks]` section.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ClocksConfig {
    /// Whether the time of PTP hardware clocks is read. Some hardware loses external time
    /// stamps meanwhile; what sysfs tells is read in any case.
    pub phc: bool,
    /// Whether the system clock is looked at. Without, the node's state is that of its ptp4l's.
    pub system: bool,
    /// Where chronyd answers by UDP; empty: it is not asked.
    pub chrony: String,
    /// Where gpsd answers; empty: it is not asked.
    pub gpsd: String,
}

impl Default for ClocksConfig {
    fn default() -> Self {
        let (chrony, gpsd) = ("127.0.0.1:323".into(), "127.0.0.1:2947".into());
        Self { phc: true, system: true, chrony, gpsd }
    }
}

impl ClocksConfig {
    /// Checks the values.
    ///
    /// # Errors
    /// The key and what is wrong with it.
    pub fn check(&self) -> Result<(), String> {
        for (key, text) in [("chrony", &self.chrony), ("gpsd", &self.gpsd)] {
            if !text.is_empty() && text.parse::<SocketAddr>().is_err() {
                return Err(format!("collectors.ptp.clocks.{key} {text:?} is no address:port"));
            }
        }
        Ok(())
    }

    pub(super) fn chrony_address(&self) -> Option<SocketAddr> {
        self.chrony.parse().ok()
    }

    pub(super) fn gpsd_address(&self) -> Option<SocketAddr> {
        self.gpsd.parse().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_checked_and_may_be_empty() {
        let f = |text: &str| toml::from_str::<ClocksConfig>(text).unwrap().check();
        assert!(f("").is_ok() && f("gpsd = ''\nchrony = '[::1]:323'").is_ok());
        assert!(f("gpsd = 'localhost:2947'").unwrap_err().contains("clocks.gpsd \"localhost"));
        assert!(f("chrony = '127.0.0.1'").unwrap_err().contains("clocks.chrony"));
    }
}
