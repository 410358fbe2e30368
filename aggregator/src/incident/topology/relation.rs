//! How two components are related: a set, since a VF's PF is of its lineage, of its node and of
//! its cluster.

use std::ops::BitOr;

/// A set of relations.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Relation(u8);

impl Relation {
    pub const NONE: Self = Self(0);
    /// The same component.
    pub const SAME: Self = Self(1);
    /// One is part of the other.
    pub const LINEAGE: Self = Self(2);
    /// Up to three steps apart, not through the node.
    pub const DEVICE: Self = Self(4);
    pub const NODE: Self = Self(8);
    /// A grandmaster in common.
    pub const DOMAIN: Self = Self(16);
    pub const WORKLOAD: Self = Self(32);
    pub const RACK: Self = Self(64);
    pub const CLUSTER: Self = Self(128);

    const NAMES: [(&'static str, Self); 8] = [
        ("same", Self::SAME),
        ("lineage", Self::LINEAGE),
        ("device", Self::DEVICE),
        ("node", Self::NODE),
        ("domain", Self::DOMAIN),
        ("workload", Self::WORKLOAD),
        ("rack", Self::RACK),
        ("cluster", Self::CLUSTER),
    ];

    /// One of them by the name that the table of causes has for it.
    #[must_use]
    pub fn by_name(name: &str) -> Option<Self> {
        Self::NAMES.iter().find(|(n, _)| *n == name).map(|(_, relation)| *relation)
    }

    /// Whether the sets have something in common.
    #[must_use]
    pub fn meets(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// What both have.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }
}

impl BitOr for Relation {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}
