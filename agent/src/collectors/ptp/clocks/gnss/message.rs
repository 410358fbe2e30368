//! gpsd's reports: a JSON object a line, of which a few members matter here.
//!
//! Classes: DEVICES lists the receivers, those in use with the time they were activated at; TPV
//! is a fix, or that there is none; SKY tells the satellites.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, SeqAccess, Visitor};

/// A report of any class. Reading one allocates only for DEVICES and for escaped text.
#[derive(Debug, Deserialize)]
pub(super) struct Report<'a> {
    #[serde(borrow)]
    pub(super) class: Cow<'a, str>,
    /// The receiver; empty where there is none.
    #[serde(borrow, default)]
    pub(super) device: Cow<'a, str>,
    /// 0 unknown, 1 no fix, 2 in two dimensions, 3 in three.
    pub(super) mode: Option<u32>,
    /// Estimated error of the time in seconds.
    pub(super) ept: Option<f64>,
    /// Satellites used.
    #[serde(rename = "uSat")]
    used: Option<u32>,
    satellites: Option<Used>,
    #[serde(default)]
    pub(super) devices: Vec<Receiver>,
}

impl Report<'_> {
    /// Satellites used; gpsd before 3.21 only marks them in the list.
    pub(super) fn satellites_used(&self) -> Option<u32> {
        self.used.or_else(|| self.satellites.as_ref().map(|used| used.0))
    }
}

/// The report in a line; `None` if it is none.
pub(super) fn parse(line: &[u8]) -> Option<Report<'_>> {
    serde_json::from_slice(line).ok()
}

/// A receiver that gpsd knows.
#[derive(Debug, PartialEq, Eq, Deserialize)]
pub(super) struct Receiver {
    #[serde(default)]
    pub(super) path: String,
    #[serde(default)]
    activated: Activated,
}

impl Receiver {
    /// Whether gpsd has it open.
    pub(super) fn is_active(&self) -> bool {
        self.activated.0
    }
}

/// A time as text, or the number 0 for a receiver that is not in use.
#[derive(Debug, Default, PartialEq, Eq)]
struct Activated(bool);

impl<'de> Deserialize<'de> for Activated {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Time;
        impl Visitor<'_> for Time {
            type Value = Activated;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a time")
            }

            fn visit_str<E>(self, text: &str) -> Result<Activated, E> {
                Ok(Activated(!text.is_empty()))
            }

            fn visit_u64<E>(self, time: u64) -> Result<Activated, E> {
                Ok(Activated(time != 0))
            }

            fn visit_f64<E>(self, time: f64) -> Result<Activated, E> {
                Ok(Activated(time > 0.0))
            }
        }
        deserializer.deserialize_any(Time)
    }
}

/// How many satellites of a list are used.
#[derive(Debug)]
struct Used(u32);

#[derive(Deserialize)]
struct Satellite {
    #[serde(default)]
    used: bool,
}

impl<'de> Deserialize<'de> for Used {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct List;
        impl<'de> Visitor<'de> for List {
            type Value = Used;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of satellites")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Used, A::Error> {
                let mut used = 0;
                while let Some(satellite) = list.next_element::<Satellite>()? {
                    used += u32::from(satellite.used);
                }
                Ok(Used(used))
            }
        }
        deserializer.deserialize_seq(List)
    }
}
