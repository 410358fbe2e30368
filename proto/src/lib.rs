//! What Sextant's processes share: the wire contract ([`v1`], [`layout`], [`frame`],
//! [`limits`]), the way to reach an aggregator (`client`) and how a process logs (`logging`).
//!
//! The road from an agent to the store is a sequence of two kinds of record, on a stream and
//! in a spool segment alike: *layouts*, which say once which series a frame's columns are, and
//! *frames*, which carry timestamps and values and name their layout by hash.

pub mod chain;
pub mod frame;
pub mod layout;
pub mod limits;

#[cfg(feature = "client")]
pub mod client;
#[cfg(feature = "logging")]
pub mod logging;

/// Messages and services of the package `sextant.v1`, generated from `proto/sextant/v1`.
/// `proto/tests/codegen.rs` fails when the generated file and the sources differ.
#[expect(
    clippy::all,
    clippy::allow_attributes_without_reason,
    unused_qualifications,
    reason = "generated code"
)]
pub mod v1 {
    include!("gen/sextant.v1.rs");
}

/// The kubelet's PodResources API, generated from `proto/k8s.io` in the same way.
#[cfg(feature = "podresources")]
#[expect(clippy::allow_attributes_without_reason, unused_qualifications, reason = "generated code")]
pub mod podresources {
    include!("gen/podresources.v1.rs");
}

/// The encoded `FileDescriptorSet` of the package, for gRPC reflection.
pub const DESCRIPTOR_SET: &[u8] = include_bytes!("gen/sextant.v1.bin");
