//! NVML as this collector uses it: a thin, safe layer over the raw table of `nvml-wrapper-sys`.
//!
//! `nvml-wrapper` loads and initialises the library; everything after that goes through
//! [`Library`], because in hot paths the wrapper allocates, renames field ids, hides return codes
//! above 22 and panics on drop where symbols are missing. Here a missing symbol is
//! [`Code::FUNCTION_NOT_FOUND`] of the one call that wants it, text that is not UTF-8 is made so,
//! and nothing panics. Every call can block for ever on a sick driver: nothing here may be called
//! on a collector's own thread.

mod abi;
mod code;
mod device;
mod event_set;
mod fabric;
mod fields;
mod gpm;
mod identity;
mod library;
mod links;
mod memory;
mod mig;
mod processes;

pub(in crate::collectors::gpu) use self::code::Code;
pub(in crate::collectors::gpu) use self::event_set::{EventData, EventSet};
pub(in crate::collectors::gpu) use self::fabric::Fabric;
pub(in crate::collectors::gpu) use self::fields::{ALL_LINKS, FieldBatch, Number, Numbering};
pub(in crate::collectors::gpu) use self::gpm::{Gpm, Instance};
pub(in crate::collectors::gpu) use self::library::{Handle, Library, OpenError};
pub(in crate::collectors::gpu) use self::memory::{Memory, RemapHistogram, Sram};
pub(in crate::collectors::gpu) use self::mig::NO_INSTANCE;
pub(in crate::collectors::gpu) use self::processes::{ProcessKind, ProcessList, UtilizationList};
