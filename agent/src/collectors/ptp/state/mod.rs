//! What state a clock is in: FREERUN, LOCKED or HOLDOVER, as O-RAN's and OpenShift's PTP events
//! have it.
//!
//! Pure: what is known comes as [`Condition`], time as an argument. That a port is SLAVE does not
//! mean that its clock is locked: with Syncs lost and Announces still coming it stays SLAVE for
//! ever, with the last offset. LOCKED therefore needs samples, and is lost with them.

mod freshness;
pub mod profiles;

use std::time::Duration;

pub use self::freshness::{Freshness, Seen};
pub use self::profiles::Limits;

/// After an offset beyond the limit, samples count as good again below this part of it.
const RELOCK: f64 = 0.8;

/// A clock's state, by the numbers of `ptp_clock_state`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    Freerun = 0,
    Locked = 1,
    Holdover = 2,
}

impl State {
    /// As events name it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Freerun => "FREERUN",
            Self::Locked => "LOCKED",
            Self::Holdover => "HOLDOVER",
        }
    }

    /// The number of `ptp_clock_state`.
    #[must_use]
    pub fn number(self) -> f64 {
        f64::from(self as u8)
    }

    /// The worse of two: FREERUN, then HOLDOVER, then LOCKED.
    #[must_use]
    pub fn worse(self, other: Self) -> Self {
        let rank = |state| match state {
            Self::Freerun => 0,
            Self::Holdover => 1,
            Self::Locked => 2,
        };
        if rank(other) < rank(self) { other } else { self }
    }
}

/// The worst of several; `None` of none.
pub fn worst(states: impl IntoIterator<Item = State>) -> Option<State> {
    states.into_iter().reduce(State::worse)
}

/// What is known of a clock at one moment.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Condition {
    /// Not enough is known yet to say anything.
    Pending,
    /// It follows a reference; with the offset of a sample that was not seen before.
    Tracking { sample: Option<f64> },
    /// It would follow, and has no reference; why, in one word.
    Lost(&'static str),
    /// It is a grandmaster of this clockClass.
    Grandmaster { class: u8 },
}

/// A change of state.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Change {
    pub state: State,
    /// `None` when this is the first that is known.
    pub previous: Option<State>,
    /// In one word.
    pub reason: &'static str,
}

/// The state machine of one clock.
#[derive(Debug)]
pub struct Machine {
    limits: Limits,
    state: Option<State>,
    /// When HOLDOVER ends; `None` while a grandmaster's own class says how long.
    holdover_until: Option<Duration>,
    /// Samples in a row within the limit, and beyond it.
    good: u32,
    bad: u32,
    /// An offset beyond the limit was the reason to leave LOCKED.
    offset_lost: bool,
    changes: u64,
}

impl Machine {
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            state: None,
            holdover_until: None,
            good: 0,
            bad: 0,
            offset_lost: false,
            changes: 0,
        }
    }

    /// The state, once it is known.
    #[must_use]
    pub fn state(&self) -> Option<State> {
        self.state
    }

    #[must_use]
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Takes other limits; the state stays until a sample says otherwise.
    pub fn set_limits(&mut self, limits: Limits) {
        self.limits = limits;
    }

    /// Changes since the first known state.
    #[must_use]
    pub fn changes(&self) -> u64 {
        self.changes
    }

    /// How long HOLDOVER goes on; `None` in other states, and where it has no end.
    #[must_use]
    pub fn holdover_left(&self, now: Duration) -> Option<Duration> {
        let until = self.holdover_until.filter(|_| self.state == Some(State::Holdover))?;
        Some(until.saturating_sub(now))
    }

    /// Whether a change may be near: worth a closer look.
    #[must_use]
    pub fn is_unsettled(&self) -> bool {
        match self.state {
            Some(State::Locked) => self.bad > 0,
            Some(State::Freerun) => self.good > 0,
            Some(State::Holdover) => self.holdover_until.is_some(),
            None => true,
        }
    }

    /// Takes what is known at `now`.
    pub fn step(&mut self, now: Duration, condition: Condition) -> Option<Change> {
        match condition {
            // Time goes on.
            Condition::Pending if self.state == Some(State::Holdover) => self.lose(now, "pending"),
            Condition::Pending => None,
            Condition::Tracking { sample } => self.track(now, sample),
            Condition::Lost(reason) => self.lose(now, reason),
            Condition::Grandmaster { class } => self.grandmaster(class),
        }
    }

    fn track(&mut self, now: Duration, sample: Option<f64>) -> Option<Change> {
        if let Some(offset) = sample {
            let part = if self.offset_lost { RELOCK } else { 1.0 };
            if offset.abs() <= self.limits.offset_ns * part {
                (self.good, self.bad) = (self.good.saturating_add(1), 0);
            } else {
                (self.good, self.bad) = (0, self.bad.saturating_add(1));
            }
        }
        let locked = self.state == Some(State::Locked);
        if !locked && self.good >= self.limits.samples_to_lock {
            return self.change(State::Locked, "locked");
        }
        if self.bad >= self.limits.samples_out_of_range {
            self.offset_lost = true;
            return self.change(State::Freerun, "offset");
        }
        // Good samples that only have to be counted to the end hold the timer.
        let over = self.holdover_until.is_some_and(|until| now >= until) && self.good == 0;
        if self.state == Some(State::Holdover) && over {
            return self.change(State::Freerun, "holdover_over");
        }
        None
    }

    fn lose(&mut self, now: Duration, reason: &'static str) -> Option<Change> {
        (self.good, self.bad) = (0, 0);
        match self.state {
            Some(State::Locked) if self.limits.holdover.is_zero() => {
                self.change(State::Freerun, reason)
            }
            Some(State::Locked) => {
                self.holdover_until = Some(now + self.limits.holdover);
                self.change(State::Holdover, reason)
            }
            Some(State::Holdover) => match self.holdover_until {
                Some(until) if now >= until => self.change(State::Freerun, "holdover_over"),
                Some(_) => None,
                // It was a grandmaster in holdover and is none any more.
                None => {
                    self.holdover_until = Some(now + self.limits.holdover);
                    None
                }
            },
            Some(State::Freerun) => None,
            None => self.change(State::Freerun, reason),
        }
    }

    /// A grandmaster's clockClass says how it is itself (G.8275.1 table 3): 6 and 13 with a
    /// reference, 7, 14 and 135 in holdover within specification, others without.
    fn grandmaster(&mut self, class: u8) -> Option<Change> {
        (self.good, self.bad) = (0, 0);
        self.holdover_until = None;
        match class {
            6 | 13 => self.change(State::Locked, "clock_class"),
            7 | 14 | 135 => self.change(State::Holdover, "clock_class"),
            _ => self.change(State::Freerun, "clock_class"),
        }
    }

    fn change(&mut self, state: State, reason: &'static str) -> Option<Change> {
        if self.state == Some(state) {
            return None;
        }
        if state == State::Locked {
            self.offset_lost = false;
        }
        if state != State::Holdover {
            self.holdover_until = None;
        }
        if self.state.is_some() {
            self.changes += 1;
        }
        let previous = self.state.replace(state);
        Some(Change { state, previous, reason })
    }
}

#[cfg(test)]
mod tests;
