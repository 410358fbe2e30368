//! What NVML answers: `nvmlReturn_t`, with the codes that its newer headers know.

use std::fmt;

/// A call's failure. Zero, which is success, is never one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::collectors::gpu) struct Code(pub(in crate::collectors::gpu) u32);

impl Code {
    pub(in crate::collectors::gpu) const UNINITIALIZED: Self = Self(1);
    pub(in crate::collectors::gpu) const INVALID_ARGUMENT: Self = Self(2);
    pub(in crate::collectors::gpu) const NOT_SUPPORTED: Self = Self(3);
    pub(in crate::collectors::gpu) const NO_PERMISSION: Self = Self(4);
    pub(in crate::collectors::gpu) const NOT_FOUND: Self = Self(6);
    pub(in crate::collectors::gpu) const INSUFFICIENT_SIZE: Self = Self(7);
    pub(in crate::collectors::gpu) const DRIVER_NOT_LOADED: Self = Self(9);
    pub(in crate::collectors::gpu) const TIMEOUT: Self = Self(10);
    pub(in crate::collectors::gpu) const LIBRARY_NOT_FOUND: Self = Self(12);
    /// Also what a symbol that the library does not have comes to.
    pub(in crate::collectors::gpu) const FUNCTION_NOT_FOUND: Self = Self(13);
    pub(in crate::collectors::gpu) const CORRUPTED_INFOROM: Self = Self(14);
    pub(in crate::collectors::gpu) const GPU_IS_LOST: Self = Self(15);
    pub(in crate::collectors::gpu) const RESET_REQUIRED: Self = Self(16);
    pub(in crate::collectors::gpu) const LIB_RM_VERSION_MISMATCH: Self = Self(18);
    pub(in crate::collectors::gpu) const ARGUMENT_VERSION_MISMATCH: Self = Self(25);
    pub(in crate::collectors::gpu) const DEPRECATED: Self = Self(26);
    pub(in crate::collectors::gpu) const GPU_NOT_FOUND: Self = Self(28);

    /// The outcome of a call.
    pub(super) fn check(code: u32) -> Result<(), Self> {
        if code == 0 { Ok(()) } else { Err(Self(code)) }
    }

    /// A stable name, as a label has it.
    pub(in crate::collectors::gpu) fn name(self) -> &'static str {
        match self.0 {
            1 => "uninitialized",
            2 => "invalid_argument",
            3 => "not_supported",
            4 => "no_permission",
            6 => "not_found",
            7 => "insufficient_size",
            8 => "insufficient_power",
            9 => "driver_not_loaded",
            10 => "timeout",
            11 => "irq_issue",
            12 => "library_not_found",
            13 => "function_not_found",
            14 => "corrupted_inforom",
            15 => "gpu_is_lost",
            16 => "reset_required",
            17 => "operating_system",
            18 => "lib_rm_version_mismatch",
            19 => "in_use",
            20 => "memory",
            21 => "no_data",
            22 => "vgpu_ecc_not_supported",
            23 => "insufficient_resources",
            24 => "freq_not_supported",
            25 => "argument_version_mismatch",
            26 => "deprecated",
            27 => "not_ready",
            28 => "gpu_not_found",
            29 => "invalid_state",
            30 => "reset_type_not_supported",
            999 => "unknown",
            _ => "other",
        }
    }

    /// The name as words, for people: "no permission".
    pub(in crate::collectors::gpu) fn words(self) -> String {
        self.name().replace('_', " ")
    }

    /// The GPU, the driver or the library cannot do it: asking again soon is a waste.
    pub(in crate::collectors::gpu) fn is_unsupported(self) -> bool {
        matches!(
            self,
            Self::NOT_SUPPORTED
                | Self::FUNCTION_NOT_FOUND
                | Self::ARGUMENT_VERSION_MISMATCH
                | Self::DEPRECATED
        )
    }

    /// The GPU itself is gone or of no use until it is reset.
    pub(in crate::collectors::gpu) fn is_lost(self) -> bool {
        matches!(self, Self::GPU_IS_LOST | Self::RESET_REQUIRED | Self::GPU_NOT_FOUND)
    }

    /// The library no longer fits the driver, or the driver is gone: only a new start helps.
    pub(in crate::collectors::gpu) fn wants_reopening(self) -> bool {
        matches!(
            self,
            Self::UNINITIALIZED | Self::DRIVER_NOT_LOADED | Self::LIB_RM_VERSION_MISMATCH
        )
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.name(), self.0)
    }
}

impl std::error::Error for Code {}
