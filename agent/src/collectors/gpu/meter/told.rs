//! What is learned from the outcome of a call.

use std::time::Duration;

use super::RETRY;
use crate::collectors::gpu::nvml::Code;

/// Whether a GPU can do something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(in crate::collectors::gpu) enum Support {
    #[default]
    Unknown,
    /// It answered once.
    Works,
    /// It said no, at that time.
    No(Duration, Code),
}

impl Support {
    /// Whether to ask, at `now`.
    pub(in crate::collectors::gpu) fn asks(self, now: Duration) -> bool {
        match self {
            Self::Unknown | Self::Works => true,
            Self::No(since, _) => now.saturating_sub(since) >= RETRY,
        }
    }

    /// Learns from a failure. True when it is one that lasts.
    pub(in crate::collectors::gpu) fn failed(&mut self, code: Code, now: Duration) -> bool {
        let lasts =
            code.is_unsupported() || matches!(code, Code::NO_PERMISSION | Code::INVALID_ARGUMENT);
        if lasts {
            *self = Self::No(now, code);
        }
        lasts
    }
}

/// What came of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::collectors::gpu) enum Told<T> {
    Value(T),
    /// It is known to work and did not this time, or is not made in this tick: its series stay,
    /// without a sample.
    Absent,
    /// Nobody knows that it works: no series.
    Never,
}

impl<T> Told<T> {
    /// `None` when there is no series; the sample, if there is one.
    pub(in crate::collectors::gpu) fn series<U>(
        self,
        value: impl FnOnce(T) -> U,
    ) -> Option<Option<U>> {
        match self {
            Self::Value(told) => Some(Some(value(told))),
            Self::Absent => Some(None),
            Self::Never => None,
        }
    }
}
