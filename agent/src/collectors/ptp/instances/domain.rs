//! Which domain a ptp4l is of: it is silent towards requests of any other.

use std::time::Duration;

use super::discovery::Target;
use crate::collectors::ptp::management::{Client, DefaultDataSet, RequestError};

/// How long an answer to a try may take.
const TRY: Duration = Duration::from_millis(50);
/// Tries in one poll: they must not keep the others waiting.
const TRIES: usize = 8;
/// After all domains were tried, as often as this again.
const PAUSE: Duration = Duration::from_secs(30);

/// The default, then G.8275.1's and G.8275.2's.
fn candidates() -> impl Iterator<Item = u8> {
    std::iter::once(0).chain(24..=43).chain(44..=63)
}

/// What is known of an instance's domain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Domain {
    number: u8,
    fixed: bool,
    /// The next candidate to try; `None` while the number is trusted.
    next: Option<usize>,
    /// All were tried in vain: when to begin again.
    again_at: Option<Duration>,
    wrong: bool,
}

impl Domain {
    /// As configured; to be found out otherwise.
    #[must_use]
    pub(crate) fn new(target: &Target) -> Self {
        // A file that names no domain leaves ptp4l at its default.
        let configured = target.domain.or((!target.config.is_empty()).then_some(0));
        Self {
            number: configured.unwrap_or(0),
            fixed: target.domain_fixed,
            next: configured.is_none().then_some(0),
            again_at: None,
            wrong: false,
        }
    }

    /// The domain that is asked.
    #[must_use]
    pub(crate) fn number(&self) -> u8 {
        self.number
    }

    /// Whether it answers, but of another domain than the configuration insists on.
    #[must_use]
    pub(crate) fn is_wrong(&self) -> bool {
        self.wrong
    }

    /// Whether the next poll tries domains that were not tried yet.
    #[must_use]
    pub(crate) fn is_searching(&self) -> bool {
        self.next.is_some() && self.again_at.is_none()
    }

    /// There is no answer: the number may not be the right one.
    pub(crate) fn doubt(&mut self) {
        if self.next.is_none() {
            self.next = Some(0);
        }
    }

    /// Addresses the client, and looks for the domain where it is not known.
    ///
    /// # Errors
    /// When no domain has answered up to now, and when there is nobody to ask.
    pub(crate) fn find(
        &mut self,
        client: &mut Client,
        transport_specific: u8,
        now: Duration,
    ) -> Result<(), RequestError> {
        let outcome = self.try_next(client, transport_specific, now);
        client.address(self.number, transport_specific);
        outcome
    }

    fn try_next(
        &mut self,
        client: &mut Client,
        transport_specific: u8,
        now: Duration,
    ) -> Result<(), RequestError> {
        let Some(next) = self.next else { return Ok(()) };
        if self.again_at.is_some_and(|at| now < at) {
            // The configured one may have begun to answer meanwhile.
            client.address(self.number, transport_specific);
            client.probe::<DefaultDataSet>(TRY)?;
            (self.next, self.wrong) = (None, false);
            return Ok(());
        }
        self.again_at = None;
        let own = self.number;
        let tries = std::iter::once(own).chain(candidates().skip(next).take(TRIES));
        for (tried, domain) in tries.enumerate() {
            client.address(domain, transport_specific);
            match client.probe::<DefaultDataSet>(TRY) {
                Ok(_) if domain != own && self.fixed => {
                    self.wrong = true;
                    self.again_at = Some(now + PAUSE);
                    return Err(RequestError::Timeout);
                }
                Ok(_) => {
                    self.number = domain;
                    (self.next, self.wrong) = (None, false);
                    return Ok(());
                }
                Err(RequestError::Timeout) => self.next = Some(next + tried),
                Err(error) => return Err(error),
            }
        }
        if next + TRIES >= candidates().count() {
            self.next = Some(0);
            self.again_at = Some(now + PAUSE);
        }
        Err(RequestError::Timeout)
    }
}
